"""Folders for work that a later start sweeps away, never across a mount."""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")


@contextlib.contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder that is gone afterwards; while it is used nobody sweeps it, and after a death anybody may."""
    with _held(parent, prefix) as folder:
        try:
            yield folder
        finally:
            remove(folder)


def sweep(parent: Path, prefixes: Iterable[str]) -> tuple[Path, ...]:
    """Remove what nobody works in any more; what had to stay, since something is mounted in it."""
    names = tuple(prefixes)
    found = [path for path in sorted(parent.glob("*")) if path.name.startswith(names) and not path.is_symlink()]
    return tuple(path for path in found if path.is_dir() and not _swept(path))


def remove(folder: Path) -> bool:
    """Remove a folder and all below it on its own file system; False, with nothing removed, where a mount is below."""
    if any(mount.is_relative_to(folder.resolve()) for mount in mounts()):
        return False
    with contextlib.suppress(OSError):
        _empty(folder, folder.lstat().st_dev)
        folder.rmdir()
    return not folder.exists()


def mounts(table: Path = _MOUNTS) -> tuple[Path, ...]:
    """Where something is mounted, as this process sees it."""
    with contextlib.suppress(OSError):
        lines = table.read_text(errors="surrogateescape").splitlines()
        return tuple(Path(_plain(line.split(" ")[4])) for line in lines)
    return ()


@contextlib.contextmanager
def _held(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that is locked; a sweeper that was quicker has taken it, and there is another."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            if folder.exists():
                yield folder
                return
        finally:
            os.close(handle)


def _swept(folder: Path) -> bool:
    """Whether it is gone, or somebody works in it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return remove(folder)
    finally:
        os.close(handle)


def _empty(folder: Path, device: int) -> None:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        about = entry.stat(follow_symlinks=False)
        if about.st_dev != device:
            continue
        path = Path(entry.path)
        if stat.S_ISDIR(about.st_mode):
            _empty(path, device)
            with contextlib.suppress(OSError):
                path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _plain(text: str) -> str:
    """A path of the table of mounts, whose blanks are written in octal."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
