"""Server-sent events for live parts: rendered fragments, and lines of logs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from leeward.errors import LeewardError
from leeward.model.runtime import LogLine
from leeward.ports import Notices
from leeward.services.watching import changes
from leeward.web.words import plain

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
# Milliseconds until the browser asks again after a lost connection.
RETRY = b"retry: 1000\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
Look = Callable[[], Awaitable[Mapping[str, str]]]
"""The fragments as they are now, by the name of their event."""
Still = Callable[[], Awaitable[object]]
"""Raises when the visitor may not look any more."""
_endings: set["asyncio.Task[None]"] = set()


def event(name: str, text: str) -> bytes:
    """One event; each line of the text is a `data` line."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n".encode()


def stream(events: AsyncIterator[bytes], still: Still) -> StreamingResponse:
    """The answer that sends events as they come, as long as the visitor is signed in."""
    return StreamingResponse(beating(events, still), media_type="text/event-stream", headers=HEADERS)


async def fragments(
    notices: Notices, topics: tuple[str, ...], look: Look, every_s: float = 2.0
) -> AsyncIterator[bytes]:
    """Each fragment when it is another than before; ends with `gone` when there is nothing to look at any more."""
    last: dict[str, str] = {}
    async for _ in changes(notices, *topics, every_s=every_s):
        try:
            now = await look()
        except LeewardError:
            yield event("gone", "")
            return
        for name, text in now.items():
            if last.get(name) != text:
                yield event(name, text)
        last = dict(now)


async def lines(source: AsyncIterator[LogLine]) -> AsyncIterator[bytes]:
    """Log lines as `<log-stream>` takes them."""
    async for line in source:
        yield event("log", line_json(line))


def line_json(line: LogLine) -> str:
    """What is shown of a line."""
    said = {"at": line.at, "process": line.process, "stream": line.stream, "text": plain(line.text)}
    return json.dumps(said)


async def beating(events: AsyncIterator[bytes], still: Still, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[bytes]:
    """The events, and a comment whenever none came for a while, so that proxies keep the connection."""
    checked = asyncio.get_running_loop().time()
    waiting: asyncio.Future[bytes] | None = None
    try:
        yield RETRY
        while True:
            waiting = waiting or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({waiting}, timeout=heartbeat_s)
            if (now := asyncio.get_running_loop().time()) - checked >= heartbeat_s:
                checked = now
                await still()
            if not done:
                yield HEARTBEAT
                continue
            try:
                item = waiting.result()
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            yield item
    except LeewardError:
        return
    finally:
        # A task of its own: this one is being cancelled when the client went away.
        ending = asyncio.create_task(_end(waiting, events))
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)


async def _next(events: AsyncIterator[bytes]) -> bytes:
    return await anext(events)


async def _end(waiting: "asyncio.Future[bytes] | None", events: AsyncIterator[bytes]) -> None:
    if waiting is not None:
        waiting.cancel()
        await asyncio.wait({waiting})
        if not waiting.cancelled():
            waiting.exception()
    close: Any = getattr(events, "aclose", None)
    if close is not None:
        await close()
