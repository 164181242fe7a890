"""Read the modules that a Go program says it was made of. Pure."""

import struct
from collections.abc import Iterator
from typing import IO

_MAGIC = b"\xff Go buildinf:"
_ELF = b"\x7fELF"
# The modules' text stands between two marks of 16 bytes.
_MARK = 16
# Where the text begins since Go 1.18: behind magic, sizes and two addresses.
_HEADER = 32
_INLINE = 2
_MOST = 8 * 1024 * 1024


def go_modules(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Path and version of each module, and `stdlib` with Go's own; nothing for any other file."""
    try:
        place = _section(file)
        if place is None:
            return
        offset, size = place
        file.seek(offset)
        data = file.read(min(size, _MOST))
        if not data.startswith(_MAGIC) or len(data) < _HEADER or not data[15] & _INLINE:
            return
        version, rest = _string(data, _HEADER)
        modules, _ = _string(data, rest)
    except (struct.error, ValueError, IndexError, OverflowError, OSError):
        return
    if version.startswith("go"):
        yield "stdlib", version.removeprefix("go").split(" ")[0]
    yield from _lines(modules)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    last = ""
    for line in text.splitlines():
        word, *fields = line.split("\t")
        if word == "dep" and len(fields) >= 2:
            if last:
                yield tuple(last.split("\t"))  # type: ignore[misc]
            last = f"{fields[0]}\t{fields[1]}"
        elif word == "=>" and len(fields) >= 2:
            last = f"{fields[0]}\t{fields[1]}"
    if last:
        yield tuple(last.split("\t"))  # type: ignore[misc]


def _string(data: bytes, at: int) -> tuple[str, int]:
    """A string with its length before it, in groups of seven bits; and where the next thing begins."""
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 35:
            raise ValueError("no length")
    raw = data[at : at + length]
    text = raw[_MARK:-_MARK] if len(raw) > 2 * _MARK and raw[-_MARK - 1 : -_MARK] == b"\n" else raw
    return text.decode("utf-8", "replace"), at + length


def _section(file: IO[bytes]) -> tuple[int, int] | None:
    """Offset and size of the section with the build information, of a 64-bit little-endian ELF file."""
    head = file.read(64)
    if len(head) < 64 or head[:4] != _ELF or head[4] != 2 or head[5] != 1:
        return None
    (table,) = struct.unpack_from("<Q", head, 40)
    size, count, names = struct.unpack_from("<HHH", head, 58)
    if not table or size < 64 or not count:
        return None
    file.seek(table)
    sections = file.read(size * count)
    # The names of the sections are a section themselves.
    file.seek(struct.unpack_from("<Q", sections, names * size + 24)[0])
    text = file.read(min(struct.unpack_from("<Q", sections, names * size + 32)[0], _MOST))
    for at in range(0, size * count, size):
        (name,) = struct.unpack_from("<I", sections, at)
        if text[name : name + 14] == b".go.buildinfo\0":
            offset, length = struct.unpack_from("<QQ", sections, at + 24)
            return offset, length
    return None
