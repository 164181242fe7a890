"""Hides secret values in a build's output, whatever the build did to them. Pure."""

from collections.abc import Iterable

from leeward.builders.secret_finder import Finder
from leeward.builders.secret_forms import cores, forms, is_strong, lines

STARS = b"********"
# Shorter values, and these, are no secrets: hiding them would make a log unreadable.
_SHORTEST = 6
_WORDS = frozenset({"development", "production", "staging", "localhost", "127.0.0.1", "0.0.0.0", "default", "enabled"})


class Masker:
    """Replaces each value, raw and in every form that the scan of images knows, by stars."""

    def __init__(self, values: Iterable[str]) -> None:
        self._finder = Finder({form: ("",) for value in values for form in _forms(value) if len(form) >= _SHORTEST})
        self.longest = self._finder.longest
        """Bytes of an unfinished line that must be held back, so that no form is cut in two."""

    def mask(self, data: bytes) -> bytes:
        """The same bytes without the secrets. May be applied twice."""
        parts = self._finder.covered(data)
        if not parts:
            return data
        shown, at = [], 0
        for start, end in parts:
            shown += [data[at:start], STARS]
            at = end
        return b"".join((*shown, data[at:]))

    def text(self, text: str) -> str:
        """The same for text."""
        return self.mask(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


def _forms(value: str) -> Iterable[bytes]:
    """Of a value that is looked for in images all forms; of any other the plain ones."""
    text = value.strip()
    if text.lower() in _WORDS or len(text.encode()) < _SHORTEST:
        return
    for core in {value, text, *(core for core in cores(value) if is_strong(core))}:
        yield from forms(core)
    yield from (line.encode() for line in lines(value))
