"""Server-sent events, with a heartbeat and a clean end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_endings: set["asyncio.Task[None]"] = set()


def event(name: str, data: bytes) -> bytes:
    """One event; `data` is JSON, which has no line breaks."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def stream(events: AsyncIterator[bytes], heartbeat_s: float = HEARTBEAT_S) -> StreamingResponse:
    """The answer that sends events as they come."""
    return StreamingResponse(beating(events, heartbeat_s), media_type="text/event-stream", headers=HEADERS)


async def beating(events: AsyncIterator[bytes], heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[bytes]:
    """The events, and a comment whenever none came for a while, so that proxies keep the connection."""
    waiting: asyncio.Future[bytes] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({waiting}, timeout=heartbeat_s)
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
