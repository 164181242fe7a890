"""Tell every reader which apps changed; what changes again before it was read is told once."""

import asyncio
from collections.abc import AsyncIterator


class Changes:
    """Names of apps on their way to readers."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def put(self, app: str) -> None:
        """Say that something of an app changed."""
        for listener in self._listeners:
            listener.put(app)

    async def read(self) -> AsyncIterator[str]:
        """The apps of which something changed, from now on; merged when the reader is slow."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                yield await listener.get()
        finally:
            self._listeners.discard(listener)


class _Listener:
    def __init__(self) -> None:
        self._apps: dict[str, None] = {}
        self._some = asyncio.Event()

    def put(self, app: str) -> None:
        self._apps[app] = None
        self._some.set()

    async def get(self) -> str:
        await self._some.wait()
        app = next(iter(self._apps))
        del self._apps[app]
        if not self._apps:
            self._some.clear()
        return app
