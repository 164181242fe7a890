"""Read which Maven artifacts a jar holds. Pure."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from leeward.model.image import Component, Ecosystem

_PROPERTIES = re.compile(r"^META-INF/maven/([^/]+)/([^/]+)/pom\.properties$")
_NAME = re.compile(r"([^/]+?)-([0-9][^/]*)\.jar$")
# Jars in a jar are read in memory, and may be bombs: so many bytes altogether.
_MOST = 256 * 1024 * 1024
_PROPERTIES_MOST = 65536
_MOST_ENTRIES = 20_000


def jar_components(path: str, file: IO[bytes]) -> Iterator[Component]:
    """What a jar says of itself, and of the jars in it; without a word of its own, what its name says."""
    for group, artifact, version in _inside(path, file, [_MOST]):
        name = f"{group}/{artifact}" if group else artifact
        yield Component(Ecosystem.MAVEN, name, version, path)


def _inside(path: str, file: IO[bytes], left: list[int], depth: int = 2) -> Iterator[tuple[str, str, str]]:
    found = False
    try:
        with zipfile.ZipFile(file) as jar:
            for entry in jar.infolist()[:_MOST_ENTRIES]:
                match = _PROPERTIES.match(entry.filename)
                if match and entry.file_size <= _PROPERTIES_MOST:
                    version = re.search(rb"^version\s*=\s*(\S+)", jar.read(entry), re.M)
                    if version:
                        found = True
                        yield match[1], match[2], version[1].decode("utf-8", "replace")
                elif depth and entry.filename.endswith(".jar") and entry.file_size <= left[0]:
                    left[0] -= entry.file_size
                    yield from _inside(entry.filename, io.BytesIO(jar.read(entry)), left, depth - 1)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError, ValueError):
        return
    if not found and (match := _NAME.search(path)):
        yield "", match[1], match[2]
