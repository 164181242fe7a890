"""Builds begin while there is room for them."""

import asyncio
from pathlib import Path

import pytest

from leeward.builders import pool
from leeward.builders.pool import Pool
from leeward.settings import Settings


def made(tmp_path: Path, free_mib: int, builds: int = 2) -> Pool:
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {free_mib * 1024} kB\n")
    return Pool(Settings(home=tmp_path, builds=builds, build_memory_mib=1024), tmp_path / "meminfo")


async def test_the_first_build_never_waits_for_memory(tmp_path: Path) -> None:
    said: list[str] = []

    async with made(tmp_path, free_mib=1).place(said.append):
        assert said == []


async def test_the_next_waits_until_what_it_reserves_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_EVERY_S", 0.01)
    places, said, begun = made(tmp_path, free_mib=100), [], asyncio.Event()

    async def second() -> None:
        async with places.place(said.append):
            begun.set()

    async with places.place(said.append):
        waiting = asyncio.create_task(second())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(begun.wait(), 0.05)
        (tmp_path / "meminfo").write_text(f"MemAvailable: {600 * 1024} kB\n")
        await asyncio.wait_for(begun.wait(), 5)
    await waiting

    assert said == ["waiting for memory: 100 MiB are free, and a build reserves 512 MiB"]


async def test_who_waits_for_a_slot_is_told(tmp_path: Path) -> None:
    places, said = made(tmp_path, free_mib=4000, builds=1), []

    async with places.place(said.append):
        waiting = asyncio.create_task(places.place(said.append).__aenter__())
        await asyncio.sleep(0)
        assert said == ["waiting for a build slot (1 at once)"]
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
