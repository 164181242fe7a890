"""What ten thousand apps cost the control plane's loops and lists while nothing changes: `python -m benchmarks.many`.

The stores are real, on SQLite; what runs is remembered in a dictionary, so that only the control plane itself is
measured.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import event, insert
from sqlalchemy.engine import Engine as AnyDatabase

from benchmarks import figure, quantile
from leeward.control.apps import Apps
from leeward.fakes.edge import FakeEdge
from leeward.fakes.engine import FakeEngine
from leeward.fakes.registry import FakeRegistry
from leeward.model.app import AppSpec, ProcessSpec
from leeward.model.release import Release
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.model.wish import App
from leeward.ports import Stores
from leeward.settings import Settings
from leeward.store import open_stores
from leeward.store.database import Database
from leeward.store.rows import app_row
from leeward.store.tables import apps as table

SPEC = AppSpec(processes={"web": ProcessSpec(command="serve")})
CHANGES = 200


class Clock:
    """The real time."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)


class Runs(FakeEngine):
    """What is wanted runs at once, and is found by its app."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.here: dict[str, Observed] = {}

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        """It runs."""
        id = f"{want.app}-{want.generation}"
        one = Instance(
            id, want.app, want.process, want.release, want.generation, InstanceState.READY, "10.0.0.1", 8080, 0.0
        )
        self.here[want.app] = Observed(want.app, (one,))

    async def observe(self, app: str) -> Observed:
        """By its name."""
        return self.here.get(app, Observed(app, ()))

    async def apps(self) -> frozenset[str]:
        """All."""
        return frozenset(self.here)

    async def changes(self) -> AsyncIterator[str]:
        """None of which nobody knows."""
        await asyncio.Event().wait()
        yield ""


class Queries:
    """Statements that the database got."""

    def __init__(self) -> None:
        self.count = 0
        event.listen(AnyDatabase, "before_cursor_execute", self._one)

    def _one(self, *_: object) -> None:
        self.count += 1


def name(number: int) -> str:
    """The name of one of the apps."""
    return f"app{number:05}"


async def fill(stores: Stores, home: Path, apps: int) -> FakeRegistry:
    """Apps that are live, each with a release."""
    database = await Database.open(home / "leeward.db")
    rows = [
        app_row(App(name(n), spec=SPEC, live=1, generation=1, created_at=Clock().now()), None)
        | {"webhook_secret": None}
        for n in range(apps)
    ]
    async with database.write() as connection:
        await connection.execute(insert(table), rows)
    await database.close()
    registry = FakeRegistry()
    registry.local = {"registry.test/one:1"}
    for number in range(apps):
        made = Release(name(number), 0, "registry.test/one:1", SPEC, (), {}, deploy=f"d{number}")
        await stores.releases.add(made)
    return registry


async def counted(queries: Queries, work: Callable[[], Awaitable[object]]) -> tuple[float, float, int]:
    """Seconds by the clock, seconds of CPU, and queries."""
    before, began, cpu = queries.count, time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - began, time.process_time() - cpu, queries.count - before


async def measure(apps: int) -> None:
    """First look, quiet looks, a burst of changes, and one page of the list."""
    queries = Queries()
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        async with await open_stores(Settings(home=Path(folder)), Clock()) as stores:
            registry = await fill(stores, Path(folder), apps)
            plane = Apps(stores, Runs(), FakeEdge(), registry, "lee.localhost")
            first_s, cpu_s, asked = await counted(queries, plane.resync)
            await plane.resync()
            figure("many_first_resync", first_s, "s", cpu_s=round(cpu_s, 2), queries=asked, apps=apps)
            took = [await counted(queries, plane.resync) for _ in range(5)]
            quiet_s, cpu_s, asked = sorted(took)[2]
            figure("many_quiet_resync", quiet_s * 1000, "ms", cpu_ms=round(cpu_s * 1000), queries=asked, apps=apps)
            await changes(plane, stores, queries, apps)
            pages = []
            for number in range(100):
                began = time.perf_counter()
                await stores.apps.list(name(number * apps // 100), 50)
                pages.append((time.perf_counter() - began) * 1000)
            figure("many_page", quantile(pages, 0.5), "ms", p99=round(quantile(pages, 0.99), 2), items=50, apps=apps)


async def changes(plane: Apps, stores: Stores, queries: Queries, apps: int) -> None:
    """Wishes that all come at once, in the middle of what the engine tells of every app."""
    wished = [name(number * apps // CHANGES) for number in range(CHANGES)]
    for app in wished:
        await stores.apps.update(app, lambda old: replace(old, generation=2))
    done: dict[str, float] = {}

    def settled(app: str, _: Observed) -> None:
        done.setdefault(app, time.perf_counter())

    plane._on_seen = settled
    for number in range(apps):
        plane.seen(name(number))
    began, before = time.perf_counter(), queries.count
    for app in wished:
        plane.changed(app)
    await plane.tick()
    took = [(done[app] - began) * 1000 for app in wished]
    figure(
        "many_wish_among_all_p99", quantile(took, 0.99), "ms", p50=round(quantile(took, 0.5), 2), wishes=CHANGES,
        all_s=round(time.perf_counter() - began, 2), queries=queries.count - before, apps=apps,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=10_000)
    asyncio.run(measure(parser.parse_args().apps))
