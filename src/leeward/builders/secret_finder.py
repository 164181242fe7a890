"""Finds many needles in one pass. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick, Implementation

from leeward.builders.secret_forms import cores, forms, is_strong, lines

# The automaton looks for the middle of each needle only, and the rest is compared where that is found: a tenth of the
# states, so that it is made sooner and stays in the processor's cache. Eight bytes are rarely there by chance.
_MIDDLE = 8
# A table for each state is twice as fast as the compact one, but takes long to make: worth it for many bytes.
_MANY_BYTES = 32 * 1024 * 1024
_MOST_STATES = 200_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A needle's place in some bytes, and the variable that it belongs to."""

    name: str
    start: int
    end: int


class Finder:
    """Looks for every needle at once; safe to use from several threads."""

    def __init__(self, needles: Mapping[bytes, tuple[str, ...]]) -> None:
        self._needles = needles
        self._order = list(needles)
        middles = [_middle(needle) for needle in self._order]
        self._states = sum(map(len, middles))
        self._automaton = BytesAhoCorasick(middles, implementation=Implementation.ContiguousNFA) if needles else None
        self._seen = 0
        self.longest = max(map(len, needles), default=0)

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every place for each variable, overlapping ones too."""
        if self._automaton is None or not data:
            return
        before, self._seen = self._seen, self._seen + len(data)
        if before <= _MANY_BYTES < self._seen and self._states <= _MOST_STATES:
            middles = [_middle(needle) for needle in self._order]
            self._automaton = BytesAhoCorasick(middles, implementation=Implementation.DFA)
        for number, found, _ in self._automaton.find_matches_as_indexes(data, overlapping=True):
            needle = self._order[number]
            start = found - max(0, len(needle) - _MIDDLE) // 2
            if start >= 0 and data.startswith(needle, start):
                for name in self._needles[needle]:
                    yield Hit(name, start, start + len(needle))

    def covered(self, data: bytes) -> list[tuple[int, int]]:
        """The parts that are hidden together, in order; no two touch."""
        found: list[tuple[int, int]] = []
        for start, end in sorted((hit.start, hit.end) for hit in self.hits(data)):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((start, end))
        return found


def _middle(needle: bytes) -> bytes:
    at = max(0, len(needle) - _MIDDLE) // 2
    return needle[at : at + _MIDDLE]


def needles(secrets: Mapping[str, str]) -> dict[bytes, tuple[str, ...]]:
    """What to look for: form to the variables' names. Values that occur by chance are left out: see `is_strong`."""
    found: dict[bytes, tuple[str, ...]] = {}
    for name in sorted(secrets):
        own = (name,)
        mine = {form for core in cores(secrets[name]) if is_strong(core) for form in forms(core)}
        mine.update(line.encode("utf-8", "surrogatepass") for line in lines(secrets[name]) if is_strong(line))
        for form in mine:
            if found.setdefault(form, own) is not own:
                found[form] += own
    return found


def overlooked(secrets: Mapping[str, str]) -> Iterable[str]:
    """Variables that nothing is looked for of."""
    return [name for name in sorted(secrets) if not any(is_strong(core) for core in cores(secrets[name]))]
