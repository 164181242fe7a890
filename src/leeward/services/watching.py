"""Follow what changes, and keep alive the streams that tell of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from leeward.ports import Notices

T = TypeVar("T")

# A lost notice costs this long and nothing else.
LOOK_AGAIN_S = 2.0

Still = Callable[[], Awaitable[object]]
"""Raises when whoever reads a stream may not read it any more."""
_endings: set["asyncio.Task[None]"] = set()


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
            await close(stream)


async def beating(
    stream: AsyncIterator[bytes], beat: bytes, every_s: float, still: Still | None = None, first: bytes = b""
) -> AsyncIterator[bytes]:
    """`first`, then the items, and `beat` whenever none came for `every_s`, so that proxies keep the connection.

    `still` is asked each `every_s`; what it raises ends the stream, and is raised.
    """
    loop = asyncio.get_running_loop()
    checked = loop.time()
    waiting: asyncio.Future[bytes] | None = None
    try:
        if first:
            yield first
        while True:
            waiting = waiting or asyncio.ensure_future(_next(stream))
            done, _ = await asyncio.wait({waiting}, timeout=every_s)
            if still is not None and (now := loop.time()) - checked >= every_s:
                checked = now
                await still()
            if not done:
                yield beat
                continue
            try:
                item = waiting.result()
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            yield item
    finally:
        # A task of its own: this one is being cancelled when the reader went away.
        ending = asyncio.create_task(_end(waiting, stream) if waiting is not None else close(stream))
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)


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
        await close(self._stream)


async def _next(stream: AsyncIterator[T]) -> T:
    return await anext(stream)


async def _end(task: "asyncio.Future[Any]", stream: AsyncIterator[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
    await close(stream)


async def close(stream: AsyncIterator[Any]) -> None:
    """End a stream, where it can be ended."""
    ended = getattr(stream, "aclose", None)
    if ended is not None:
        await ended()
