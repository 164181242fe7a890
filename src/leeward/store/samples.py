"""Keep numbers over time: the present hour as it came, older ones packed by series."""

import asyncio
import math
import sqlite3
import struct
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from leeward.errors import Unavailable
from leeward.store.chunks import HOUR_S, Point, averages, pack, unpack

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS chunks (
    series INTEGER NOT NULL, hour INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, hour)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_by_hour ON chunks (hour);
CREATE TABLE IF NOT EXISTS recent (id INTEGER PRIMARY KEY, at REAL NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS recent_by_time ON recent (at);
"""
_SAMPLE = struct.Struct("<Id")
# Points that one answer holds at most; a step is made longer before a dashboard gets more.
_POINTS = 10_000
_NAMES = 50_000


class ChunkSampleStore:
    """Series in one file. A power cut may cost the last samples, and nothing else."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._sql = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-512", "journal_size_limit=4194304"):
            self._sql.execute(f"PRAGMA {pragma}")
        self._sql.executescript(_SCHEMA)
        self._ids: dict[str, int] = {}

    async def record(self, at: float, samples: Mapping[str, float]) -> None:
        """Keep one value for each series; a series is `app/process/instance/metric`."""
        if samples:
            await asyncio.to_thread(self._record, at, dict(samples))

    async def series(self, prefix: str, since: float, until: float, step_s: float) -> Mapping[str, Sequence[Point]]:
        """Averages in steps, for each series whose name begins with `prefix`."""
        step_s = max(step_s, (until - since) / _POINTS, 0.001)
        return await asyncio.to_thread(self._series, prefix, since, until, step_s)

    async def sweep(self, before: float) -> None:
        """Forget the hours that ended before."""
        await asyncio.to_thread(self._sweep, before)

    async def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._sql.close()

    def _record(self, at: float, samples: Mapping[str, float]) -> None:
        with self._lock, _Transaction(self._sql):
            data = b"".join(
                _SAMPLE.pack(self._id(name), value) for name, value in samples.items() if math.isfinite(value)
            )
            self._sql.execute("INSERT INTO recent (at, data) VALUES (?, ?)", (at, data))
            # The hour before is left as it is for a minute, for samples that come late.
            ended = int((at - 60) // HOUR_S)
            oldest = self._sql.execute("SELECT min(at) FROM recent").fetchone()[0]
            if oldest < ended * HOUR_S:
                self._pack(int(oldest // HOUR_S))

    def _id(self, name: str) -> int:
        known = self._ids.get(name)
        if known is None:
            self._sql.execute("INSERT OR IGNORE INTO series (name) VALUES (?)", (name,))
            known = int(self._sql.execute("SELECT id FROM series WHERE name = ?", (name,)).fetchone()[0])
            if len(self._ids) >= _NAMES:
                self._ids.clear()
            self._ids[name] = known
        return known

    def _pack(self, hour: int) -> None:
        """Move one hour from `recent` into chunks; what came too late is added to the chunk that there is."""
        span = (hour * HOUR_S, (hour + 1) * HOUR_S)
        points = self._recent(*span)
        for series, new in points.items():
            row = self._sql.execute("SELECT data FROM chunks WHERE series = ? AND hour = ?", (series, hour)).fetchone()
            known = unpack(hour, row[0]) if row else []
            data = pack(hour, sorted(known + new))
            self._sql.execute(
                "INSERT OR REPLACE INTO chunks (series, hour, data) VALUES (?, ?, ?)", (series, hour, data)
            )
        self._sql.execute("DELETE FROM recent WHERE at >= ? AND at < ?", span)

    def _recent(self, since: float, until: float, wanted: frozenset[int] | None = None) -> dict[int, list[Point]]:
        points: dict[int, list[Point]] = defaultdict(list)
        rows = self._sql.execute("SELECT at, data FROM recent WHERE at >= ? AND at < ? ORDER BY at", (since, until))
        for at, data in rows:
            for series, value in _SAMPLE.iter_unpack(data):
                if wanted is None or series in wanted:
                    points[series].append((at, value))
        return points

    def _series(self, prefix: str, since: float, until: float, step_s: float) -> dict[str, list[Point]]:
        answer: dict[str, list[Point]] = {}
        with self._lock, _Transaction(self._sql):
            names = dict(
                self._sql.execute(
                    "SELECT id, name FROM series WHERE name >= ?1 AND name < ?1 || char(1114111)", (prefix,)
                ).fetchall()
            )
            recent = self._recent(since, until, frozenset(names))
            hours = (int(since // HOUR_S), int(until // HOUR_S))
            for series, name in names.items():
                chunks = self._sql.execute(
                    "SELECT hour, data FROM chunks WHERE series = ? AND hour BETWEEN ? AND ? ORDER BY hour",
                    (series, *hours),
                )
                points = [point for hour, data in chunks for point in unpack(hour, data)]
                means = averages(points + recent.get(series, []), since, until, step_s)
                if means:
                    answer[name] = means
        return answer

    def _sweep(self, before: float) -> None:
        with self._lock, _Transaction(self._sql):
            hour = int(before // HOUR_S)
            self._sql.execute("DELETE FROM chunks WHERE hour < ?", (hour,))
            self._sql.execute("DELETE FROM recent WHERE at < ?", (hour * HOUR_S,))
            if self._sql.execute("SELECT 1 FROM recent LIMIT 1").fetchone() is None:
                self._ids.clear()
            busy = {series for (data,) in self._sql.execute("SELECT data FROM recent") for series in _ids(data)}
            rows = self._sql.execute(
                "SELECT id FROM series WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.series = series.id)"
            ).fetchall()
            gone = [row for row in rows if row[0] not in busy]
            self._sql.executemany("DELETE FROM series WHERE id = ?", gone)
            self._ids = {name: series for name, series in self._ids.items() if (series,) not in set(gone)}


def _ids(data: bytes) -> list[int]:
    return [series for series, _ in _SAMPLE.iter_unpack(data)]


class _Transaction:
    """Commits at the end, rolls back and translates what SQLite raises."""

    def __init__(self, sql: sqlite3.Connection) -> None:
        self._sql = sql

    def __enter__(self) -> None:
        try:
            self._sql.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self._sql.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error as failed:
            raise _unavailable(failed) from failed
        if isinstance(error, sqlite3.Error):
            raise _unavailable(error) from error


def _unavailable(error: sqlite3.Error) -> Unavailable:
    return Unavailable(
        f"the samples could not be kept or read: {str(error).lower()}", hint="look at the free disk space"
    )
