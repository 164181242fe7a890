"""Walk below a folder without following a link or leaving its mount, however deep it is."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Folders above the present one that stay open; of those further down only the present one is.
_OPEN = 64
_CLOSED = -1
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing below a folder: its name in the open folder `here`, and its status."""

    here: int
    name: str
    status: os.stat_result


@dataclass(slots=True)
class _Level:
    fd: int
    key: tuple[int, int]
    folders: list[str] = field(default_factory=list)


def below(place: Path) -> Iterator[Found]:
    """Everything below a folder, each folder before what is in it. Raises OSError.

    Nothing is ever opened by more than its name in an open folder: what runs in an instance may put a link there
    meanwhile. What goes meanwhile is left out.
    """
    levels = [_opened(os.open(place, FOLDER))]
    device = levels[0].key[0]
    try:
        yield from _listed(levels[0], device)
        while levels:
            level = levels[-1]
            if not level.folders:
                if len(levels) > 1 and levels[-2].fd == _CLOSED:
                    levels[-2].fd = _parent(level.fd, levels[-2].key)
                os.close(levels.pop().fd)
                continue
            fresh = _entered(level.fd, level.folders.pop(), device)
            if fresh is None:
                continue
            levels.append(fresh)
            if len(levels) > _OPEN:
                os.close(level.fd)
                level.fd = _CLOSED
            yield from _listed(fresh, device)
    finally:
        for level in levels:
            if level.fd != _CLOSED:
                os.close(level.fd)


def _opened(fd: int) -> _Level:
    status = os.fstat(fd)
    return _Level(fd, (status.st_dev, status.st_ino))


def _entered(here: int, name: str, device: int) -> _Level | None:
    try:
        level = _opened(os.open(name, FOLDER, dir_fd=here))
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    if level.key[0] != device:
        os.close(level.fd)
        return None
    return level


def _parent(fd: int, key: tuple[int, int]) -> int:
    """The folder that this one was entered from; whoever moved it meanwhile does not lead us elsewhere."""
    above = _opened(os.open("..", FOLDER, dir_fd=fd))
    if above.key != key:
        os.close(above.fd)
        raise OSError(errno.ESTALE, "a folder was moved meanwhile")
    return above.fd


def _listed(level: _Level, device: int) -> Iterator[Found]:
    for name in os.listdir(level.fd):
        try:
            status = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            if status.st_dev != device:
                continue
            level.folders.append(name)
        yield Found(level.fd, name, status)
