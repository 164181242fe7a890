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
# A jar in a jar is read in memory.
_MOST = 64 * 1024 * 1024
_MOST_ENTRIES = 20_000


def jar_components(path: str, file: IO[bytes]) -> Iterator[Component]:
    """What a jar says of itself, and of the jars in it; without a word of its own, what its name says."""
    for group, artifact, version in _inside(path, file, 2):
        name = f"{group}/{artifact}" if group else artifact
        yield Component(Ecosystem.MAVEN, name, version, path)


def _inside(path: str, file: IO[bytes], depth: int) -> Iterator[tuple[str, str, str]]:
    found = False
    try:
        with zipfile.ZipFile(file) as jar:
            for entry in jar.infolist()[:_MOST_ENTRIES]:
                if match := _PROPERTIES.match(entry.filename):
                    version = re.search(rb"^version\s*=\s*(\S+)", jar.read(entry)[:65536], re.M)
                    if version:
                        found = True
                        yield match[1], match[2], version[1].decode("utf-8", "replace")
                elif depth and entry.filename.endswith(".jar") and entry.file_size <= _MOST:
                    yield from _inside(entry.filename, io.BytesIO(jar.read(entry)), depth - 1)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError, ValueError):
        return
    if not found and (match := _NAME.search(path)):
        yield "", match[1], match[2]
