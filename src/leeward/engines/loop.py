"""Keep a task going: whatever it trips over is written down, and it begins again after a pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from leeward.errors import LeewardError

_log = logging.getLogger("leeward.engine")

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


async def forever(name: str, task: Callable[[], Awaitable[None]], *, quiet: bool = False) -> None:
    """Run `task` again and again until cancelled; failures in a row double the pause between two runs.

    A `quiet` one says nothing of failures that we can name: another task trips over the same, and tells it.
    """
    pause = _FIRST_PAUSE_S
    while True:
        try:
            await task()
            pause = _FIRST_PAUSE_S
        except LeewardError as error:
            _log.log(logging.DEBUG if quiet else logging.WARNING, "%s: %s", name, error.message)
        except Exception:
            _log.exception("%s failed", name)
        _end_if_told()
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _end_if_told() -> None:
    """A cancellation can get lost below: what was waited for came at the same moment, or a connection failed while it
    was closed."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def every(seconds: float, name: str, task: Callable[[], Awaitable[None]]) -> None:
    """Run `task` each `seconds` until cancelled."""

    async def once() -> None:
        while True:
            await task()
            _end_if_told()
            await asyncio.sleep(seconds)

    await forever(name, once)


class Tasks:
    """Tasks by key, at most one for each; a failure is written down."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(
        self, kind: str, key: str, work: Callable[[], Coroutine[Any, Any, None]], then: Callable[[], None] | None = None
    ) -> bool:
        """Start `work` unless that key's task still runs; `then` is called when it has ended by itself."""
        name = (kind, key)
        if name in self._tasks:
            return False
        task = asyncio.create_task(_guarded(f"{kind} {key}", work))
        self._tasks[name] = task

        def ended(done: asyncio.Task[None]) -> None:
            if self._tasks.get(name) is done:
                del self._tasks[name]
                if then is not None and not done.cancelled():
                    then()

        task.add_done_callback(ended)
        return True

    def cancel(self, kind: str, key: str) -> None:
        """End one task, if it runs."""
        task = self._tasks.pop((kind, key), None)
        if task is not None:
            task.cancel()

    async def wait(self, kind: str, key: str, seconds: float) -> None:
        """Wait until that task has ended, but not longer than `seconds`."""
        task = self._tasks.get((kind, key))
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait({task}, timeout=seconds)

    async def close(self) -> None:
        """Cancel all, and wait for their end."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _guarded(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await work()
    except LeewardError as error:
        _log.warning("%s: %s", name, error.message)
    except Exception:
        _log.exception("%s failed", name)
