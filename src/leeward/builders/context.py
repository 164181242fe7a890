"""Makes a source tree ready to be sent to BuildKit."""

import os
import stat
import zlib
from pathlib import Path

from leeward.errors import BuildFailed
from leeward.plan.settle import EPOCH, moment

_CHUNK = 1024 * 1024


def inside(tree: Path, path: str) -> Path:
    """The folder `path` of the tree. Raises BuildFailed when it is not one, or leaves the tree."""
    folder = (tree / path).resolve()
    if not folder.is_relative_to(tree.resolve()):
        raise BuildFailed(f"the build context '{path}' is outside of the source", hint="correct 'build: context:'")
    if not folder.is_dir():
        raise BuildFailed(f"the build context '{path}' is not a folder of the source", hint="correct 'build: context:'")
    return folder


def settle(tree: Path) -> None:
    """Give every entry a time that depends on its content only, so that the same source makes the same layers.

    BuildKit sends again only what differs in size or time from the last build of a folder, and a web server tells by
    both whether a file changed: so the time of a file comes from its content, and that of a folder is fixed.
    """
    for place, folders, files in os.walk(tree, topdown=False):
        for name in files:
            path = os.path.join(place, name)
            facts = os.lstat(path)
            if stat.S_ISREG(facts.st_mode):
                _set(path, _checksum(path))
            elif stat.S_ISLNK(facts.st_mode):
                _set(path, zlib.crc32(os.fsencode(os.readlink(path))))
            else:
                os.unlink(path)
        for name in folders:
            _set(os.path.join(place, name))
    _set(str(tree))


def _set(path: str, checksum: int | None = None) -> None:
    second = EPOCH if checksum is None else moment(checksum)
    when = second * 1_000_000_000 + (checksum or 0) % 1_000_000_000
    os.utime(path, ns=(when, when), follow_symlinks=False)


def _checksum(path: str) -> int:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
