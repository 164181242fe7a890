"""Hands a build's lines on, up to a bound."""

from leeward.builders.progress import Progress
from leeward.ports import Say

_MOST = 8 * 1024 * 1024


class Sink:
    """Takes the client's lines; after 8 MiB it says so once, and shows only the steps' own lines."""

    def __init__(self, progress: Progress, say: Say, most: int = _MOST) -> None:
        self._progress, self._say, self._left = progress, say, most

    def line(self, line: str) -> None:
        """Take one line."""
        for text in self._progress.feed(line):
            if self._left > 0:
                self._left -= len(text) + 1
                self._say(text)
                if self._left <= 0:
                    self._say("(the build printed more than 8 MiB: the rest is left out)")
            elif not text.startswith("    "):
                self._say(text)
