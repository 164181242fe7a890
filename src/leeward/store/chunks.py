"""Pack the samples of one series and hour, and unpack them. Pure.

Times and values become differences, their bytes are sorted by place (most of the high ones are zero), and zstd
does the rest: about two bytes a sample for measured values.
"""

import struct
import sys
from array import array
from collections.abc import Sequence

import zstandard

HOUR_S = 3600
Point = tuple[float, float]

# What is measured is kept in steps of 1/1000, and finer when all of it is small (cores, shares); very large
# values as they are.
_SCALES = {b"f": 100_000, b"m": 1000}
_SMALL, _LARGE = 1000.0, 2.0**52 / 1000
_HEAD = struct.Struct("<cI")


def pack(hour: int, points: Sequence[Point]) -> bytes:
    """Points of the hour that begins at `hour * 3600`; times are kept to the millisecond, finite values to 1/1000."""
    offsets = [round((at - hour * HOUR_S) * 1000) for at, _ in points]
    times = _lanes(array("q", _differences(offsets)))
    largest = max((abs(value) for _, value in points), default=0.0)
    kind = b"f" if largest < _SMALL else b"m" if largest < _LARGE else b"d"
    if scale := _SCALES.get(kind):
        values = _lanes(array("q", _differences([round(value * scale) for _, value in points])))
    else:
        values = _lanes(array("d", [value for _, value in points]))
    return _HEAD.pack(kind, len(points)) + zstandard.compress(times + values, 3)


def unpack(hour: int, data: bytes) -> list[Point]:
    """The points of a chunk."""
    kind, count = _HEAD.unpack_from(data)
    lanes = zstandard.decompress(data[_HEAD.size :])
    offsets = _sums(_rows("q", lanes[: count * 8]))
    values: Sequence[float]
    if scale := _SCALES.get(kind):
        values = [number / scale for number in _sums(_rows("q", lanes[count * 8 :]))]
    else:
        values = _rows("d", lanes[count * 8 :])
    return [(hour * HOUR_S + offset / 1000, value) for offset, value in zip(offsets, values, strict=True)]


def averages(points: Sequence[Point], since: float, until: float, step_s: float) -> list[Point]:
    """The mean of each step from `since` up to `until`, at the step's beginning; steps without points are left out."""
    sums: dict[int, tuple[float, int]] = {}
    for at, value in points:
        if since <= at < until:
            step = int((at - since) // step_s)
            total, count = sums.get(step, (0.0, 0))
            sums[step] = (total + value, count + 1)
    return [(since + step * step_s, total / count) for step, (total, count) in sorted(sums.items())]


def _differences(numbers: Sequence[int]) -> list[int]:
    return [number - before for number, before in zip(numbers, (0, *numbers), strict=False)]


def _sums(differences: Sequence[int]) -> list[int]:
    total, sums = 0, []
    for difference in differences:
        total += difference
        sums.append(total)
    return sums


def _lanes(numbers: "array[int] | array[float]") -> bytes:
    """All lowest bytes, then all second ones …"""
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return b"".join(data[place::8] for place in range(8))


def _rows(kind: str, lanes: bytes) -> "array[int]":
    count = len(lanes) // 8
    data = bytearray(len(lanes))
    for place in range(8):
        data[place::8] = lanes[place * count : (place + 1) * count]
    numbers = array(kind)
    numbers.frombytes(bytes(data))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
