"""Make a tree of files the same every time, and safe to read."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# 1980-01-01: the earliest time that a zip file (and so a Python wheel) can hold.
MTIME = 315_532_800
_LFS, _LFS_MOST = b"version https://git-lfs.github.com/spec/", 1024


def emptied(folder: Path) -> Path:
    """A folder with nothing in it."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def leads_out(name: PurePosixPath, target: str) -> bool:
    """Whether a symbolic link at `name` in a tree points to a place outside of the tree. Pure."""
    if target.startswith("/"):
        return True
    depth = len(name.parts) - 1
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def settle(folder: Path) -> tuple[str, ...]:
    """Fixed times and modes for everything; the links that lead out of the tree are taken away and named.

    A link may also lead out by way of another link: what counts is where it ends.
    """
    root = folder.resolve()
    removed = []
    for path in _walk(folder):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            name = PurePosixPath(path.relative_to(folder))
            if leads_out(name, os.readlink(path)) or not _within(path, root):
                path.unlink()
                removed.append(str(name))
                continue
        elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            path.unlink()
            removed.append(str(path.relative_to(folder)))
            continue
        else:
            executable = stat.S_ISDIR(status.st_mode) or status.st_mode & 0o100
            os.chmod(path, 0o755 if executable else 0o644)
        os.utime(path, (MTIME, MTIME), follow_symlinks=False)
    os.chmod(folder, 0o755)
    os.utime(folder, (MTIME, MTIME))
    return tuple(removed)


def warnings(folder: Path) -> Iterator[str]:
    """What a tree's reader should be told: files that Git LFS keeps elsewhere, of which only a note is here."""
    try:
        kept_elsewhere = "filter=lfs" in (folder / ".gitattributes").read_text(errors="replace")
    except OSError:
        return
    if not kept_elsewhere:
        return
    for path in sorted(_walk(folder)):
        if not path.is_symlink() and path.is_file() and path.stat().st_size < _LFS_MOST:
            with path.open("rb") as file:
                if file.read(len(_LFS)) == _LFS:
                    yield f"warning: '{path.relative_to(folder)}' is a note of Git LFS, and the file itself is not here"


def _within(link: Path, root: Path) -> bool:
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):
        # A loop of links: it leads nowhere, so also not out.
        return True


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below, contents before their folder, so that a folder's time stays."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            yield Path(parent) / name
