"""Keep log lines in files: a plain tail that a crash cannot spoil, then compressed blocks.

    append ─► <app>/run-000007.tail ──256 KiB──► <app>/run-000003.zst + a row of the index

A tail has a number, and the index says which tails are in blocks: a crash between the two writes neither
loses nor doubles a line, for a tail that the index knows is deleted unread.
"""

import contextlib
import os
import shutil
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from leeward.errors import Unavailable
from leeward.model.runtime import LogLine
from leeward.store.logindex import Block, LogIndex, Segment
from leeward.store.loglines import Wanted, is_build, newest_first, pieces, summary, whole

BLOCK_BYTES = 256 * 1024
SEGMENT_BYTES = 1024 * 1024
LEVEL = 3
RUN, BUILD = "run", "build"
# States in memory; every other app's is read again from its files.
_STATES = 1024
# Blocks that are asked for at once, and lines that are read beyond the wanted number: lines of several instances
# come a little out of order.
_BLOCKS, SLACK = 32, 256


@dataclass(slots=True)
class _Stream:
    """Where the next line of one stream goes."""

    folder: Path
    name: str
    tail: int
    tail_bytes: int
    segment: int

    @property
    def tail_file(self) -> Path:
        return self.folder / f"{self.name}-{self.tail:06}.tail"

    def segment_file(self, number: int) -> Path:
        return self.folder / f"{self.name}-{number:06}.zst"


@dataclass(slots=True)
class _State:
    streams: dict[str, _Stream]
    last: dict[str, float] = field(default_factory=dict)


