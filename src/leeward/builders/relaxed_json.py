"""Read JSON as people write it: comments, trailing commas, single quotes, bare keys.

A subset of JSON5, read as tokens that are joined to strict JSON again; numbers beyond JSON's are refused.
"""

import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<double>"(?:[^"\\\n]|\\.)*")
    |(?P<single>'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[{}\[\]:,])
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<word>[A-Za-z_$][\w$-]*)""",
    re.S | re.X,
)
_LITERALS = frozenset({"true", "false", "null"})


def loads(text: str) -> Any:
    """The value. Raises ValueError naming the line."""
    out: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"line {text.count(chr(10), 0, place) + 1}: '{text[place : place + 20].splitlines()[0]}'")
        place = match.end()
        if match.lastgroup != "space":
            out.append(_strict(match.lastgroup or "", match.group()))
    closed = [
        token
        for token, follows in zip(out, [*out[1:], ""], strict=True)
        if not (token == "," and follows in ("}", "]"))
    ]
    return json.loads(" ".join(closed))


def _strict(kind: str, token: str) -> str:
    match kind:
        case "single":
            inner = token[1:-1].replace("\\'", "'").replace('\\"', '"').replace('"', '\\"')
            return f'"{inner}"'
        case "word":
            return token if token in _LITERALS else json.dumps(token)
        case "number":
            bare = token.removeprefix("+")
            sign, digits = ("-", bare[1:]) if bare.startswith("-") else ("", bare)
            whole = f"0{digits}" if digits.startswith(".") else digits
            return sign + (f"{whole}0" if whole.endswith(".") else whole)
        case _:
            return token
