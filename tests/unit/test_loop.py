"""How a loop goes on when what it needs is away."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import pytest

from leeward.control.loop import Loop
from leeward.errors import Unavailable


class Ticks:
    """A tick that fails as a test says."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        failure = self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]
        if failure is not None:
            raise failure


async def run(loop: Loop, enough: Callable[[], bool], seconds: float) -> None:
    """Run a loop until it did enough, or for so long."""
    going = asyncio.create_task(loop.run())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not enough():
                await asyncio.sleep(0.01)
    going.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await going


async def test_what_is_away_is_not_asked_ten_times_a_second_by_a_loop_of_a_short_interval() -> None:
    ticks = Ticks(Unavailable("the edge did not answer"))

    await run(Loop("wake", ticks, 0.01), lambda: False, 0.5)

    assert ticks.count == 1


async def test_a_poke_has_even_what_is_away_asked_at_once() -> None:
    ticks = Ticks(Unavailable("the edge did not answer"), None)
    loop = Loop("wake", ticks, 60.0)
    asyncio.get_running_loop().call_later(0.05, loop.poke)

    await run(loop, lambda: ticks.count == 2, 5.0)

    assert ticks.count == 2


async def test_that_the_same_is_away_is_said_once_until_it_was_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward.control.loop._AWAY_S", 0.01)
    edge, engine = Unavailable("the edge did not answer"), Unavailable("the engine did not answer")
    ticks = Ticks(edge, edge, edge, engine, None, engine, None)

    with caplog.at_level(logging.WARNING):
        await run(Loop("wake", ticks, 0.01), lambda: ticks.count >= 8, 5.0)

    assert [record.getMessage().partition(" did")[0] for record in caplog.records] == [
        "wake: the edge",
        "wake: the engine",
        "wake: the engine",
    ]
