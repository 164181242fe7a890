"""Bring lines to the log store in small batches."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from leeward.model.runtime import LogLine

BATCH_S = 0.15
_BATCH_LINES = 1000


class LogSink(Protocol):
    """Where lines go: the part of the log store that the engine needs."""

    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        """Keep lines."""
        ...

    async def last_at(self, app: str, source: str) -> float:
        """Unix seconds of the newest line of a source, 0.0 when there is none."""
        ...


class Batch:
    """Lines on their way; a full batch makes the reader wait."""

    def __init__(self, sink: LogSink, app: str) -> None:
        self._sink = sink
        self._app = app
        self._lines: list[LogLine] = []
        self._sending: asyncio.Task[None] | None = None

    async def add(self, line: LogLine) -> None:
        """Take one more line."""
        self._lines.append(line)
        if self._sending is None or self._sending.done():
            self._check()
            self._sending = asyncio.create_task(self._later())
        elif len(self._lines) >= _BATCH_LINES:
            await self._sending

    async def flush(self) -> None:
        """Have all lines kept."""
        if self._sending is not None:
            await asyncio.wait({self._sending})
            self._check()
        await self._send()

    async def _later(self) -> None:
        await asyncio.sleep(BATCH_S)
        await self._send()

    async def _send(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            await self._sink.append(self._app, lines)

    def _check(self) -> None:
        """A failure of the store ends the follower; it begins again at the last kept line."""
        if self._sending is not None and not self._sending.cancelled():
            self._sending.result()
