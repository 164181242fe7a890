"""Who waits for whom when many apps change at once."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import pytest

from leeward.control.turns import Turns


class Work:
    """Remembers what was done, and how much of it at once."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.done: list[str] = []
        self.busy: set[str] = set()
        self.most = 0
        self.began: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.ended: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.hold: dict[str, asyncio.Event] = {}
        self.meanwhile: dict[str, Callable[[], Awaitable[None] | None]] = {}

    async def __call__(self, name: str) -> None:
        assert name not in self.busy, "the same one twice at a time"
        self.busy.add(name)
        self.began[name].set()
        self.most = max(self.most, len(self.busy))
        try:
            await asyncio.sleep(0)
            if name in self.hold:
                await self.hold[name].wait()
            if name in self.meanwhile:
                self.meanwhile.pop(name)()
            self.done.append(name)
            self.ended[name].set()
        finally:
            self.busy.discard(name)


async def test_of_many_that_changed_only_so_many_are_done_at_once_and_each_is_done_once() -> None:
    turns = Turns(at_once=16)
    work = Work(turns)
    for _ in range(3):
        for number in range(1000):
            turns.see(f"app{number}")

    await turns.run(work)

    assert work.most == 16
    assert sorted(work.done) == sorted(f"app{number}" for number in range(1000))


async def test_a_wish_does_not_wait_behind_thousands_that_were_merely_seen() -> None:
    turns = Turns(at_once=4)
    work = Work(turns)
    for number in range(1000):
        turns.see(f"app{number}")
    work.meanwhile["app7"] = lambda: turns.wish("shop")

    await turns.run(work)

    assert work.done.index("shop") < 20


async def test_one_that_takes_long_keeps_no_other_waiting_that_comes_meanwhile() -> None:
    turns = Turns()
    work = Work(turns)
    work.hold["slow"] = asyncio.Event()
    turns.see("slow")
    running = asyncio.create_task(turns.run(work))
    await asyncio.wait_for(work.began["slow"].wait(), 30)

    turns.see("quick")
    await asyncio.wait_for(work.ended["quick"].wait(), 30)

    assert "slow" in work.busy
    work.hold["slow"].set()
    await running


async def test_what_comes_for_one_that_is_being_done_is_done_after_it() -> None:
    turns = Turns()
    work = Work(turns)
    work.meanwhile["shop"] = lambda: turns.see("shop")
    turns.see("shop")

    await turns.run(work)

    assert work.done == ["shop", "shop"]


async def test_what_failed_waits_for_the_next_round_instead_of_spinning() -> None:
    turns = Turns()
    tried: list[str] = []

    async def fails(name: str) -> None:
        tried.append(name)
        turns.later(name)

    turns.see("shop")
    await turns.run(fails)
    assert tried == ["shop"]
    await turns.run(fails)
    assert tried == ["shop", "shop"]


async def test_one_that_breaks_does_not_keep_the_others_from_their_turn() -> None:
    turns = Turns(at_once=2)
    done: list[str] = []

    async def breaks(name: str) -> None:
        if name == "app3":
            raise ValueError(name)
        done.append(name)

    for number in range(10):
        turns.see(f"app{number}")

    with pytest.raises(ValueError, match="app3"):
        await turns.run(breaks)

    assert len(done) == 9
