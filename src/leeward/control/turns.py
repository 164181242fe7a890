"""Let names take turns: each once, a bounded number at a time, wishes before what was merely seen."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import islice

AT_ONCE = 16
# What could not be done is tried again after this long, also while something slow goes on.
AGAIN_S = 1.0


class Turns:
    """Names that wait. Ten thousand that changed keep nobody waiting who wishes for something."""

    def __init__(self, at_once: int = AT_ONCE, again_s: float = AGAIN_S) -> None:
        self._at_once = at_once
        self._again_s = again_s
        self._wished: dict[str, None] = {}
        self._seen: dict[str, None] = {}
        self._later: set[str] = set()
        self._busy: dict[asyncio.Task[None], str] = {}
        self._some = asyncio.Event()

    def wish(self, name: str) -> None:
        """Take this one next."""
        self._seen.pop(name, None)
        self._wished[name] = None
        self._some.set()

    def see(self, name: str) -> None:
        """Take this one when nobody wishes for anything."""
        if name not in self._wished:
            self._seen[name] = None
            self._some.set()

    def later(self, name: str) -> None:
        """Take this one again, but not at once."""
        self._later.add(name)

    async def run(self, work: Callable[[str], Awaitable[None]]) -> None:
        """Until nothing waits and nothing is being done; what comes meanwhile joins in. Raises the first failure then.

        One name is never done twice at a time: whatever comes for it meanwhile waits.
        """
        failures: list[BaseException] = []
        loop = asyncio.get_running_loop()
        self._recall()
        again_at = loop.time() + self._again_s
        try:
            while self._begin(work) or self._busy:
                if loop.time() >= again_at:
                    self._recall()
                    again_at = loop.time() + self._again_s
                    continue
                failures += await self._some_end(again_at - loop.time())
        finally:
            busy = tuple(self._busy)
            self._busy.clear()
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
        if failures:
            raise failures[0]

    def _recall(self) -> None:
        for name in sorted(self._later):
            self.see(name)
        self._later.clear()

    def _begin(self, work: Callable[[str], Awaitable[None]]) -> bool:
        """Begin with as many as may be done at once; whether there was any."""
        busy, began = set(self._busy.values()), False
        for waiting in (self._wished, self._seen):
            free = (name for name in waiting if name not in busy)
            for name in tuple(islice(free, self._at_once - len(self._busy))):
                del waiting[name]
                self._busy[asyncio.ensure_future(_done(work, name))] = name
                began = True
        return began

    async def _some_end(self, seconds: float) -> list[BaseException]:
        """Wait until something ended, or something new waits."""
        self._some.clear()
        some = asyncio.ensure_future(_set(self._some))
        try:
            done, _ = await asyncio.wait({*self._busy, some}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            some.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await some
        ended = [task for task in done if self._busy.pop(task, None) is not None]
        return [error for task in ended if not task.cancelled() and (error := task.exception()) is not None]


async def _done(work: Callable[[str], Awaitable[None]], name: str) -> None:
    await work(name)


async def _set(event: asyncio.Event) -> None:
    await event.wait()
