"""Gather lines of build logs, and write them in batches."""

import asyncio
from collections import defaultdict

from leeward.control.loop import pause
from leeward.model.runtime import LogLine
from leeward.ports import LogStore

BATCH_S = 0.1


class Lines:
    """Takes lines without blocking; they are in the store within a tenth of a second."""

    def __init__(self, logs: LogStore) -> None:
        self._logs = logs
        self._waiting: dict[str, list[LogLine]] = defaultdict(list)
        self._poked = asyncio.Event()

    def put(self, app: str, line: LogLine) -> None:
        """Take one line."""
        self._waiting[app].append(line)
        self._poked.set()

    async def run(self) -> None:
        """Write what came, until cancelled."""
        while True:
            await self._poked.wait()
            await pause(asyncio.Event(), BATCH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write everything now."""
        self._poked.clear()
        waiting, self._waiting = self._waiting, defaultdict(list)
        for app, lines in waiting.items():
            await self._logs.append(app, lines)
