"""Opens packed files, one level deep and within bounds, so that what is in them can be looked at."""

import bz2
import contextlib
import lzma
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import zstandard
from isal import isal_zlib

_CHUNK = 1024 * 1024
_IN_MEMORY = 8 * 1024 * 1024
# What one packed file may become: more is a bomb, or not worth the time.
MOST_UNPACKED = 1024 * 1024 * 1024
_MOST_MEMBERS = 200_000
# Its types call it a value.
_IGZIP: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class Unpacker:
    """Takes a packed file in chunks; afterwards gives its members."""

    errors: ClassVar[tuple[type[Exception], ...]] = (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        zstandard.ZstdError,
        _IGZIP,
        struct.error,
    )

    def __init__(
        self,
        open: Callable[[Any], Iterator[tuple[str, Iterable[bytes]]]],
        *,
        sure: bool = True,
        most: int = MOST_UNPACKED,
    ) -> None:
        self._open, self._left = open, most
        self.sure = sure
        """Whether the file is surely what its first bytes look like."""
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self.cut = False
        """Whether the bound was reached."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._file.write(chunk)

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and content of each; the name is '' where there is only one. Raises one of `errors`."""
        self._file.seek(0)
        for number, (name, chunks) in enumerate(self._open(self._file)):
            if self.cut or number > _MOST_MEMBERS:
                self.cut = True
                return
            yield name, self._bounded(chunks)

    def close(self) -> None:
        """Let the bytes go."""
        self._file.close()

    def _bounded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._left -= len(chunk)
            if self._left < 0:
                self.cut = True
                return
            yield chunk


def opened(first: bytes) -> Unpacker | None:
    """What opens a file that begins like this; None when it is not packed."""
    if first.startswith(b"\x1f\x8b"):
        return Unpacker(_gzip)
    if b"PK\x03\x04" in first[:4096] or first.startswith(b"PK\x05\x06"):
        # A program may stand before an archive.
        return Unpacker(_zip, sure=first.startswith(b"PK"))
    if first.startswith(b"\xfd7zXZ\x00"):
        return Unpacker(lambda file: iter([("", _by(lzma.LZMADecompressor(memlimit=256 * _CHUNK), file))]))
    if first.startswith(b"BZh"):
        return Unpacker(lambda file: iter([("", _by(bz2.BZ2Decompressor(), file))]))
    if first.startswith(b"\x28\xb5\x2f\xfd"):
        return Unpacker(_zstd)
    if first.startswith(b"PACK\x00\x00\x00\x02"):
        return Unpacker(_git_pack)
    if first.startswith(_ZLIB):
        return Unpacker(lambda file: iter([("", _inflated(file, 15))]), sure=False)
    return None


def _gzip(file: Any) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield "", _inflated(file, 31)


def _inflated(file: Any, window: int) -> Iterator[bytes]:
    """All members of a gzip file, one after another; the size of each piece is bounded."""
    data = file.read(_CHUNK)
    while data:
        inflater = isal_zlib.decompressobj(wbits=window)
        while not inflater.eof:
            if out := inflater.decompress(data, _CHUNK):
                yield out
            data = inflater.unconsumed_tail or (b"" if inflater.eof else file.read(_CHUNK))
            if not data and not inflater.eof and not out:
                return
        data = inflater.unused_data or file.read(_CHUNK)
        if window != 31 or not data.startswith(b"\x1f\x8b"):
            return


def _by(unpacker: Any, file: Any) -> Iterator[bytes]:
    while not unpacker.eof:
        data = file.read(_CHUNK) if unpacker.needs_input else b""
        out = unpacker.decompress(data, _CHUNK)
        if out:
            yield out
        elif not data and unpacker.needs_input:
            return


def _zstd(file: Any) -> Iterator[tuple[str, Iterable[bytes]]]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=128 * _CHUNK)
    yield "", unpacker.read_to_iter(file, read_size=_CHUNK, write_size=_CHUNK)


def _zip(file: Any) -> Iterator[tuple[str, Iterable[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            # A member with a password, or packed in an unknown way, hides itself only.
            with contextlib.suppress(RuntimeError, NotImplementedError), archive.open(member) as content:
                yield member.filename, iter(lambda content=content: content.read(_CHUNK), b"")  # type: ignore[misc]


def _git_pack(file: Any) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Objects of a Git pack; a difference is given as it is, with what it inserts."""
    (count,) = struct.unpack(">I", file.read(12)[8:])
    for number in range(count):
        first = byte = file.read(1)[0]
        while byte & 0x80:
            byte = file.read(1)[0]
        kind = first >> 4 & 7
        if kind == 6:
            while file.read(1)[0] & 0x80:
                pass
        elif kind == 7:
            file.read(20)
        yield f"object {number}", _git_object(file)


def _git_object(file: Any) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    data = b""
    while not inflater.eof:
        data = inflater.unconsumed_tail or file.read(4096)
        if not data:
            return
        if out := inflater.decompress(data, _CHUNK):
            yield out
    file.seek(-len(inflater.unused_data), 1)
