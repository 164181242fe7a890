"""What of a variable's value is secret, and every form in which a build may write it down. Pure."""

import base64
import codecs
import html
import json
import math
import quopri
import re
from binascii import b2a_base64
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

# What is shorter occurs by chance, or is a word.
SHORTEST = 8
_DISTINCT = 5
_BITS = 16
# From here on a value is long enough to be no name, whatever it is made of.
_LONG = 24
_LONGEST_FORM = 192
_PIECE = 30
_MOST_PIECES = 12
_MOST_LINES = 4
_PHRASE = 16
_MADE_UP = 12
_HALF = 12
_BORING = re.compile(r"[a-z][a-z0-9+.-]*://[^@?#]*|[\w.+-]+@[\w.-]+|/[\w./-]*|(?:[\w-]+\.)+[a-z][\w-]*(?::\d+)?", re.I)
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential|auth", re.I)
_PAIR = re.compile(r"([\w.-]+)\s*=\s*([^;\s\"']+)")
_PLAIN = re.compile(r"[\w-]*", re.ASCII)
_NAME = re.compile(r"[\w./:@\s-]*")
_MARKER = re.compile(r"-----(?:BEGIN|END)[ A-Z0-9]*-----")
_A85 = bytes.maketrans(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~", bytes(range(33, 118))
)
_UU = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", b"`" + bytes(range(33, 96)))


def is_strong(text: str) -> bool:
    """Whether a text can be looked for without being found by chance.

    At least 8 characters, 5 of them different, 16 bits by their frequency; no URL without a password, no path, host
    or address. Below 24 characters it must also look like no name: letters alone need 16 characters, digits alone 12,
    of several parts joined by `-_./:@` or spaces one must mix letters and digits over 8 characters, or two do where
    all are 12; or there is another sign beside letters and digits.
    """
    if len(text) < SHORTEST or len(set(text)) < _DISTINCT or _bits(text) < _BITS:
        return False
    if _BORING.fullmatch(text) and not any(_is_random(part) for part in _parts(text)):
        return False
    if len(text) >= _LONG or (_is_mixed(text) and not _NAME.fullmatch(text)):
        return True
    parts = _parts(text)
    if len(parts) > 1:
        mixed = [part for part in parts if _is_mixed(part)]
        # `s3cr3t-v4lue-99` is made up, `eu-west1-b` is a name.
        made_up = len(mixed) > 1 and len(text) >= _MADE_UP
        return made_up or any(len(part) >= SHORTEST for part in mixed)
    if text.isdigit():
        return len(text) >= 12
    return len(text) >= _PHRASE or not text.isalpha()


def cores(value: str) -> frozenset[str]:
    """The value, and what within it is a secret by itself: passwords, first lines of a key, tokens, fields of JSON."""
    found = {value, value.strip(), *lines(value)[:_MOST_LINES], *_within(value.strip())}
    return frozenset(text for text in found if text)


def lines(value: str) -> list[str]:
    """The lines of a value that has several (a key file): each is a secret too."""
    found = [line.strip() for line in value.splitlines()]
    return [line for line in found if len(line) >= SHORTEST and not _MARKER.fullmatch(line)] if len(found) > 1 else []


def forms(text: str) -> frozenset[bytes]:
    """Every form of a text that is looked for; of a long form, pieces."""
    raw = text.encode("utf-8", "surrogatepass")
    found = {form[:_LONGEST_FORM] for form in {*_texts(text, raw), *_spaced(text, raw)}}
    # What is broken into lines, or in two, leaves one of these whole. A URL has parts that are no secret.
    if _is_mixed(text) and "://" not in text:
        found.update([piece for form in _packed(text, raw) for piece in _pieces(form, _HALF)])
        found.update([piece for form in _digits(raw) for piece in _pieces(form, _HALF * 2)])
    else:
        found.update([form[:_LONGEST_FORM] for form in (*_packed(text, raw), *_digits(raw))])
    found.discard(b"")
    if _is_random(text) and len(raw) >= 2 * _PHRASE:
        found.update((raw[: len(raw) // 2], raw[len(raw) // 2 :]))
    return frozenset(found)


def _within(value: str) -> Iterator[str]:
    if value.startswith(("{", "[")):
        try:
            yield from _fields(json.loads(value), "")
        except (ValueError, RecursionError):
            return
        return
    if "://" in value:
        yield from _of_url(value)
    for name, text in _PAIR.findall(value):
        if _SECRET_NAME.search(name):
            yield text
    for word in value.split():
        if _is_random(word) and len(word) >= _PHRASE:
            yield word


def _of_url(value: str) -> Iterator[str]:
    try:
        parts = urlsplit(value)
        password = parts.password or ""
    except ValueError:
        return
    yield from (password, unquote(password))
    for name, text in parse_qsl(parts.query):
        if _SECRET_NAME.search(name):
            yield text


def _fields(value: object, name: str) -> Iterator[str]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _fields(inner, str(key))
        case list():
            for inner in value:
                yield from _fields(inner, name)
        case str() if _SECRET_NAME.search(name) and "://" not in value:
            yield value
            yield from lines(value)[:_MOST_LINES]


def _texts(text: str, raw: bytes) -> Iterator[bytes]:
    """Forms that keep the text's characters, or most of them."""
    yield from (raw, raw[::-1])
    if len(text) >= _PHRASE:
        yield from (raw.upper(), raw.lower())
        yield codecs.encode(text, "rot13").encode("utf-8", "surrogatepass")
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield text.encode(encoding, "surrogatepass")
    yield quopri.encodestring(raw).rstrip(b"\n").removesuffix(b"=")
    if _PLAIN.fullmatch(text):
        # Nothing in it is ever escaped.
        return
    for safe in ("", "/", ":/?&=@"):
        quoted = quote(text, safe=safe, errors="replace")
        yield quoted.encode()
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted).encode()
        yield quote(quoted, safe="").encode()
    yield quote_plus(text, errors="replace").encode()
    for ascii in (True, False):
        once = json.dumps(text, ensure_ascii=ascii)[1:-1]
        twice = json.dumps(once, ensure_ascii=ascii)[1:-1]
        for escaped in (once, twice, once.replace("/", "\\/"), _tagless(once)):
            yield escaped.encode("utf-8", "surrogatepass")
    for changed in (
        repr(text)[1:-1],
        repr(raw)[2:-1],
        html.escape(text),
        html.escape(text, quote=False),
        text.replace("'", "'\\''"),
        text.replace("'", "''"),
        text.replace("=", "=3D"),
        text.replace("%", "%%"),
        text.replace("$", "$$"),
        text.replace("\n", "\\n"),
        re.sub(r"([:=#!\\ ])", r"\\\1", text),
        re.sub(r"([^\w@%+=:,./-])", r"\\\1", text),
        re.sub(r"([\"$`\\])", r"\\\1", text),
    ):
        yield changed.encode("utf-8", "surrogatepass")


