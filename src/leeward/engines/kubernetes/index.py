"""Find values by what they belong to, without looking at all of them. Pure."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Index(Generic[K, T]):
    """Values by their own key, found by a part of them; told of each change, old and new."""

    def __init__(self, part: Callable[[T], Hashable]) -> None:
        self._part = part
        self._found: dict[Hashable, dict[K, T]] = {}

    def told(self, key: K, before: T | None, after: T | None) -> None:
        """Take a change over."""
        if before is not None and (after is None or self._part(before) != self._part(after)):
            there = self._found.get(self._part(before), {})
            there.pop(key, None)
            if not there:
                self._found.pop(self._part(before), None)
        if after is not None:
            self._found.setdefault(self._part(after), {})[key] = after

    def of(self, part: Hashable) -> Mapping[K, T]:
        """The values with this part."""
        return self._found.get(part, {})

    def one(self, part: Hashable) -> T | None:
        """Any value with this part; None when there is none."""
        return next(iter(self.of(part).values()), None)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(tuple(self._found))
