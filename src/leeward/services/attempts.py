"""Slow down whoever guesses passwords."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leeward.errors import TooMany

FREE = 5
FIRST_WAIT_S = 30
LONGEST_WAIT_S = 900
# After this long without a wrong try, all is forgotten.
FORGET_S = 3600
KEYS_MAX = 10_000


@dataclass(slots=True)
class _Tries:
    count: int
    last: datetime


class Attempts:
    """Counts tries by key (a name, an address): five are free, then each wrong one doubles the wait."""

    def __init__(self) -> None:
        self._tries: dict[str, _Tries] = {}

    def enter(self, keys: Sequence[str], now: datetime) -> None:
        """Count a try before it is judged, so that many at once are many. Raises TooMany, then nothing is counted."""
        for key in keys:
            wait = self._wait(key, now)
            if wait > 0:
                raise TooMany(
                    "too many wrong sign-ins",
                    retry_after_s=max(1, round(wait)),
                    hint=f"wait {max(1, round(wait))} seconds, or use a token",
                )
        for key in keys:
            tries = self._tries.pop(key, None) or _Tries(0, now)
            self._tries[key] = _Tries(tries.count + 1, now)
        while len(self._tries) > KEYS_MAX:
            del self._tries[next(iter(self._tries))]

    def _wait(self, key: str, now: datetime) -> float:
        tries = self._tries.get(key)
        if tries is None:
            return 0.0
        quiet = (now - tries.last).total_seconds()
        if quiet > FORGET_S:
            del self._tries[key]
            return 0.0
        over = tries.count - FREE
        return min(FIRST_WAIT_S * 2.0**over, LONGEST_WAIT_S) - quiet if over >= 0 else 0.0

    def succeeded(self, keys: Sequence[str]) -> None:
        """Forget the tries of the first key (the name); take back one of the others: an address has many people."""
        for position, key in enumerate(keys):
            tries = self._tries.get(key)
            if tries is None:
                continue
            if position == 0 or tries.count <= 1:
                del self._tries[key]
            else:
                tries.count -= 1
