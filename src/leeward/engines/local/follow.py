"""Bring what instances print to the log store, in small batches."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from leeward.engines.local.container import Container, seconds
from leeward.engines.local.dockerd import Dockerd, frames
from leeward.errors import NotFound
from leeward.model.runtime import LogLine

BATCH_S = 0.15
_BATCH_LINES = 1000
_LINE_BYTES = 64 * 1024


class LogSink(Protocol):
    """Where lines go: the part of the log store that the engine needs."""

    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        """Keep lines."""
        ...

    async def last_at(self, app: str, source: str) -> float:
        """Unix seconds of the newest line of a source, 0.0 when there is none."""
        ...


class Follower:
    """Follows containers' logs from where the store's last line of each is."""

    def __init__(self, dockerd: Dockerd, sink: LogSink) -> None:
        self._dockerd = dockerd
        self._sink = sink
        self._last: dict[str, float] = {}

    async def follow(self, container: Container, *, live: bool = True) -> None:
        """Bring every new line until the container stops (or, not `live`, until now)."""
        last = self._last.get(container.name)
        if last is None:
            last = self._last[container.name] = await self._sink.last_at(container.app, container.name)
        batch = _Batch(self._sink, container)
        partial: dict[str, tuple[float, bytes]] = {}
        done = False
        try:
            async with self._dockerd.open(
                "GET",
                f"containers/{container.id}/logs",
                follow="1" if live else "0",
                stdout="1",
                stderr="1",
                timestamps="1",
                since=f"{last:.9f}",
            ) as response:
                async for stream, data in frames(response):
                    line = _line(partial, stream, data)
                    # `since` includes its moment.
                    if line is not None and line[0] > last:
                        await batch.add(LogLine(line[0], container.name, stream, _text(line[1]), container.process))
                        self._last[container.name] = line[0]
            await batch.flush()
            done = True
        except NotFound:
            await batch.flush()
        finally:
            if not done:
                # The store says where to begin again.
                self._last.pop(container.name, None)
                await batch.flush()

    async def note(self, container: Container, at: float, text: str) -> None:
        """Write a line of the platform's own among those of the instance."""
        await self._sink.append(container.app, [LogLine(at, container.name, "platform", text, container.process)])

    async def tail(self, container: Container, since: float, lines: int = 5) -> list[str]:
        """The last lines it printed since then."""
        found: list[str] = []
        async with self._dockerd.open(
            "GET",
            f"containers/{container.id}/logs",
            wait_s=5,
            stdout="1",
            stderr="1",
            tail=str(lines),
            since=f"{since:.9f}",
        ) as response:
            async for _, data in frames(response):
                found.extend(_text(data).splitlines())
        return found[-lines:]

    def forget(self, container: Container) -> None:
        """It is gone."""
        self._last.pop(container.name, None)


class _Batch:
    """Lines on their way; a full batch makes the reader wait."""

    def __init__(self, sink: LogSink, container: Container) -> None:
        self._sink = sink
        self._app = container.app
        self._lines: list[LogLine] = []
        self._sending: asyncio.Task[None] | None = None

    async def add(self, line: LogLine) -> None:
        self._lines.append(line)
        if self._sending is None or self._sending.done():
            self._check()
            self._sending = asyncio.create_task(self._later())
        elif len(self._lines) >= _BATCH_LINES:
            await self._sending

    async def flush(self) -> None:
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


def _line(partial: dict[str, tuple[float, bytes]], stream: str, data: bytes) -> tuple[float, bytes] | None:
    """One whole line with its time; Docker cuts long ones into parts of 16 KiB, each with its own time."""
    stamp, _, text = data.partition(b" ")
    at, before = partial.pop(stream, (seconds(stamp.decode("ascii", "replace")), b""))
    text = before + text
    if not text.endswith(b"\n") and len(text) < _LINE_BYTES:
        partial[stream] = (at, text)
        return None
    return at, text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\r\n")
