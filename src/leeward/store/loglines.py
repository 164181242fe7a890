"""Log lines to bytes, and back. Pure.

One record is `<unix seconds> TAB <source> TAB <stream> TAB <process> TAB <text> LF`, in UTF-8. A record is found
by its line feed, so that a torn end costs the last record only.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from leeward.model.runtime import LogLine

LINE_BYTES = 16 * 1024
BUILD = "build/"
_SURROGATES = re.compile("[\ud800-\udfff]")
_SEPARATORS = re.compile("[\t\r\n]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines a reader wants."""

    source: str = ""
    process: str = ""
    search: str = ""
    before: float = 0.0

    def takes(self, line: LogLine) -> bool:
        """Whether it is one of them; `search` in any case of letters."""
        return (
            (not self.source or line.source == self.source)
            and (not self.process or line.process == self.process)
            and (not self.before or line.at < self.before)
            and (not self.search or self.search.casefold() in line.text.casefold())
        )


def is_build(source: str) -> bool:
    """Whether a source is a build; builds have a stream of their own, so that no chatty app pushes them out."""
    return source.startswith(BUILD)


def one_line_each(lines: Iterable[LogLine]) -> list[LogLine]:
    """The lines as they can be kept: no line feed within, no wrong characters, not longer than `LINE_BYTES`."""
    kept: list[LogLine] = []
    for line in lines:
        text = line.text
        if "\n" not in text and (text.isascii() and len(text) <= LINE_BYTES):
            kept.append(line)
            continue
        for part in text.rstrip("\n").split("\n"):
            kept.append(LogLine(line.at, line.source, line.stream, _fit(part), line.process))
    return kept


def _fit(text: str) -> str:
    # Cut first: a line may be huge, and a character has four bytes at most.
    whole, text = len(text), _SURROGATES.sub("\ufffd", text[: LINE_BYTES + 1])
    data = text.encode()
    if whole <= LINE_BYTES and len(data) <= LINE_BYTES:
        return text
    note = f" … ({whole} characters, cut)"
    return data[: LINE_BYTES - len(note.encode())].decode("utf-8", "ignore") + note


def encode(lines: Sequence[LogLine]) -> bytes:
    """The records of lines from `one_line_each`."""
    prefixes: dict[tuple[str, str, str], str] = {}
    records: list[str] = []
    for line in lines:
        key = (line.source, line.stream, line.process)
        prefix = prefixes.get(key)
        if prefix is None:
            fields = (_SURROGATES.sub("\ufffd", _SEPARATORS.sub(" ", field)) for field in key)
            prefix = prefixes[key] = "\t{}\t{}\t{}\t".format(*fields)
        records.append(f"{line.at!r}{prefix}{line.text}\n")
    return "".join(records).encode()


def whole(data: bytes) -> int:
    """How many bytes hold whole records."""
    return data.rfind(b"\n") + 1


def decode(record: str) -> LogLine | None:
    """The line of a record, None when it is damaged."""
    parts = record.split("\t", 4)
    if len(parts) != 5:
        return None
    try:
        at = float(parts[0])
    except ValueError:
        return None
    return LogLine(at, parts[1], parts[2], parts[4], parts[3])


def newest_first(data: bytes, wanted: Wanted) -> Iterator[LogLine]:
    """The wanted lines of a piece, from its end."""
    text = data.decode("utf-8", "replace")
    if wanted.search and wanted.search.casefold() not in text.casefold():
        return
    records = text.split("\n")
    for record in reversed(records):
        if record and (line := decode(record)) is not None and wanted.takes(line):
            yield line


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a piece: its time, its sources with their newest line, its processes."""

    lines: int
    first_at: float
    last_at: float
    sources: Mapping[str, float]
    processes: frozenset[str]


def summary(data: bytes) -> Summary:
    """Look through the records of a piece."""
    lines, first_at, last_at = 0, 0.0, 0.0
    sources: dict[str, float] = {}
    processes: set[str] = set()
    for record in data.decode("utf-8", "replace").split("\n"):
        line = decode(record)
        if line is None:
            continue
        lines += 1
        first_at = line.at if lines == 1 else min(first_at, line.at)
        last_at = max(last_at, line.at)
        processes.add(line.process)
        if line.at > sources.get(line.source, 0.0):
            sources[line.source] = line.at
    return Summary(lines, first_at, last_at, sources, frozenset(processes))


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut into pieces of about `size` bytes, between records."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", min(begin + size, len(data)) - 1) + 1 or len(data)
        yield data[begin:end]
        begin = end
