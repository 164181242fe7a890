"""Reads which packages a layer speaks of, where dockerd keeps its files."""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from leeward.model.image import Component, LayerPackages
from leeward.plan.contents import program, read_program, reader_of, removed_by
from leeward.registry.layers import Layer, names

# What is in a layer comes from a tenant: ten thousand archives in archives would keep us for hours.
_LONGEST_S = 30.0


def scan(layer: Layer) -> LayerPackages:
    """What a layer says of packages, and what it takes away from those below. Blocks. Raises Unreadable."""
    found: list[Component] = []
    removed: list[str] = []
    files: list[str] = []
    until = time.monotonic() + _LONGEST_S
    for path, size in names(layer):
        if gone := removed_by(path):
            removed.append(gone)
            continue
        reader = reader_of(path, size)
        if reader is None and not (size and _may_be_go(layer.files, path, size)):
            continue
        if time.monotonic() > until:
            break
        with _opened(layer.files, path) as file:
            if file is not None:
                here = tuple((reader or read_program)(path, file))
                found += here
                files += [path] if reader is not None or here else []
    return LayerPackages(tuple(sorted(set(found))), tuple(removed), tuple(files))


def _may_be_go(root: Path, path: str, size: int) -> bool:
    if not program(size, 0o111) or path.endswith((".so", ".pyc", ".a")) or ".so." in path:
        return False
    with contextlib.suppress(OSError):
        facts = os.lstat(root / path)
        return stat.S_ISREG(facts.st_mode) and program(facts.st_size, facts.st_mode)
    return False


@contextlib.contextmanager
def _opened(root: Path, path: str) -> Iterator[IO[bytes] | None]:
    """The file, or None; the names come from dockerd's own record, and no link is followed at their end."""
    try:
        handle = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    with open(handle, "rb") as file:
        yield file if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