class LogFiles:
    """The files below one folder. Every method may be called from any thread."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._budget = budget_bytes
        self._segment_bytes = max(BLOCK_BYTES // 4, min(SEGMENT_BYTES, budget_bytes // 16))
        self._lock = threading.RLock()
        self._states: OrderedDict[str, _State] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)
        self._index = LogIndex(folder / "index.db")
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)

    def append(self, app: str, stream: str, data: bytes, last: dict[str, float]) -> None:
        """Add whole records; `last` are the newest times of their sources."""
        with self._lock:
            state = self._state(app)
            files = state.streams[stream]
            _write(files.tail_file, data, files.tail_bytes)
            files.tail_bytes += len(data)
            for source, at in last.items():
                state.last[source] = max(at, state.last.get(source, 0.0))
            if files.tail_bytes >= BLOCK_BYTES:
                # The lines are safe in the tail: when it cannot be packed now, the next append tries again.
                with contextlib.suppress(OSError, sqlite3.Error):
                    self._pack(app, files)

    def read(self, app: str, wanted: Wanted, limit: int) -> list[LogLine]:
        """The last wanted lines by time, oldest first."""
        lines: list[LogLine] = []
        for data in self._pieces(app, wanted):
            for line in newest_first(data, wanted):
                lines.append(line)
                if len(lines) >= limit + SLACK:
                    return _newest(lines, limit)
        return _newest(lines, limit)

    def last_at(self, app: str, source: str) -> float:
        """The time of the newest line of a source, 0.0 when there is none."""
        with self._lock:
            return self._state(app).last.get(source, 0.0)

    def forget(self, app: str) -> None:
        """Delete an app's lines. The folder goes in one step, so that no half of it can come back."""
        with self._lock:
            gone = self._folder / f".gone-{app}-{os.urandom(4).hex()}"
            with contextlib.suppress(FileNotFoundError):
                (self._folder / app).rename(gone)
            self._index.forget(app)
            self._states.pop(app, None)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self, budget_bytes: int) -> int:
        """Delete the oldest segments of each app over the budget; bytes that were freed."""
        for gone in self._folder.glob(".gone-*"):
            shutil.rmtree(gone, ignore_errors=True)
        with self._lock:
            apps = self._index.apps()
        return sum(self._trim(app, budget_bytes) for app in apps)

    def close(self) -> None:
        """Close the index; the tails stay as they are."""
        with self._lock:
            self._index.close()

    def _state(self, app: str) -> _State:
        state = self._states.get(app)
        if state is None:
            state = self._states[app] = self._load(app)
            if len(self._states) > _STATES:
                self._states.popitem(last=False)
        self._states.move_to_end(app)
        return state

    def _load(self, app: str) -> _State:
        state = _State({}, self._index.sources(app))
        for name in (RUN, BUILD):
            packed, segment = self._index.newest(app, name)
            files = _Stream(self._folder / app, name, packed + 1, 0, max(segment, 1))
            for file in sorted(files.folder.glob(f"{name}-*.tail")):
                if int(file.stem.rpartition("-")[2]) <= packed:
                    file.unlink()
            if files.tail_file.exists():
                data = files.tail_file.read_bytes()
                files.tail_bytes = whole(data)
                if files.tail_bytes < len(data):
                    os.truncate(files.tail_file, files.tail_bytes)
                for source, at in summary(data[: files.tail_bytes]).sources.items():
                    state.last[source] = max(at, state.last.get(source, 0.0))
            state.streams[name] = files
        return state

    def _pack(self, app: str, files: _Stream) -> None:
        """Move the tail into blocks."""
        data = files.tail_file.read_bytes()[: files.tail_bytes]
        file = files.segment_file(files.segment)
        if file.exists() and file.stat().st_size >= self._segment_bytes:
            files.segment += 1
            file = files.segment_file(files.segment)
            self._trim(app, self._budget)
        blocks = []
        with file.open("ab") as out:
            for piece in pieces(data, BLOCK_BYTES):
                offset, packed = out.tell(), self._compressor.compress(piece)
                out.write(packed)
                blocks.append((offset, len(packed), summary(piece)))
            out.flush()
            os.fdatasync(out.fileno())
        self._index.add(app, files.name, files.tail, files.segment, blocks)
        done = files.tail_file
        files.tail += 1
        files.tail_bytes = 0
        done.unlink()

    def _trim(self, app: str, budget_bytes: int) -> int:
        with self._lock:
            drop = _over_budget(self._index.segments(app), budget_bytes)
            if not drop:
                return 0
            self._index.drop(app, drop)
            state = self._state(app)
            for segment in drop:
                files = state.streams[segment.stream]
                files.segment_file(segment.number).unlink(missing_ok=True)
                if segment.number == files.segment:
                    files.segment += 1
            kept = self._index.sources(app)
            oldest = min(kept.values(), default=0.0)
            state.last = {source: at for source, at in state.last.items() if source in kept or at >= oldest}
            return sum(segment.size for segment in drop)

    def _pieces(self, app: str, wanted: Wanted) -> Iterator[bytes]:
        """Pieces that may hold wanted lines, newest first."""
        name = BUILD if is_build(wanted.source) else RUN
        with self._lock:
            files = self._state(app).streams[name]
            tail = files.tail_file.read_bytes()[: files.tail_bytes] if files.tail_bytes else b""
            blocks = self._index.blocks(app, name, wanted, 2**62, _BLOCKS)
        yield tail
        while blocks:
            for block in blocks:
                yield _block(files.segment_file(block.segment), block)
            with self._lock:
                blocks = self._index.blocks(app, name, wanted, blocks[-1].id, _BLOCKS)


def _write(file: Path, data: bytes, size: int) -> None:
    """Add to a file of `size` bytes; it is as before when that fails."""
    try:
        file.parent.mkdir(mode=0o750, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable(
            f"log lines could not be written: {(error.strerror or str(error)).lower()}",
            hint="free disk space, or lower 'logs_mib'",
        ) from error


def _block(file: Path, block: Block) -> bytes:
    """The records of a block; none when it was swept away or spoiled meanwhile."""
    try:
        with file.open("rb") as segment:
            segment.seek(block.offset)
            return zstandard.ZstdDecompressor().decompress(segment.read(block.size))
    except (OSError, zstandard.ZstdError):
        return b""


def _newest(lines: list[LogLine], limit: int) -> list[LogLine]:
    """The last `limit` lines by time."""
    return sorted(reversed(lines), key=lambda line: line.at)[-limit:]


def _over_budget(segments: list[Segment], budget_bytes: int) -> list[Segment]:
    """The oldest segments that have to go; builds keep a quarter whatever the app prints."""
    size = {name: sum(segment.size for segment in segments if segment.stream == name) for name in (RUN, BUILD)}
    share = {
        RUN: budget_bytes - min(size[BUILD], budget_bytes // 4),
        BUILD: max(budget_bytes // 4, budget_bytes - size[RUN]),
    }
    drop = []
    for segment in segments:
        if size[segment.stream] > share[segment.stream]:
            drop.append(segment)
            size[segment.stream] -= segment.size
    return drop
