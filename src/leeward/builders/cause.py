"""One cause of a failed build: what a tool prints, and what that means."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """A pattern in the output, and what it means."""

    pattern: re.Pattern[str]
    message: str
    hint: str


def cause(pattern: str, message: str, hint: str) -> Cause:
    """A cause; the pattern's named groups are the fields of the message."""
    return Cause(re.compile(pattern, re.M), message, hint)
