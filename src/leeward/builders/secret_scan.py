"""Looks for secrets in everything that an image is made of."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from leeward.builders.secret_finder import Finder
from leeward.builders.secret_inside import Unpacker, opened
from leeward.ports import Entry

# Each finding is one line of a log: more of them do not help.
MOST = 20


class Stopped(Exception):
    """The scan was cancelled."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Where a secret lies: its variable's name, and a place in words that holds no secret."""

    name: str
    place: str


class Scan:
    """One image's scan. Use from one thread; `stop` may be set from another."""

    def __init__(self, finder: Finder, stop: threading.Event | None = None) -> None:
        self._finder, self._stop = finder, stop or threading.Event()
        self.leaks: dict[Leak, None] = {}
        self.unread: dict[str, None] = {}
        """Packed files that could not be opened, or are too large unpacked; their packed bytes were looked at."""

    def layer(self, entries: Iterable[Entry], made_by: str = "") -> None:
        """Every file's content, name and tar header. Raises Stopped."""
        about = f", made by '{self._clean(made_by)[:120]}'" if made_by else ""
        for entry in entries:
            self._ended()
            place = partial(self._file, entry.path, about)
            self._look(entry.path.encode("utf-8", "surrogateescape"), place, "the name of ")
            self._look(entry.header, place, "the header (owner, link, attributes) of ")
            self._content(entry, about)

    def config(self, config: bytes) -> None:
        """Variables, labels, commands and history."""
        self._look(config, lambda: "the image's configuration")
        for where, text in _strings(json.loads(config), ""):
            self._look(text.encode("utf-8", "surrogatepass"), partial(self._clean, where), "the image's ")
        specific = [leak for leak in self.leaks if leak.place.startswith("the image's ")]
        known = {leak.name for leak in specific if leak.place != "the image's configuration"}
        for leak in specific:
            if leak.place == "the image's configuration" and leak.name in known:
                del self.leaks[leak]

    def _content(self, entry: Entry, about: str) -> None:
        unpacker: Unpacker | None = None
        place = partial(self._file, entry.path, about)
        first, tail = True, b""
        for chunk in entry.chunks:
            self._ended()
            if first:
                unpacker, first = opened(chunk), False
            if unpacker is not None:
                unpacker.feed(chunk)
            tail = self._stream(tail, chunk, place)
        if unpacker is not None:
            self._unpacked(unpacker, entry.path, about)

    def _unpacked(self, unpacker: Unpacker, path: str, about: str) -> None:
        try:
            for inner, chunks in unpacker.members():
                place = partial(self._file, f"{path}!{inner}" if inner else path, about)
                self._look(inner.encode("utf-8", "surrogateescape"), place, "the name of ")
                tail = b""
                for chunk in chunks:
                    self._ended()
                    tail = self._stream(tail, chunk, place)
        except unpacker.errors:
            if unpacker.sure:
                self.unread[self._clean(path)] = None
        finally:
            unpacker.close()
        if unpacker.cut:
            self.unread[self._clean(path)] = None

    def _stream(self, tail: bytes, chunk: bytes, place: Callable[[], str]) -> bytes:
        """Look at the next bytes of a stream; what must be kept before the ones after them."""
        data = tail + chunk if tail else chunk
        self._look(data, place)
        return data[-(self._finder.longest - 1) :] if self._finder.longest > 1 else b""

    def _look(self, data: bytes, place: Callable[[], str], of: str = "") -> None:
        """The place is put into words only where something is found: that takes longer than to look."""
        if len(self.leaks) < MOST:
            for hit in self._finder.hits(data):
                self.leaks[Leak(hit.name, of + place())] = None

    def _file(self, path: str, about: str) -> str:
        return f"file '{self._clean(path)}'{about}"

    def _clean(self, text: str) -> str:
        """The text without secrets: a path may hold one."""
        raw = text.encode("utf-8", "surrogateescape")
        for start, end in reversed(self._finder.covered(raw)):
            raw = raw[:start] + b"********" + raw[end:]
        return "".join(sign if sign.isprintable() else "?" for sign in raw.decode("utf-8", "replace"))

    def _ended(self) -> None:
        if self._stop.is_set():
            raise Stopped


def made_by(config: bytes) -> list[str]:
    """The instruction that made each layer, from the bottom to the top."""
    history = json.loads(config).get("history") or []
    return [str(item.get("created_by", "")) for item in history if not item.get("empty_layer")]


def _strings(value: object, where: str) -> Iterator[tuple[str, str]]:
    match value:
        case Mapping():
            for key, inner in value.items():
                yield where, str(key)
                yield from _strings(inner, f"{where} {key}".strip())
        case list():
            for number, inner in enumerate(value):
                name = str(inner).partition("=")[0] if where.endswith("Env") else number
                yield from _strings(inner, f"{where} {name}")
        case str():
            yield where, value
