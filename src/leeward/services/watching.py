"""Follow what changes: look at once, at each notice, and every few seconds in case one was lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from leeward.ports import Notices

T = TypeVar("T")

# A lost notice costs this long and nothing else.
LOOK_AGAIN_S = 2.0


async def changes(notices: Notices, *prefixes: str, every_s: float = LOOK_AGAIN_S) -> AsyncIterator[None]:
    """Yields when it is time to look: at once, after each notice, after `every_s`. Endless."""
    topics = notices.subscribe(*prefixes)
    waiting = asyncio.ensure_future(_next(topics))
    # The subscription stands before the first look, so that nothing falls between the two.
    await asyncio.sleep(0)
    try:
        while True:
            yield None
            done, _ = await asyncio.wait({waiting}, timeout=every_s)
            if done:
                waiting.result()
                waiting = asyncio.ensure_future(_next(topics))
                await asyncio.sleep(0)
    finally:
        await _end(waiting, topics)


async def merged(*streams: AsyncIterator[T]) -> AsyncIterator[T]:
    """Everything of several streams, as it comes; ends with the first stream."""
    waiting = {asyncio.ensure_future(_next(stream)): stream for stream in streams}
    try:
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: streams.index(waiting[task]), reverse=True):
                stream = waiting.pop(task)
                try:
                    item = task.result()
                except StopAsyncIteration:
                    if stream is streams[0]:
                        return
                    continue
                waiting[asyncio.ensure_future(_next(stream))] = stream
                yield item
    finally:
        for task, stream in waiting.items():
            await _end(task, stream)
        for stream in streams:
            await _close(stream)


class Primed(AsyncIterator[T]):
    """A stream whose first item is asked for at once, so that it listens before anybody waits for it."""

    def __init__(self, stream: AsyncIterator[T]) -> None:
        self._stream = stream
        self._first: asyncio.Future[T] | None = asyncio.ensure_future(_next(stream))

    async def __anext__(self) -> T:
        if self._first is None:
            return await anext(self._stream)
        first, self._first = self._first, None
        return await first

    async def aclose(self) -> None:
        """Stop listening."""
        if self._first is not None:
            await _end(self._first, self._stream)
        await _close(self._stream)


async def _next(stream: AsyncIterator[T]) -> T:
    return await anext(stream)


async def _end(task: "asyncio.Future[Any]", stream: AsyncIterator[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
    await _close(stream)


async def _close(stream: AsyncIterator[Any]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
