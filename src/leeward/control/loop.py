"""Run a tick again and again, sooner when poked."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from leeward.errors import LeewardError, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

# What is not there is not asked for again sooner than this, however short the interval.
_AWAY_S = 1.0


class Loop:
    """Calls `tick` every `interval_s`, and at once when poked; a tick that fails is logged and tried again.

    As long as the same is unavailable, it is said once, and tried again after a second at the soonest.
    Pokes during a tick are merged into one more tick. The only place of the control plane that sleeps.
    """

    def __init__(self, name: str, tick: Callable[[], Awaitable[None]], interval_s: float) -> None:
        self._name = name
        self._tick = tick
        self._interval_s = interval_s
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Tick soon. A lost poke costs time and nothing else."""
        self._poked.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        said = ""
        while True:
            self._poked.clear()
            away = ""
            try:
                await self._tick()
            except Unavailable as error:
                away = str(error)
                if away != said:
                    log.warning("%s: %s", self._name, away)
            except Exception:
                log.exception("%s: a tick failed", self._name)
            said = away
            await pause(self._poked, max(self._interval_s, _AWAY_S) if away else self._interval_s)


async def pause(poked: asyncio.Event, seconds: float) -> None:
    """Wait until `poked` is set, or the time is over."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(poked.wait(), seconds)


async def named(work: Awaitable[T], what: str) -> T:
    """The result of `work`; a failure that nobody named becomes one with the code 'internal', and is logged."""
    try:
        return await work
    except LeewardError:
        raise
    except Exception as error:
        log.exception("%s broke", what)
        raise LeewardError(
            f"{what} broke: {type(error).__name__}", code="internal", hint="see the control plane's log"
        ) from error
