"""Watches a build's log for secrets that masking did not see because they are spread over lines. Pure."""

from leeward.builders.secret_finder import Finder
from leeward.builders.secret_scan import Leak
from leeward.ports import Say

_STARS = "********"


class LogWatch:
    """Hands lines on, without what is found in one; remembers what was found across several."""

    def __init__(self, finder: Finder, say: Say) -> None:
        self._finder, self._say = finder, say
        self._tail = b""
        self.leaks: dict[Leak, None] = {}

    def line(self, line: str) -> None:
        """Take one line."""
        text = line.encode("utf-8", "surrogatepass")
        for start, end in reversed(self._finder.covered(text)):
            text = text[:start] + _STARS.encode() + text[end:]
        # Broken into lines it is as readable as whole: line ends and margins are not looked at.
        joined = self._tail + text.strip()
        for hit in self._finder.hits(joined):
            self.leaks[Leak(hit.name, "the build log, spread over lines")] = None
        self._tail = joined[-max(0, self._finder.longest - 1) :] if self._finder.longest > 1 else b""
        self._say(text.decode("utf-8", "replace"))
