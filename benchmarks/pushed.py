"""How many bytes a push sends for some layers of an image of the engine."""

import asyncio
import json
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.docker import docker

_CHUNK = 1024 * 1024


async def compressed(image: str, places: Sequence[int]) -> int:
    """The bytes of the layers at these places, counted from the base, as gzip makes them at its fastest."""
    if not places:
        return 0
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        path = Path(folder) / "image.tar"
        await docker("save", "--output", str(path), image)
        return await asyncio.to_thread(_count, path, frozenset(places))


def _count(path: Path, places: frozenset[int]) -> int:
    with tarfile.open(path) as tar:
        listed = tar.extractfile("manifest.json")
        assert listed is not None
        names = json.load(listed)[0]["Layers"]
        return sum(_compressed(tar, name) for place, name in enumerate(names) if place in places)


def _compressed(tar: tarfile.TarFile, name: str) -> int:
    # The engine saves a layer that it has twice as a link to the first.
    member = tar.getmember(name)
    file = tar.extractfile(member)
    assert file is not None
    press, count = zlib.compressobj(1), 0
    while chunk := file.read(_CHUNK):
        count += len(press.compress(chunk))
    return count + len(press.flush())
