"""Hides secret values in a build's output, whatever the build did to them. Pure."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

STARS = b"********"
# Shorter values, and these, are no secrets: hiding them would make a log unreadable.
_SHORTEST = 6
_WORDS = frozenset({"development", "production", "staging", "localhost", "127.0.0.1", "0.0.0.0", "default", "enabled"})


class Masker:
    """Replaces each value, raw and as base64, hexadecimal, URL or JSON text, by stars."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= _SHORTEST}
        # The longest first, or a part of a secret would be replaced and the rest of it be shown.
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        self.longest = len(self._forms[0]) if self._forms else 0
        """Bytes of an unfinished line that must be held back, so that no form is cut in two."""

    def mask(self, data: bytes) -> bytes:
        """The same bytes without the secrets. May be applied twice."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, STARS)
        return data

    def text(self, text: str) -> str:
        """The same for text."""
        return self.mask(text.encode()).decode()


def _forms(value: str) -> Iterable[bytes]:
    if value.strip().lower() in _WORDS:
        return
    # Output is masked line by line: of a value with several lines (a key file) each line is a secret.
    for line in {value.strip(), *(part.strip() for part in value.splitlines())}:
        raw = line.encode()
        if "\n" in line or len(raw) < _SHORTEST:
            continue
        yield raw
        yield raw[::-1]
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        yield quote(line, safe="").encode()
        yield quote_plus(line).encode()
        yield re.sub(rb"%[0-9A-F]{2}", lambda match: match[0].lower(), quote(line, safe="").encode())
        yield json.dumps(line)[1:-1].encode()
        yield json.dumps(line, ensure_ascii=False)[1:-1].encode()
        yield repr(line)[1:-1].encode()
    yield from _base64(value.encode())
    yield from _base64(value.strip().encode())


def _base64(raw: bytes) -> Iterable[bytes]:
    """The part of the encoded value that stays the same, wherever the value stands in the encoded text."""
    if len(raw) < _SHORTEST:
        return
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        stable = text[first:last]
        yield stable
        yield stable.replace(b"+", b"-").replace(b"/", b"_")
        # `base64` breaks its lines after 76 characters: each piece is a secret too.
        if before == 0:
            for at in range(0, len(stable), 76):
                yield stable[at : at + 76]
