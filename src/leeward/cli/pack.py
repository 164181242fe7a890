"""Pack a directory as a tar.gz: the same tree gives the same bytes."""

import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from leeward.cli.ignore import Rules
from leeward.errors import Invalid, Problem

_CHUNK = 256 * 1024
_LEVEL = 1
_GZIP = 31  # zlib's window bits for a gzip header, which then has neither name nor time.


class Entry(NamedTuple):
    """One thing in the archive; `link` is where a symbolic link points."""

    path: str
    file: Path
    mode: int
    size: int
    link: str = ""


def entries(root: Path, kept: Iterable[str] = ()) -> list[Entry]:
    """What is packed, sorted by path. Raises Invalid that names every link that leaves the tree."""
    if not root.is_dir():
        raise Invalid(f"'{root}' is not a directory", hint="name the directory of the app")
    real = Path(os.path.realpath(root))
    found: list[Entry] = []
    problems: list[Problem] = []
    waiting = [("", real, Rules.of(real, kept))]
    while waiting:
        prefix, directory, rules = waiting.pop()
        for item in _listed(directory, problems):
            path = f"{prefix}{item.name}"
            is_dir = item.is_dir(follow_symlinks=False)
            if rules.leave_out(path, is_dir):
                continue
            entry = _entry(item, path, real, problems)
            if entry is None:
                continue
            found.append(entry)
            if is_dir:
                inner = Path(item.path)
                waiting.append((f"{path}/", inner, rules.below(inner, f"{path}/")))
    if problems:
        raise Invalid(sorted(problems, key=lambda problem: problem.path), code="tree-refused")
    return sorted(found, key=lambda entry: entry.path)


def packed(found: Iterable[Entry]) -> Iterator[bytes]:
    """The archive, piece by piece; nothing but one piece of one file is in memory."""
    gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for block in _tar(found):
        if piece := gzip.compress(block):
            yield piece
    yield gzip.flush()


def _listed(directory: Path, problems: list[Problem]) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(directory) as items:
            return list(items)
    except OSError as error:
        problems.append(Problem(str(directory), f"could not be read: {(error.strerror or '').lower()}"))
        return []


def _entry(item: "os.DirEntry[str]", path: str, root: Path, problems: list[Problem]) -> Entry | None:
    """The entry of a file, directory or link; sockets, pipes and devices are left out."""
    status = item.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(item.path)
        if os.path.isabs(target) or not _inside(os.path.join(os.path.dirname(item.path), target), root):
            problems.append(
                Problem(
                    path, f"is a link to '{target}', outside the tree", "copy the file, or name it in .leewardignore"
                )
            )
            return None
        return Entry(path, Path(item.path), 0o777, 0, target)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, Path(item.path), 0o755, -1)
    if not stat.S_ISREG(status.st_mode):
        return None
    if not os.access(item.path, os.R_OK):
        problems.append(Problem(path, "could not be read", "change its mode, or name it in .leewardignore"))
        return None
    return Entry(path, Path(item.path), 0o755 if status.st_mode & 0o111 else 0o644, status.st_size)


def _inside(path: str, root: Path) -> bool:
    """Whether a link's target is in the tree: as written, and through the links on its way."""
    written, real = os.path.normpath(path), os.path.realpath(path)
    return all(place == str(root) or place.startswith(f"{root}{os.sep}") for place in (written, real))


def _tar(found: Iterable[Entry]) -> Iterator[bytes]:
    for entry in found:
        info = tarfile.TarInfo(entry.path)
        info.mode = entry.mode
        if entry.link:
            info.type, info.linkname = tarfile.SYMTYPE, entry.link
        elif entry.size < 0:
            info.type = tarfile.DIRTYPE
        else:
            info.size = entry.size
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if info.size:
            yield from _content(entry)
    yield b"\0" * 2 * tarfile.BLOCKSIZE


def _content(entry: Entry) -> Iterator[bytes]:
    """Exactly as many bytes as the header says, then zeros to the end of the block."""
    left = entry.size
    try:
        with entry.file.open("rb") as file:
            while left and (piece := file.read(min(_CHUNK, left))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise Invalid(f"'{entry.path}' could not be read: {(error.strerror or '').lower()}") from error
    if left:
        raise Invalid(f"'{entry.path}' changed while it was packed", hint="try again when nothing writes to it")
    yield b"\0" * (-entry.size % tarfile.BLOCKSIZE)
