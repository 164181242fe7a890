"""Have this machine trust the local certificate authority, or no longer."""

from pathlib import Path

from leeward.errors import Unavailable
from leeward.host.command import run

ANCHORS = Path("/usr/local/share/ca-certificates")


def anchor(name: str, folder: Path = ANCHORS) -> Path:
    """Where the certificate of one home lies."""
    return folder / f"leeward-{name}.crt"


async def add(pem: str, name: str, folder: Path = ANCHORS) -> bool:
    """Trust it; False when it was trusted already."""
    file = anchor(name, folder)
    if file.is_file() and file.read_text() == pem:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(pem)
    await _update()
    return True


async def remove(name: str, folder: Path = ANCHORS) -> bool:
    """Forget it; False when it was not there."""
    file = anchor(name, folder)
    if not file.exists():
        return False
    file.unlink()
    await _update()
    return True


async def _update() -> None:
    # No --fresh: it empties the folder first, and whoever reads the bundle then has none.
    outcome = await run(("update-ca-certificates",), timeout_s=120)
    if outcome.code:
        raise Unavailable(
            f"this machine's certificates could not be updated: {outcome.last}",
            hint="run update-ca-certificates by hand, or set LEEWARD_TRUST_CA=false",
        )
