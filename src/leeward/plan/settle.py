"""Give a built image the bytes that its source alone decides: no times and places of its build. Pure.

BuildKit dates what it copies and runs. A layer's entries that are newer than the epoch get its time, and the
configuration loses the dates and labels of this one build.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# 2026-01-01, as the sources and base images have it.
EPOCH = 1_767_225_600
CREATED = "2026-01-01T00:00:00Z"
# The labels that name who built it: the same commit is the same image, whoever builds it.
_BUILDERS = ("leeward.home",)
_BLOCK = 512
_MTIME, _CHECKSUM = slice(136, 148), slice(148, 156)
_NOTHING = bytes(_BLOCK)


def settled_config(config: Mapping[str, Any], layers: Iterable[str]) -> Mapping[str, Any]:
    """The configuration with these layers, and nothing of when and where it was built."""
    settings = dict(config["config"])
    named = settings.get("Labels") or {}
    settings["Labels"] = {key: value for key, value in sorted(named.items()) if key not in _BUILDERS}
    return {
        "architecture": config["architecture"],
        "config": {key: settings[key] for key in sorted(settings)},
        "created": CREATED,
        "history": [{**step, "created": CREATED} for step in config.get("history", ())],
        "os": config["os"],
        "rootfs": {"type": "layers", "diff_ids": list(layers)},
    }


def settled_tar(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same tar, with no entry newer than the epoch. Raises ValueError when it is no tar."""
    stream = _Stream(chunks)
    while header := stream.exactly(_BLOCK):
        if header == _NOTHING:
            yield header
            yield from stream.rest()
            return
        yield _older(header)
        size = _number(header[124:136])
        yield from stream.some(-(-size // _BLOCK) * _BLOCK)


class _Stream:
    """Takes pieces of any size from chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def exactly(self, size: int) -> bytes:
        """So many bytes, or nothing at the end."""
        found = b"".join(self.some(size))
        if found and len(found) != size:
            raise ValueError("the tar ends in the middle")
        return found

    def some(self, size: int) -> Iterator[bytes]:
        """So many bytes in pieces; fewer at the end."""
        while size > 0:
            if not self._left:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._left = memoryview(chunk)
            piece, self._left = self._left[:size], self._left[size:]
            size -= len(piece)
            yield bytes(piece) if len(piece) < len(piece.obj) else piece.obj  # type: ignore[misc, arg-type]

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        if self._left:
            yield bytes(self._left)
        yield from self._chunks


def _older(header: bytes) -> bytes:
    if _number(header[_MTIME]) <= EPOCH:
        return header
    changed = bytearray(header)
    changed[_MTIME] = b"%011o\0" % EPOCH
    changed[_CHECKSUM] = b" " * 8
    changed[_CHECKSUM] = b"%06o\0 " % sum(changed)
    return bytes(changed)


def _number(field: bytes) -> int:
    if field[0] == 0xFF:
        return 0
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    return int(field.strip(b"\0 ") or b"0", 8)
