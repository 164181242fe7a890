"""Samples to the lines of a chart, with the words beside it. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from leeward.model.sizes import SIZES
from leeward.services.views import AppView
from leeward.web.words import amount

Points = Sequence[tuple[float, float]]
MIB = 1024 * 1024
LINES = 8
_TAIL = re.compile(r"-([0-9a-f]{4,12})$")


class Kind(NamedTuple):
    """One chart: its heading, the metrics that it draws, and the unit."""

    title: str
    metrics: Mapping[str, str]
    unit: str
    by_instance: bool
    empty: str = "No samples yet: the first ones come within half a minute."


KINDS: Mapping[str, Kind] = {
    "requests": Kind("Requests", {"requests_per_s": "Requests", "failed_per_s": "Failed"}, "/s", False),
    "latency": Kind("Latency", {"p50_ms": "p50", "p99_ms": "p99"}, "ms", False, "No requests in this time."),
    "cpu": Kind("CPU", {"cpu_cores": ""}, "%", True),
    "memory": Kind("Memory", {"memory_bytes": ""}, "MiB", True),
}
RANGES: Mapping[int, str] = {15: "15 min", 60: "1 h", 360: "6 h", 1440: "24 h", 10080: "7 days"}


def chart(name: str, series: Mapping[str, Points], app: AppView) -> dict[str, Any]:
    """The lines of one chart over common times; None where a line has no value."""
    kind = KINDS[name]
    lines = _fewer(dict(_lines(kind, series, _scale(kind, app))))
    times = sorted({at for points in lines.values() for at, _ in points})
    values = [_aligned(points, times) for points in lines.values()]
    return {
        "title": kind.title,
        "unit": kind.unit,
        "names": list(lines),
        "times": times,
        "values": values,
        "now": _now(kind, lines),
        "empty": kind.empty,
        "limit": 100 if name == "cpu" else None,
    }


def _scale(kind: Kind, app: AppView) -> Callable[[str, float], float]:
    """CPU as percent of the size's limit, memory as MiB, all else as it is."""
    limits = {process.name: SIZES[process.size] for process in app.processes}

    def scaled(process: str, value: float) -> float:
        if kind.unit == "%":
            limit = limits.get(process)
            return round(value * 100_000 / limit.millicpu, 2) if limit else round(value * 100, 2)
        return round(value / MIB, 1) if kind.unit == "MiB" else round(value, 2)

    return scaled


def _lines(kind: Kind, series: Mapping[str, Points], scaled: Callable[[str, float], float]) -> list[tuple[str, Points]]:
    found: list[tuple[str, Points]] = []
    for metric, label in kind.metrics.items():
        for key in sorted(series):
            process, _, rest = key.partition("/")
            instance, _, measured = rest.rpartition("/")
            if measured == metric and (process == "edge") is not kind.by_instance:
                name = label or f"{process} {short(instance, process)}".strip()
                found.append((name, [(at, scaled(process, value)) for at, value in series[key]]))
    return found


def _fewer(lines: Mapping[str, Points]) -> dict[str, Points]:
    """The lines that go on, and of those that have ended only the newest: more than a few cannot be told apart."""
    newest = sorted((name for name, points in lines.items() if points), key=lambda name: lines[name][-1][0])
    ended = len(newest) - len(_current(lines))
    dropped = set(newest[: max(0, min(ended, len(newest) - LINES))])
    return {name: points for name, points in lines.items() if points and name not in dropped}


def _current(lines: Mapping[str, Points]) -> dict[str, float]:
    """The newest value of each line that goes on until now; those of ended instances are the past's."""
    last = max((points[-1][0] for points in lines.values() if points), default=0.0)
    steps = [points[-1][0] - points[-2][0] for points in lines.values() if len(points) > 1]
    since = last - 1.5 * min(steps, default=0.0)
    return {name: points[-1][1] for name, points in lines.items() if points and points[-1][0] >= since}


def short(instance: str, process: str = "") -> str:
    """The last part of an instance's name, to tell it from its siblings."""
    match = _TAIL.search(instance)
    if match:
        return match[1]
    return "" if process and instance.endswith(f"-{process}") else instance.rsplit("-", 1)[-1]


def _aligned(points: Points, times: Sequence[float]) -> list[float | None]:
    known = dict(points)
    return [known.get(at) for at in times]


def _now(kind: Kind, lines: Mapping[str, Points]) -> str:
    """The newest values in words."""
    newest = _current(lines)
    if not newest:
        return ""
    match kind.unit:
        case "%":
            return ("busiest " if len(newest) > 1 else "") + f"{round(max(newest.values()))}%"
        case "MiB":
            return f"{amount(round(sum(newest.values())))} MiB" + (" in all" if len(newest) > 1 else "")
        case "ms":
            return " · ".join(f"{name} {amount(round(value, 1))} ms" for name, value in newest.items())
        case _:
            return f"{amount(round(next(iter(newest.values())), 1))}{kind.unit}"
