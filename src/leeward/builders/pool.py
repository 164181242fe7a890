"""Lets builds begin while there is room for them: so many at once, and memory for each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from leeward.ports import Say
from leeward.settings import MIB, Settings

MEMINFO = Path("/proc/meminfo")
# Every build gets its part of the memory that all share, but never waits for more than this.
_MOST_MIB = 1024
_EVERY_S = 2.0


class Pool:
    """The places for builds. Who waits is told why, once."""

    def __init__(self, settings: Settings, meminfo: Path = MEMINFO) -> None:
        self._builds = settings.builds
        self._reserved_mib = min(_MOST_MIB, settings.build_memory_mib // settings.builds)
        self._meminfo = meminfo
        self._slots = asyncio.Semaphore(settings.builds)
        self._running = 0

    @contextlib.asynccontextmanager
    async def place(self, say: Say) -> AsyncIterator[None]:
        """Wait for a slot, then until the memory that a build reserves is free; the first never waits for that."""
        if self._slots.locked():
            say(f"waiting for a build slot ({self._builds} at once)")
        async with self._slots:
            await self._memory(say)
            self._running += 1
            try:
                yield
            finally:
                self._running -= 1

    async def _memory(self, say: Say) -> None:
        told = False
        while self._running and (free := self._free_mib()) is not None and free < self._reserved_mib:
            if not told:
                say(f"waiting for memory: {free} MiB are free, and a build reserves {self._reserved_mib} MiB")
                told = True
            await asyncio.sleep(_EVERY_S)

    def _free_mib(self) -> int | None:
        """What the kernel says can be had without swapping; None where it does not say."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in self._meminfo.read_text().splitlines():
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024 // MIB
        return None
