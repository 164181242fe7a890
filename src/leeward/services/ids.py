"""Identifiers that sort by the time they were made."""

import secrets
from datetime import datetime


class Ids:
    """Makes ids: 11 hex digits of milliseconds (strictly growing here), then 10 random ones."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: datetime) -> str:
        """An id that sorts after every one that was given before."""
        self._last = max(self._last + 1, int(now.timestamp() * 1000))
        return f"{self._last:011x}{secrets.token_hex(5)}"
