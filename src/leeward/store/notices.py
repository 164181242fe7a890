"""Carry pokes from those who changed something to those who wait, inside one process."""

import asyncio
from collections import deque
from typing import Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class Inbox(Generic[T]):
    """What one reader has not read yet. Endless to iterate; `aclose` ends it. A slow reader loses the oldest."""

    def __init__(self, most: int) -> None:
        self._waiting: deque[T] = deque(maxlen=most)
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, item: T) -> None:
        """Hand over one item; never blocks."""
        self._waiting.append(item)
        self._wake.set()

    def __aiter__(self) -> "Inbox[T]":
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """End the iteration after what is waiting."""
        self._closed = True
        self._wake.set()


class _Topics(Inbox[str]):
    """Topics that begin with one of the prefixes, each waiting once at most."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        super().__init__(most=10_000)
        self._prefixes = prefixes
        self._known: set[str] = set()

    def put(self, item: str) -> None:
        if not item.startswith(self._prefixes) or item in self._known:
            return
        if len(self._waiting) == self._waiting.maxlen:
            self._known.discard(self._waiting[0])
        self._known.add(item)
        super().put(item)

    async def __anext__(self) -> str:
        item = await super().__anext__()
        self._known.discard(item)
        return item


class LocalNotices:
    """Pokes inside one control plane. A subscription begins with the call, and ends when its reader drops it."""

    def __init__(self) -> None:
        self._readers: WeakSet[_Topics] = WeakSet()

    def publish(self, topic: str) -> None:
        """Wake whoever waits for this topic."""
        for reader in tuple(self._readers):
            reader.put(topic)

    def subscribe(self, *prefixes: str) -> Inbox[str]:
        """Topics that begin with one of the prefixes (any topic when there is none), from now on."""
        reader = _Topics(prefixes or ("",))
        self._readers.add(reader)
        return reader
