"""Match branches and files against patterns in time that nobody can blow up. Pure.

`*` and `?` stay in one folder, `**` crosses folders, and a pattern that names a folder means all below it.
"""

from collections.abc import Sequence


def matches(pattern: str, path: str) -> bool:
    """Whether the whole path matches, from the root: `backend/**`, `**/*.md`, `release-*`, `docs`."""
    wanted = [part for part in pattern.strip("/").split("/") if part != "."]
    return _parts(wanted, path.split("/"), below="*" not in wanted[-1] and "?" not in wanted[-1])


def any_match(patterns: Sequence[str], path: str) -> bool:
    """Whether one of the patterns matches."""
    return any(matches(pattern, path) for pattern in patterns)


def _parts(wanted: Sequence[str], parts: Sequence[str], below: bool) -> bool:
    """Folder by folder: `reached` are the places in the pattern where one can be."""
    reached = _skip({0}, wanted)
    for part in parts:
        if below and len(wanted) in reached:
            return True
        step = {place for place in reached if place < len(wanted) and wanted[place] == "**"}
        step |= {place + 1 for place in reached if place < len(wanted) and _part(wanted[place], part)}
        reached = _skip(step, wanted)
    return len(wanted) in reached


def _skip(places: set[int], wanted: Sequence[str]) -> set[int]:
    """`**` matches no folder at all, too."""
    for place in sorted(places):
        while place < len(wanted) and wanted[place] == "**":
            place += 1
            places.add(place)
    return places


def _part(pattern: str, text: str) -> bool:
    """One folder or file name: go on greedily, and come back to the last star only."""
    at = here = 0
    star, tried = -1, 0
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, tried, at = at, here, at + 1
        elif at < len(pattern) and pattern[at] in ("?", text[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            tried += 1
            at, here = star + 1, tried
        else:
            return False
    return not pattern[at:].strip("*")
