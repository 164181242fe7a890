"""How a loop goes on when what it needs is away."""

import asyncio
import contextlib
import logging

import pytest

from leeward.control.loop import Loop
from leeward.errors import Unavailable


class Ticks:
    """A tick that fails as a test says."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = failures
        self.count = 0
        self.all = asyncio.Event()

    async def __call__(self) -> None:
        failure = self.failures[min(self.count, len(self.failures) - 1)]
        self.count += 1
        if self.count >= len(self.failures) > 1:
            self.all.set()
        if failure is not None:
            raise failure


async def run(loop: Loop, ticks: Ticks, seconds: float) -> None:
    """Run a loop until all that a test said was tried, or for so long."""
    going = asyncio.create_task(loop.run())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ticks.all.wait(), seconds)
    going.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await going


async def test_what_is_away_is_not_asked_ten_times_a_second_by_a_loop_of_a_short_interval() -> None:
    ticks = Ticks(Unavailable("the edge did not answer"))

    await run(Loop("wake", ticks, 0.01), ticks, 0.5)

    assert ticks.count == 1


async def test_a_poke_has_even_what_is_away_asked_at_once() -> None:
    ticks = Ticks(Unavailable("the edge did not answer"), None)
    loop = Loop("wake", ticks, 60.0)
    asyncio.get_running_loop().call_later(0.05, loop.poke)

    await run(loop, ticks, 5.0)

    assert ticks.count == 2


async def test_that_the_same_is_away_is_said_once_until_it_was_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward.control.loop._AWAY_S", 0.01)
    edge, engine = Unavailable("the edge did not answer"), Unavailable("the engine did not answer")
    ticks = Ticks(edge, edge, edge, engine, None, engine, None)

    with caplog.at_level(logging.WARNING):
        await run(Loop("wake", ticks, 0.01), ticks, 5.0)

    assert [record.getMessage().partition(" did")[0] for record in caplog.records] == [
        "wake: the edge",
        "wake: the engine",
        "wake: the engine",
    ]
