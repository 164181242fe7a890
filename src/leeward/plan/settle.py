"""Give a built image the bytes that its source alone decides: no times and places of its build. Pure.

BuildKit dates what it copies and runs. A layer's entries that are newer than the epoch get an older time, and the
configuration loses the dates and labels of this one build.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# 2026-01-01, as the sources and base images have it.
EPOCH = 1_767_225_600
CREATED = "2026-01-01T00:00:00Z"
# The labels that name who built it: the same commit is the same image, whoever builds it.
_BUILDERS = ("leeward.home",)
_BLOCK = 512
_MTIME, _CHECKSUM = slice(136, 148), slice(148, 156)
_YEAR_S = 365 * 86400
# Of a larger file only the beginning decides about its time.
_LOOKED_AT = 4 * 1024 * 1024


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


def settled_tar(entries: Iterable[tuple[bytes, Iterator[bytes]]]) -> Iterator[bytes]:
    """The same tar, with no entry newer than the epoch, from the header and the content of each entry.

    A file that was newer gets a time that depends on its content: servers tell by size and time whether it changed.
    """
    for header, content in entries:
        if not dated(header):
            yield header
            yield from content
            continue
        checksum, first, size = 0, [], 0
        for chunk in content:
            first.append(chunk)
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
            if size >= _LOOKED_AT:
                break
        yield header[:-_BLOCK] + _dated(header[-_BLOCK:], moment(checksum) if first else EPOCH)
        yield from first
        yield from content


def dated(header: bytes) -> bool:
    """Whether an entry is newer than the epoch, so that its time is changed."""
    return len(header) >= _BLOCK and _number(header[-_BLOCK:][_MTIME]) > EPOCH


def moment(checksum: int) -> int:
    """The time of a file with such content, within the year before the epoch."""
    return EPOCH - checksum % _YEAR_S


def _dated(header: bytes, when: int) -> bytes:
    changed = bytearray(header)
    changed[_MTIME] = b"%011o\0" % when
    changed[_CHECKSUM] = b" " * 8
    changed[_CHECKSUM] = b"%06o\0 " % sum(changed)
    return bytes(changed)


def _number(field: bytes) -> int:
    if field[0] == 0xFF:
        return 0
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    return int(field.strip(b"\0 ") or b"0", 8)
