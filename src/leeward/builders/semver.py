"""Read npm's version ranges.

The grammar is that of node-semver without pre-releases: `||`, hyphen ranges, comparators, `x`, `~` and `^`.
"""

import re
from collections.abc import Callable

Version = tuple[int, int, int]
Accepts = Callable[[Version], bool]

_END = (10**9, 0, 0)
_COMPARATOR = re.compile(
    r"(>=|<=|>|<|=|\^|~>|~)?\s*v?(\*|[xX]|\d{1,9})(?:\.(\*|[xX]|\d{1,9}))?(?:\.(\*|[xX]|\d{1,9}))?"
)
_REST = re.compile(r"[-+][0-9A-Za-z.+-]*")
_MAX_TEXT = 256


def parse(text: str) -> Accepts | None:
    """What a range accepts; None when the text is no range."""
    if len(text) > _MAX_TEXT:
        return None
    spans: list[tuple[tuple[Version, Version], ...]] = []
    for part in text.split("||"):
        found = _all(part.strip())
        if found is None:
            return None
        spans.append(found)
    return lambda version: any(all(low <= version < high for low, high in span) for span in spans)


def _all(text: str) -> tuple[tuple[Version, Version], ...] | None:
    """The half-open spans that must all hold."""
    if text in ("", "latest", "current", "node", "stable"):
        return (((0, 0, 0), _END),)
    first, hyphen, last = text.partition(" - ")
    if hyphen:
        low, high = _one(f">={first.strip()}"), _one(f"<={last.strip()}")
        return (low, high) if low and high else None
    spans = []
    position = 0
    while position < len(text):
        match = _COMPARATOR.match(text, position)
        if not match:
            return None
        rest = _REST.match(text, match.end())
        span = _one(match.group())
        if span is None:
            return None
        spans.append(span)
        position = rest.end() if rest else match.end()
        while position < len(text) and text[position] in " ,\t":
            position += 1
    return tuple(spans)


def _one(text: str) -> tuple[Version, Version] | None:
    match = _COMPARATOR.match(text)
    if not match:
        return None
    sign = match.group(1) or "="
    numbers = []
    for part in match.groups()[1:]:
        if part is None or part in "*xX":
            break
        numbers.append(int(part))
    low: Version = (*numbers, 0, 0, 0)[:3]  # type: ignore[assignment]
    return _span(sign, numbers, low)


def _span(sign: str, numbers: list[int], low: Version) -> tuple[Version, Version]:
    if not numbers:
        return ((0, 0, 0), (0, 0, 0)) if sign in ("<", ">") else ((0, 0, 0), _END)
    after = _next(numbers, len(numbers))
    match sign:
        case ">=":
            return low, _END
        case ">":
            return after, _END
        case "<":
            return (0, 0, 0), low
        case "<=":
            return (0, 0, 0), after
        case "^":
            zeros = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
            return low, _next(numbers, zeros + 1)
        case "~" | "~>":
            return low, _next(numbers, min(2, len(numbers)))
        case _:
            return low, after


def _next(numbers: list[int], places: int) -> Version:
    """The first version after all that begin with these numbers."""
    up = [*numbers[: places - 1], numbers[places - 1] + 1]
    version: Version = (*up, 0, 0, 0)[:3]  # type: ignore[assignment]
    return version
