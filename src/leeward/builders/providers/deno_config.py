"""Read Deno's configuration, which is JSON with comments."""

import json
from collections.abc import Mapping
from typing import Any

from leeward.builders.tree import AppView
from leeward.errors import PlanFailed

CONFIGS = ("deno.json", "deno.jsonc")


def without_comments(view: AppView, path: str) -> Mapping[str, Any]:
    """The object of a file. Raises PlanFailed naming line and column."""
    bare = plain(view.whole(path))
    if not bare.strip():
        return {}
    try:
        value = json.loads(bare)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = (str(error) or "too deeply nested").splitlines()[0][:200]
        raise PlanFailed(f"'{path}' is not JSON: {reason}", hint=f"correct '{path}'") from error
    if not isinstance(value, Mapping):
        raise PlanFailed(f"'{path}' must hold an object", hint="begin it with '{'")
    return value


def plain(text: str) -> str:
    """The text without comments and without commas before a closing bracket; its lines stay where they are."""
    pieces: list[str] = []
    comma = -1
    place = 0
    while place < len(text):
        sign = text[place]
        end = place + 1
        if sign == '"':
            end = _after_text(text, place)
        elif text.startswith("//", place):
            end = _found(text.find("\n", place), text)
        elif text.startswith("/*", place):
            end = _found(text.find("*/", place + 2), text, 2)
        comment = sign == "/" and end > place + 1
        piece = "\n" * text.count("\n", place, end) if comment else text[place:end]
        if sign in "}]" and comma >= 0:
            pieces[comma] = ""
        if not comment and not sign.isspace():
            comma = len(pieces) if sign == "," else -1
        pieces.append(piece)
        place = end
    return "".join(pieces)


def _after_text(text: str, place: int) -> int:
    place += 1
    while place < len(text) and text[place] != '"':
        place += 2 if text[place] == "\\" else 1
    return min(place + 1, len(text))


def _found(place: int, text: str, more: int = 0) -> int:
    return len(text) if place < 0 else place + more
