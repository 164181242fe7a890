"""Finds many needles in one pass. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick, Implementation

from leeward.builders.secret_forms import cores, forms, is_strong, lines

# A table for each state is twice as fast as the compact one, but takes long to make and much memory: worth it for many
# bytes, and not for very many needles (100,000 states: 60 ms and 30 MiB).
_MANY_BYTES = 64 * 1024 * 1024
_MOST_STATES = 100_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A needle's place in some bytes, and the variable that it belongs to."""

    name: str
    start: int
    end: int


class Finder:
    """Looks for every needle at once; safe to use from several threads."""

    def __init__(self, needles: Mapping[bytes, tuple[str, ...]]) -> None:
        self._needles = sorted(needles)
        self._names = [needles[needle] for needle in self._needles]
        self._automaton = BytesAhoCorasick(self._needles) if needles else None
        self._seen = 0
        self.longest = max(map(len, needles), default=0)

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every place for each variable, overlapping ones too."""
        if self._automaton is None or not data:
            return
        self._seen += len(data)
        if self._seen > _MANY_BYTES and self._needles:
            some, self._needles = self._needles, []
            if sum(map(len, some)) <= _MOST_STATES:
                self._automaton = BytesAhoCorasick(some, implementation=Implementation.DFA)
        for needle, start, end in self._automaton.find_matches_as_indexes(data, overlapping=True):
            for name in self._names[needle]:
                yield Hit(name, start, end)

    def covered(self, data: bytes) -> list[tuple[int, int]]:
        """The parts that are hidden together, in order; no two touch."""
        found: list[tuple[int, int]] = []
        for start, end in sorted((hit.start, hit.end) for hit in self.hits(data)):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((start, end))
        return found


def needles(secrets: Mapping[str, str]) -> dict[bytes, tuple[str, ...]]:
    """What to look for: form to the variables' names. Values that occur by chance are left out: see `is_strong`."""
    found: dict[bytes, tuple[str, ...]] = {}
    for name in sorted(secrets):
        mine = {form for core in cores(secrets[name]) if is_strong(core) for form in forms(core)}
        mine |= {line.encode("utf-8", "surrogatepass") for line in lines(secrets[name]) if is_strong(line)}
        for form in mine:
            found[form] = (*found.get(form, ()), name)
    return found


def overlooked(secrets: Mapping[str, str]) -> Iterable[str]:
    """Variables that nothing is looked for of."""
    return [name for name in sorted(secrets) if not any(is_strong(core) for core in cores(secrets[name]))]