def _spaced(text: str, raw: bytes) -> Iterator[bytes]:
    """Forms with a sign between the bytes."""
    decimal = ",".join(map(str, raw))
    yield from (decimal.replace(",", sign).encode() for sign in (",", ", ", " ", "\n"))
    yield "".join([f"\\{byte:03o}" for byte in raw]).encode()
    codes = [ord(character) for character in text]
    yield "".join([f"&#{code};" for code in codes]).encode()
    yield "".join([f"&#x{code:x};" for code in codes]).encode()
    yield "".join([f"\\u{code:04x}" for code in codes]).encode()
    yield "".join([f"\\u{code:04X}" for code in codes]).encode()
    for pairs in (raw.hex(" "), raw.hex(" ").upper()):
        yield from (pairs.replace(" ", sign).encode() for sign in (" ", ":", "\\x", "%", ", 0x", ",0x", "\n", "-"))
    # `xxd` and `od -x` print two bytes at a time, the latter the other way round; `hexdump -C` eight in a row.
    # Wherever their lines begin, one of eight windows is whole. That of a URL may be `https://` alone.
    for at in range(min(len(raw) - 7, 8) if "://" not in text else 0):
        eight = raw[at : at + 8]
        turned = bytes(eight[place] for place in (1, 0, 3, 2, 5, 4, 7, 6))
        yield from (eight.hex(" ", 2).encode(), turned.hex(" ", 2).encode(), eight.hex(" ").encode())


def _packed(text: str, raw: bytes) -> Iterator[bytes]:
    """Forms in another alphabet."""
    wide = text.encode("utf-16-le", "surrogatepass")
    for other in (raw, wide, raw[::-1], quote(text, safe="", errors="replace").encode(), raw.hex().encode()):
        for inner in _base64(other):
            yield inner
            yield inner.replace(b"+", b"-").replace(b"/", b"_")
            if other is raw:
                yield inner[::-1]
                yield inner.translate(_UU)
                yield inner.replace(b"+", b"%2B").replace(b"/", b"%2F")
                yield from _base64(inner)
    yield from _base32(raw)
    for phase in range(4):
        whole = raw[phase : phase + (len(raw) - phase) // 4 * 4]
        if len(whole) >= SHORTEST:
            b85 = base64.b85encode(whole)
            yield from (b85, b85.translate(_A85))


def _digits(raw: bytes) -> Iterator[bytes]:
    """Forms in hexadecimal digits."""
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    yield from (inner.hex().encode() for inner in _base64(raw))


def _base64(raw: bytes) -> list[bytes]:
    """The part of the encoded value that stays the same, wherever the value stands in the encoded text."""
    ends = [(before, (before + len(raw)) * 8 // 6) for before in range(3)]
    return [b2a_base64(bytes(before) + raw, newline=False)[(before * 8 + 5) // 6 : end] for before, end in ends]


def _base32(raw: bytes) -> Iterator[bytes]:
    for before in range(5):
        text = base64.b32encode(b"\0" * before + raw)
        stable = text[(before * 8 + 4) // 5 : (before + len(raw)) * 8 // 5]
        yield from (stable, stable.lower())


def _pieces(form: bytes, least: int) -> Sequence[bytes]:
    """Parts that hide the form together, each at least so long; the form itself where it is too short for any."""
    length = len(form)
    if length <= 2 * _PIECE:
        half = length // 2
        if half >= least:
            return form[:half], form[half:]
        return (form, form[half:]) if length - half >= least else (form,)
    starts = range(0, min(length - _PIECE + 1, _PIECE * _MOST_PIECES), _PIECE)
    return [*(form[at : at + _PIECE] for at in starts), form[:_LONGEST_FORM][-_PIECE:]]


def _tagless(text: str) -> str:
    """As Go writes JSON."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[-_./:@\s]+", text) if part]


def _is_mixed(text: str) -> bool:
    return any(character.isdigit() for character in text) and any(character.isalpha() for character in text)


def _is_random(text: str) -> bool:
    """Whether letters and digits, or cases, change as often as no name has it."""
    kinds = [1 if c.isdigit() else 2 if c.isupper() else 3 if c.islower() else 4 for c in text]
    changes = sum(1 for one, other in pairwise(kinds) if one != other)
    return len(text) >= _PHRASE and changes * 5 >= len(text) and len({1, 2, 3} & set(kinds)) >= 2 and "://" not in text


def _bits(text: str) -> float:
    return -sum(count * math.log2(count / len(text)) for count in Counter(text).values())
