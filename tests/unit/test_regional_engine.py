"""Several engines are seen as one, and each workload runs where it says."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from leeward.engines.regional import RegionalEngine
from leeward.errors import Invalid, Unavailable
from leeward.fakes.cluster import FakeCluster
from leeward.fakes.engine import FakeEngine
from leeward.model.app import Health
from leeward.model.region import LOCAL, EngineKind, Examined, Region
from leeward.model.run import Run, Timed, Trigger
from leeward.model.runtime import InstanceState, Observed, Workload

EAST = Region("east", EngineKind.KUBERNETES)
WANT = Workload(
    "shop", "web", "default", 1, 1, "registry/shop@sha256:1", None, (), 1, 100, 256, 8080, Health(drain=0), region=LOCAL
)
THERE = replace(WANT, release=2, generation=2, region="east")


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Cluster(FakeCluster):
    """A cluster that can be away."""

    away = False

    async def observe(self, app: str) -> Observed:
        if self.away:
            raise Unavailable("the cluster did not answer")
        return await super().observe(app)

    async def apps(self) -> frozenset[str]:
        if self.away:
            raise Unavailable("the cluster did not answer")
        return await super().apps()


class World:
    """This machine and one cluster."""

    def __init__(self) -> None:
        self.here, self.there = FakeEngine(Clock()), Cluster(Clock())
        self.wished: list[Region] = [EAST]
        self.engine = RegionalEngine(self.here, self.regions, lambda region: self.there)

    async def regions(self) -> Sequence[Region]:
        return self.wished

    async def generations(self) -> dict[str, list[int]]:
        found = {"here": await self.here.observe("shop"), "there": await self.there.observe("shop")}
        return {
            name: sorted(i.generation for i in seen.instances if i.state is not InstanceState.DRAINING)
            for name, seen in found.items()
        }


@pytest.fixture
async def world() -> World:
    made = World()
    await made.engine.refresh()
    return made


async def test_a_workload_runs_in_its_region_and_is_seen_from_outside(world: World) -> None:
    await world.engine.apply(WANT)
    await world.engine.apply(replace(THERE, app="cart"))

    assert await world.engine.apps() == {"shop", "cart"}
    assert [i.app for i in (await world.engine.observe("cart")).instances] == ["cart"]
    assert await world.here.apps() == {"shop"} and await world.there.apps() == {"cart"}
    assert len(await world.engine.usage()) == 2


async def test_an_app_that_moves_serves_in_the_old_region_until_the_new_one_is_live(world: World) -> None:
    await world.engine.apply(WANT)

    # The new release is proven beside the live one …
    await world.engine.apply(WANT, frozenset({2}))
    await world.engine.apply(THERE, frozenset({1}))
    assert await world.generations() == {"here": [1], "there": [2]}

    # … and then it is the live one.
    await world.engine.apply(replace(THERE, routed=frozenset()))
    await world.engine.apply(replace(THERE, routed=frozenset()))
    assert await world.generations() == {"here": [], "there": [2]}


async def test_a_cluster_that_is_away_concerns_only_the_apps_that_run_there(world: World) -> None:
    await world.engine.apply(WANT)
    await world.engine.apply(replace(THERE, app="cart"))
    world.there.away = True

    assert len((await world.engine.observe("shop")).instances) == 1
    assert await world.engine.apps() == {"shop"}
    with pytest.raises(Unavailable, match="the cluster did not answer"):
        await world.engine.observe("cart")


async def test_what_is_removed_goes_in_every_region(world: World) -> None:
    await world.engine.apply(WANT)
    await world.engine.apply(THERE, frozenset({1}))

    await world.engine.remove("shop")

    assert await world.generations() == {"here": [], "there": []}


async def test_changes_of_every_region_are_told(world: World) -> None:
    running = asyncio.create_task(world.engine.run())
    stream = world.engine.changes()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)

    await world.engine.apply(replace(THERE, app="cart"))

    assert await asyncio.wait_for(first, 1) == "cart"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_region_that_is_forgotten_takes_no_workloads(world: World) -> None:
    world.wished = []
    await world.engine.refresh()

    with pytest.raises(Unavailable, match="region 'east' is not there, but local"):
        await world.engine.apply(THERE)


async def test_the_engine_of_a_region_that_ended_is_started_again() -> None:
    world, starts = World(), 0

    class Ends(Cluster):
        async def run(self) -> None:
            nonlocal starts
            starts += 1

    world.there = Ends(Clock())
    for _ in range(3):
        await world.engine.refresh()
        await asyncio.sleep(0.01)

    assert starts == 3


async def test_a_command_runs_where_its_instance_is(world: World) -> None:
    await world.engine.apply(THERE)
    world.there.answers[("hostname",)] = (0, b"east-1")
    (instance,) = (await world.engine.observe("shop")).instances

    assert await world.engine.exec(instance.id, ["hostname"]) == (0, b"east-1")
    assert await world.engine.run_once(THERE, "hostname", lambda line: None, 1) == 0


async def test_only_a_cluster_has_objects_to_show(world: World) -> None:
    assert world.engine.render([THERE]) == [{"kind": "Deployment", "metadata": {"name": "shop-web"}}]
    with pytest.raises(Invalid, match="'local' runs containers"):
        world.engine.render([WANT])


async def test_a_region_can_be_examined_before_it_is_added(world: World) -> None:
    world.there.found = [Examined("connection", False, "does not answer", "look at its address")]

    assert await world.engine.examine(Region("west", EngineKind.KUBERNETES)) == tuple(world.there.found)
    assert [found.ok for found in await world.engine.examine(Region(LOCAL, EngineKind.LOCAL))] == [True]


async def test_a_region_that_cannot_be_used_keeps_no_other_from_starting() -> None:
    world = World()
    world.wished = [Region("broken", EngineKind.KUBERNETES), EAST]

    def make(region: Region) -> FakeEngine:
        if region.name == "broken":
            raise Invalid("its file names no cluster")
        return world.there

    engine = RegionalEngine(world.here, world.regions, make)
    await engine.refresh()

    await engine.apply(THERE)
    with pytest.raises(Unavailable, match="region 'broken' is not there, but east, local"):
        await engine.apply(replace(THERE, region="broken"))


NIGHTLY = Timed(replace(WANT, process="nightly", health=None), "@daily")


async def test_a_schedule_is_kept_in_its_region_and_goes_from_the_one_before(world: World) -> None:
    world.there.timer.keeps_time = True
    run = Run("nightly-m1", "shop", "nightly", 1, Trigger.MANUAL, Clock().now())

    assert await world.engine.schedule("shop", (NIGHTLY,)) is False
    assert world.here.timer.schedules["shop"] == (NIGHTLY,)
    moved = replace(NIGHTLY, want=replace(NIGHTLY.want, region="east"))
    assert await world.engine.schedule("shop", (moved,)) is True
    await world.engine.begin(moved, run)

    assert world.here.timer.schedules["shop"] == ()
    assert world.there.timer.schedules["shop"] == (moved,)
    assert (world.here.timer.begun, world.there.timer.begun) == ([], ["nightly-m1"])
    assert [seen.id for seen in await world.engine.runs("shop")] == ["nightly-m1"]
    await world.engine.schedule("shop", ())
    assert world.there.timer.schedules["shop"] == ()
