"""Bring what instances print to the log store, in small batches."""

from leeward.engines.local.container import Container, seconds
from leeward.engines.local.dockerd import Dockerd, frames
from leeward.engines.loglines import Batch, LogSink
from leeward.errors import NotFound
from leeward.model.runtime import LogLine

_LINE_BYTES = 64 * 1024


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
        batch = Batch(self._sink, container.app)
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
