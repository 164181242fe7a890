"""Makes the root file system of a base image."""

import shutil
import sys
from pathlib import Path

from leeward.builders import debian, rootfs
from leeward.builders.apart import apart
from leeward.builders.command import must
from leeward.builders.recipes import Recipe
from leeward.ports import Say
from leeward.settings import Settings

_APT = Path("/etc/apt")


async def make(recipe: Recipe, settings: Settings, work: Path, say: Say) -> Path:
    """The tar of a recipe's Debian packages and our own files, in the folder `work`. Raises BuildFailed."""
    tree, finish, target = work / "files", work / "finish", work / "root.tar"
    for path, (mode, text) in rootfs.files(recipe.flavour, trusts=recipe.trusts).items():
        _write(tree / path, text, mode)
    if recipe.build:
        tool = await uv(work)
        for file in (tool, tool.with_name("uvx")):
            if file.is_file():
                shutil.copy(file, tree / "usr/local/bin" / file.name)
    _write(finish, rootfs.FINISH, 0o755)
    work.chmod(0o755)
    (work / "tmp").mkdir(exist_ok=True)
    hooks = (f"sync-in {tree} /", str(finish))
    command = debian.bootstrap(recipe.suite, recipe.packages, hooks, mirrors(settings), target, recipe.folders)
    await must(
        await apart(command, say),
        f"base image '{recipe.flavour}' could not be made",
        hint="see that the Debian mirror answers: run `apt-get update`, or set LEEWARD_DEBIAN_MIRROR",
        cwd=work,
        env={"TMPDIR": str(work / "tmp")},
    )
    return target


def mirrors(settings: Settings) -> debian.Mirrors | None:
    """The operator's mirror, else those that this machine's apt uses."""
    if settings.debian_mirror:
        return debian.mirrors_of(settings.debian_mirror)
    files = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*.list"))]
    files += sorted((_APT / "sources.list.d").glob("*.sources"))
    return debian.parse_sources(path.read_text() for path in files if path.is_file())


async def uv(work: Path) -> Path:
    """The uv of this machine, else one from the Python index."""
    prefix = Path(sys.prefix)
    for place in (prefix / "bin" / "uv", prefix.parent / ".bootstrap" / "bin" / "uv", shutil.which("uv")):
        if place and Path(place).is_file():
            return Path(place).resolve()
    message = "uv is not on this machine and could not be had from the Python index"
    interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    await must((str(interpreter), "-m", "venv", str(work / "venv")), message)
    await must((str(work / "venv" / "bin" / "pip"), "install", "--quiet", "--no-deps", "uv"), message)
    return work / "venv" / "bin" / "uv"


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
