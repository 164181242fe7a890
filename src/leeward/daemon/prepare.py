"""Give a replica in a cluster its keys and the edge's configuration, before its programs start."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from leeward.daemon.clock import SystemClock
from leeward.edges.embedded import server as edge
from leeward.edges.embedded.keystore import Keystore
from leeward.engines.kubernetes.own_pod import OwnPod
from leeward.errors import LeewardError, Unavailable
from leeward.services.access import TOKEN_PREFIX
from leeward.settings import Settings, load

# File in the home to the name of its value in the Secret.
FILES: Mapping[str, str] = {
    "keys/master.key": "master.key",
    "keys/root.key": "root.key",
    "keys/root.pem": "root.pem",
    "admin.password": "admin.password",
    "admin.token": "admin.token",
}
_TRIES = 60


async def prepare(settings: Settings) -> None:
    """Write the keys that all replicas share, then what nginx reads. Repeatable. Raises LeewardError."""
    pod = OwnPod(settings.pod)
    try:
        held = await pod.keys(settings.keys_secret, lambda: _made(settings))
        await pod.waits("starts")
    finally:
        await pod.close()
    for file, name in FILES.items():
        if name in held:
            _write(settings.home / file, held[name])
    edge.prepare(settings, SystemClock())


def _made(settings: Settings) -> Mapping[str, bytes]:
    """New keys: for secrets in the database, for certificates, and the first admin's."""
    keystore = Keystore(settings)
    keystore.wildcard(SystemClock().now())
    keys = edge.ca_file(settings).parent
    return {
        "master.key": secrets.token_bytes(32),
        "root.key": (keys / "root.key").read_bytes(),
        "root.pem": (keys / "root.pem").read_bytes(),
        "admin.password": secrets.token_urlsafe(18).encode(),
        "admin.token": (TOKEN_PREFIX + secrets.token_urlsafe(32)).encode(),
    }


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    fresh.replace(file)


def main() -> int:
    """Prepare, waiting for an API server that is not there yet. A named failure is one line, and exit code 1."""
    settings = load()
    for left in reversed(range(_TRIES)):
        try:
            asyncio.run(prepare(settings))
            return 0
        except Unavailable as error:
            sys.stderr.write(f"waiting: {error.message}\n")
            if not left:
                return 1
            time.sleep(1)
        except LeewardError as error:
            sys.stderr.write(f"Error: {error}\n" + (f"  hint: {error.hint}\n" if error.hint else ""))
            return 1
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
