"""Show numbers of an app over time."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Json

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


def metrics(
    app: App, /, *, minutes: Annotated[int, Parameter(help="How far back.")] = 60, as_json: Json = False
) -> int:
    """Show CPU, memory and requests of an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.get(path("apps", app, "metrics"), minutes=minutes)
    if as_json:
        return output.as_json(found)
    series = found.get("series", found) if isinstance(found, dict) else {}
    rows = [
        (named(name), amount(name, values[-1]), amount(name, max(values)), bars(values))
        for name, points in sorted(series.items())
        if (values := _values(points))
    ]
    return output.table(("WHAT", "NOW", "MOST", f"LAST {minutes} MINUTES"), rows, f"no numbers of '{app}' yet")


def bars(values: Sequence[float], width: int = _WIDTH) -> str:
    """A picture of the numbers, from zero to the largest, the newest at the right."""
    step = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for i in range(0, len(values), step) if (part := values[i : i + step])]
    top = max(means) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, max(0, int(value / top * len(_BARS))))] for value in means)


def named(series: str) -> str:
    """A series with its instance as the other commands call it: by the end of its name."""
    return "/".join(output.short(part) if re.fullmatch(r".+-g\d+-\w+", part) else part for part in series.split("/"))


def amount(name: str, value: float) -> str:
    """A number with what it counts, by the name of its series."""
    if "bytes" in name or "memory" in name:
        return f"{value / 2**20:,.1f} MiB"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _values(points: Any) -> list[float]:
    return [float(p[1]) for p in points if isinstance(p, list | tuple) and len(p) == 2 and p[1] is not None]
