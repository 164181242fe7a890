"""Know where each block of log lines lies."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leeward.store.loglines import Summary, Wanted

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL, stream TEXT NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL, lines INTEGER NOT NULL,
    first_at REAL NOT NULL, last_at REAL NOT NULL, names TEXT);
CREATE INDEX IF NOT EXISTS blocks_by_app ON blocks (app, stream, id);
CREATE TABLE IF NOT EXISTS streams (
    app TEXT NOT NULL, stream TEXT NOT NULL, tail INTEGER NOT NULL, segment INTEGER NOT NULL,
    PRIMARY KEY (app, stream)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    app TEXT NOT NULL, source TEXT NOT NULL, last_at REAL NOT NULL, PRIMARY KEY (app, source)) WITHOUT ROWID;
"""
# A block of more sources and processes than this is read without asking which they are.
_NAMES = 64


@dataclass(frozen=True, slots=True)
class Block:
    """A compressed piece: `size` bytes at `offset` of the segment."""

    id: int
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of blocks."""

    stream: str
    number: int
    size: int


class LogIndex:
    """The index file. Not safe for threads: its owner holds a lock."""

    def __init__(self, file: Path) -> None:
        self._sql = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-512", "journal_size_limit=4194304"):
            self._sql.execute(f"PRAGMA {pragma}")
        self._sql.executescript(_SCHEMA)

    def add(self, app: str, stream: str, tail: int, segment: int, blocks: Sequence[tuple[int, int, Summary]]) -> None:
        """Note blocks (offset, size, what is in it) made of one tail; all or none."""
        with self._transaction():
            self._sql.execute(
                "INSERT INTO streams (app, stream, tail, segment) VALUES (?, ?, ?, ?) ON CONFLICT (app, stream)"
                " DO UPDATE SET tail = excluded.tail, segment = excluded.segment",
                (app, stream, tail, segment),
            )
            for offset, size, what in blocks:
                names = {f"s:{source}" for source in what.sources} | {f"p:{process}" for process in what.processes}
                known = "\x1f" + "\x1f".join(sorted(names)) + "\x1f" if len(names) <= _NAMES else None
                self._sql.execute(
                    "INSERT INTO blocks (app, stream, segment, offset, size, lines, first_at, last_at, names)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (app, stream, segment, offset, size, what.lines, what.first_at, what.last_at, known),
                )
                self._sql.executemany(
                    "INSERT INTO sources (app, source, last_at) VALUES (?, ?, ?) ON CONFLICT (app, source)"
                    " DO UPDATE SET last_at = max(last_at, excluded.last_at)",
                    [(app, source, at) for source, at in what.sources.items()],
                )

    def newest(self, app: str, stream: str) -> tuple[int, int]:
        """The numbers of the last tail and segment that were noted; 0 when there is none."""
        row = self._sql.execute(
            "SELECT tail, segment FROM streams WHERE app = ? AND stream = ?", (app, stream)
        ).fetchone()
        return row or (0, 0)

    def sources(self, app: str) -> dict[str, float]:
        """The newest line of each source."""
        return dict(self._sql.execute("SELECT source, last_at FROM sources WHERE app = ?", (app,)))

    def blocks(self, app: str, stream: str, wanted: Wanted, below: int, limit: int) -> list[Block]:
        """Blocks that may hold wanted lines, newest first, below an id."""
        rows = self._sql.execute(
            "SELECT id, segment, offset, size FROM blocks WHERE app = ?1 AND stream = ?2 AND id < ?3"
            " AND (?4 = 0 OR first_at < ?4)"
            " AND (names IS NULL OR ((?5 = '' OR instr(names, ?5) > 0) AND (?6 = '' OR instr(names, ?6) > 0)))"
            " ORDER BY id DESC LIMIT ?7",
            (
                app,
                stream,
                below,
                wanted.before,
                f"\x1fs:{wanted.source}\x1f" if wanted.source else "",
                f"\x1fp:{wanted.process}\x1f" if wanted.process else "",
                limit,
            ),
        )
        return [Block(*row) for row in rows]

    def apps(self) -> list[str]:
        """Every app that has blocks."""
        return [row[0] for row in self._sql.execute("SELECT DISTINCT app FROM blocks")]

    def segments(self, app: str) -> list[Segment]:
        """The segments of an app, oldest first, of both streams."""
        rows = self._sql.execute(
            "SELECT stream, segment, sum(size) FROM blocks WHERE app = ? GROUP BY stream, segment ORDER BY min(id)",
            (app,),
        )
        return [Segment(*row) for row in rows]

    def drop(self, app: str, segments: Sequence[Segment]) -> None:
        """Forget segments, and sources that have no line any more."""
        with self._transaction():
            self._sql.executemany(
                "DELETE FROM blocks WHERE app = ? AND stream = ? AND segment = ?",
                [(app, segment.stream, segment.number) for segment in segments],
            )
            self._sql.execute(
                "DELETE FROM sources WHERE app = ?1 AND last_at < (SELECT min(first_at) FROM blocks WHERE app = ?1)",
                (app,),
            )

    def forget(self, app: str) -> None:
        """Forget an app."""
        with self._transaction():
            self._sql.execute("DELETE FROM blocks WHERE app = ?", (app,))
            self._sql.execute("DELETE FROM streams WHERE app = ?", (app,))
            self._sql.execute("DELETE FROM sources WHERE app = ?", (app,))

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._sql)


class _Transaction:
    def __init__(self, sql: sqlite3.Connection) -> None:
        self._sql = sql

    def __enter__(self) -> None:
        self._sql.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sql.execute("COMMIT" if kind is None else "ROLLBACK")
