"""What every engine promises."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from leeward.errors import NotFound
from leeward.model.app import Health
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.ports.world import Engine

READY = InstanceState.READY
HEALTH = Health(rollout_interval=0.1, interval=0.3, timeout=1, successes=2, failures=2, drain=0.5)


class World(Protocol):
    """An engine, and what a test may do to the world below it."""

    engine: Engine
    image: str
    web: str
    """Command that answers HTTP on PORT."""
    worker: str
    silent: str
    """Command that runs and never listens."""
    crashing: str
    """Command that prints 'boom' and exits with 3."""

    def app(self) -> str:
        """A name that no other test uses."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Let the engine's clock go on."""
        ...

    async def vanish(self, instance: str) -> None:
        """Take an instance away behind the engine's back."""
        ...

    def answer(self, command: tuple[str, ...], code: int, output: bytes) -> None:
        """Say what a command will answer (nothing to do where commands really run)."""
        ...


class EngineContract:
    """Inherited for each engine, with a fixture `world`."""

    def want(self, world: World, **changes: object) -> Workload:
        base = Workload(
            app=world.app(),
            process="web",
            project="contract",
            release=1,
            generation=1000,
            image=world.image,
            command=world.web,
            env=(),
            instances=1,
            millicpu=500,
            memory_mib=64,
            port=8080,
            health=HEALTH,
            routed=frozenset(),
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    async def until(
        self,
        world: World,
        want: Workload,
        good: Callable[[Observed], bool],
        keep: frozenset[int] = frozenset(),
        seconds: float = 20,
    ) -> Observed:
        """Apply as the control loop does, until what is seen is good."""
        waited = 0.0
        while True:
            seen = await world.engine.observe(want.app)
            if good(seen):
                return seen
            if waited > seconds:
                raise AssertionError(f"not within {seconds} s: {seen}")
            await world.pass_time(0.05)
            waited += 0.05
            await world.engine.apply(want, keep)

    async def ready(self, world: World, want: Workload, keep: frozenset[int] = frozenset()) -> tuple[Instance, ...]:
        """Apply until all wished instances of the generation are ready; those."""
        seen = await self.until(world, want, lambda seen: len(serving(seen, want.generation)) == want.instances, keep)
        return serving(seen, want.generation)

    async def routed(self, world: World, want: Workload) -> Workload:
        """`want` with its ready instances in the routes, as the edge reports it."""
        instances = await self.ready(world, want)
        sent = replace(want, routed=frozenset(instance.id for instance in instances))
        await world.engine.apply(sent)
        return sent

    # --- starting -----------------------------------------------------------------------------------------

    async def test_it_starts_as_many_instances_as_are_wished_for(self, world: World) -> None:
        want = self.want(world, instances=2)

        await world.engine.apply(want)

        assert len((await world.engine.observe(want.app)).of("web")) == 2

    async def test_applying_again_starts_no_more(self, world: World) -> None:
        want = self.want(world)

        await world.engine.apply(want)
        await asyncio.gather(world.engine.apply(want), world.engine.apply(want))

        assert len((await world.engine.observe(want.app)).instances) == 1

    async def test_an_instance_that_answers_becomes_ready(self, world: World) -> None:
        want = self.want(world)

        (instance,) = await self.ready(world, want)

        assert instance.state is READY
        assert instance.reason == ""

    async def test_an_instance_says_what_it_is_and_where_it_is_reached(self, world: World) -> None:
        want = self.want(world, release=7, generation=7003)

        (instance,) = await self.ready(world, want)

        assert (instance.app, instance.process) == (want.app, "web")
        assert (instance.release, instance.generation) == (7, 7003)
        assert instance.peer == f"{instance.host}:8080"
        assert instance.host
        assert instance.started_at > 0

    async def test_two_instances_have_two_names_and_two_addresses(self, world: World) -> None:
        want = self.want(world, instances=2)

        first, second = await self.ready(world, want)

        assert first.id != second.id
        assert first.peer != second.peer

    async def test_a_worker_is_ready_when_it_has_run_for_two_seconds(self, world: World) -> None:
        want = self.want(world, process="worker", command=world.worker, health=None, routed=None)
        await world.engine.apply(want)

        (young,) = (await world.engine.observe(want.app)).instances
        (old,) = await self.ready(world, want)

        assert young.state is InstanceState.STARTING
        assert old.id == young.id

    async def test_an_instance_that_never_listens_never_gets_ready(self, world: World) -> None:
        want = self.want(world, command=world.silent)
        await world.engine.apply(want)

        seen = await self.until(world, want, lambda seen: bool(seen.instances[0].reason))

        assert seen.instances[0].state is InstanceState.STARTING
        assert seen.instances[0].reason == "nothing listens on port 8080"
        assert "PORT" in seen.instances[0].hint

    async def test_an_instance_that_vanished_is_replaced(self, world: World) -> None:
        want = self.want(world)
        (before,) = await self.ready(world, want)

        await world.vanish(before.id)
        seen = await self.until(world, want, lambda seen: {i.id for i in seen.instances} - {before.id} != set())

        assert len([i for i in seen.instances if i.state is not InstanceState.STOPPING]) == 1

    # --- crashing -----------------------------------------------------------------------------------------

    async def test_a_crash_is_reported_with_code_last_line_and_hint(self, world: World) -> None:
        want = self.want(world, command=world.crashing)

        seen = await self.until(world, want, crashed)

        assert seen.instances[0].reason == "exits at once with code 3: 'boom'", seen
        assert "lee logs" in seen.instances[0].hint

    async def test_a_crash_loop_is_one_instance_that_counts_its_restarts(self, world: World) -> None:
        want = self.want(world, command=world.crashing)

        seen = await self.until(world, want, lambda seen: crashed(seen) and seen.instances[0].restarts >= 1)

        assert len(seen.instances) == 1

    async def test_a_crashing_generation_does_not_take_down_the_one_that_serves(self, world: World) -> None:
        old = await self.routed(world, self.want(world))
        new = replace(old, generation=2000, command=world.crashing)

        seen = await self.until(world, new, lambda seen: any(i.state is InstanceState.CRASHED for i in seen.instances))

        assert [i.id for i in serving(seen, 1000)] == sorted(old.routed or ())

    # --- scaling ------------------------------------------------------------------------------------------

    async def test_more_instances_are_added_beside_those_that_run(self, world: World) -> None:
        want = self.want(world)
        (before,) = await self.ready(world, want)

        after = await self.ready(world, replace(want, instances=2))

        assert before.id in {instance.id for instance in after}

    async def test_what_is_too_many_drains_but_is_not_stopped_while_it_is_routed(self, world: World) -> None:
        sent = await self.routed(world, self.want(world, instances=2))
        fewer = replace(sent, instances=1)

        for _ in range(4):
            await world.engine.apply(fewer)
            await world.pass_time(0.3)
        seen = await world.engine.observe(fewer.app)

        assert sorted(i.state for i in seen.instances) == [InstanceState.DRAINING, READY]

    async def test_what_is_too_many_goes_when_it_left_the_routes(self, world: World) -> None:
        sent = await self.routed(world, self.want(world, instances=2))
        fewer = replace(sent, instances=1)
        await world.engine.apply(fewer)
        (stays,) = serving(await world.engine.observe(fewer.app), 1000)

        unrouted = replace(fewer, routed=frozenset({stays.id}))
        seen = await self.until(world, unrouted, lambda seen: len(seen.instances) == 1)

        assert seen.instances[0].id == stays.id

    async def test_the_instance_in_the_routes_stays_when_one_is_too_many(self, world: World) -> None:
        both = await self.ready(world, want := self.want(world, instances=2))
        one = replace(want, instances=1, routed=frozenset({both[1].peer}))

        seen = await self.until(world, one, lambda seen: len(seen.instances) == 1)

        assert seen.instances[0].id == both[1].id

    async def test_nothing_runs_when_nothing_is_wished_for(self, world: World) -> None:
        sent = await self.routed(world, self.want(world))
        none = replace(sent, instances=0, routed=frozenset())

        await self.until(world, none, lambda seen: not seen.instances)

        assert await world.engine.observe(none.app) == Observed(none.app)

    async def test_a_draining_instance_does_not_count_when_more_are_wished_for(self, world: World) -> None:
        sent = await self.routed(world, self.want(world, instances=2))
        await world.engine.apply(replace(sent, instances=1))

        seen = await self.until(world, sent, lambda seen: len(serving(seen, 1000)) == 2)

        assert [i.state for i in seen.instances].count(InstanceState.DRAINING) == 1

    # --- generations --------------------------------------------------------------------------------------

    async def test_a_new_generation_starts_beside_the_old_one(self, world: World) -> None:
        old = await self.routed(world, self.want(world))

        await world.engine.apply(replace(old, generation=2000))
        seen = await world.engine.observe(old.app)

        assert {i.generation for i in seen.instances} == {1000, 2000}

    async def test_the_old_generation_stays_until_the_new_one_is_ready(self, world: World) -> None:
        old = await self.routed(world, self.want(world))
        new = replace(old, generation=2000, command=world.silent, routed=frozenset())

        for _ in range(3):
            await world.engine.apply(new)
            await world.pass_time(0.3)

        assert len(serving(await world.engine.observe(old.app), 1000)) == 1

    async def test_the_old_generation_is_not_stopped_while_it_is_routed(self, world: World) -> None:
        old = await self.routed(world, self.want(world))
        new = replace(old, generation=2000)
        await self.ready(world, new)

        for _ in range(3):
            await world.engine.apply(new)
            await world.pass_time(0.3)
        seen = await world.engine.observe(old.app)

        assert {i.generation: i.state for i in seen.instances} == {1000: InstanceState.DRAINING, 2000: READY}

    async def test_the_old_generation_goes_after_its_drain(self, world: World) -> None:
        old = await self.routed(world, self.want(world))
        new = replace(old, generation=2000)
        (fresh,) = await self.ready(world, new)
        moved = replace(new, routed=frozenset({fresh.id}))

        await world.engine.apply(moved)
        during = await world.engine.observe(old.app)
        after = await self.until(world, moved, lambda seen: len(seen.instances) == 1)

        assert InstanceState.DRAINING in {i.state for i in during.instances}
        assert after.instances[0].id == fresh.id

    async def test_a_generation_that_is_kept_is_left_alone(self, world: World) -> None:
        old = await self.routed(world, self.want(world))
        new = replace(old, generation=2000)
        (fresh,) = await self.ready(world, new, keep=frozenset({1000}))

        moved = replace(new, routed=frozenset({fresh.id}))
        for _ in range(3):
            await world.engine.apply(moved, frozenset({1000}))
            await world.pass_time(0.3)

        assert len(serving(await world.engine.observe(old.app), 1000)) == 1

    async def test_a_candidate_that_never_served_stops_at_once_when_it_is_given_up(self, world: World) -> None:
        live = await self.routed(world, self.want(world))
        candidate = replace(live, generation=2000)
        await self.ready(world, candidate, keep=frozenset({1000}))

        await world.engine.apply(live)
        given_up = [i for i in (await world.engine.observe(live.app)).instances if i.generation == 2000]

        assert all(i.state is InstanceState.STOPPING for i in given_up)
        await self.until(world, live, lambda seen: len(seen.instances) == 1)

    async def test_an_old_worker_goes_when_the_new_one_is_ready(self, world: World) -> None:
        old = self.want(world, process="worker", command=world.worker, health=None, routed=None)
        await self.ready(world, old)
        new = replace(old, generation=2000)

        seen = await self.until(world, new, lambda seen: {i.generation for i in seen.instances} == {2000})

        assert seen.instances[0].state is READY

    async def test_processes_of_an_app_do_not_touch_each_other(self, world: World) -> None:
        web = self.want(world)
        worker = replace(web, process="worker", command=world.worker, health=None, routed=None, generation=2000)
        await world.engine.apply(web)

        await world.engine.apply(worker)
        seen = await world.engine.observe(web.app)

        assert [len(seen.of("web")), len(seen.of("worker"))] == [1, 1]

    # --- removing -----------------------------------------------------------------------------------------

    async def test_a_removed_app_has_nothing_that_runs(self, world: World) -> None:
        want = self.want(world)
        await self.ready(world, want)

        await world.engine.remove(want.app)
        await self.gone(world, want.app)

        assert want.app not in await world.engine.apps()

    async def test_the_processes_to_keep_are_kept(self, world: World) -> None:
        web = self.want(world)
        await world.engine.apply(web)
        await world.engine.apply(replace(web, process="worker", command=world.worker, health=None, routed=None))

        await world.engine.remove(web.app, keep=frozenset({"web"}))
        seen = await self.until(world, web, lambda seen: not seen.of("worker"))

        assert len(seen.of("web")) == 1

    async def test_removing_what_is_not_there_is_nothing(self, world: World) -> None:
        await world.engine.remove(world.app())

    async def gone(self, world: World, app: str) -> None:
        for _ in range(400):
            if not (await world.engine.observe(app)).instances:
                return
            await world.pass_time(0.05)
        raise AssertionError("it still runs")

    # --- telling ------------------------------------------------------------------------------------------

    async def test_nothing_is_seen_of_an_unknown_app(self, world: World) -> None:
        app = world.app()

        assert await world.engine.observe(app) == Observed(app)

    async def test_the_apps_are_those_of_which_something_runs(self, world: World) -> None:
        want = self.want(world)

        before = want.app in await world.engine.apps()
        await world.engine.apply(want)

        assert (before, want.app in await world.engine.apps()) == (False, True)

    async def test_a_change_names_its_app(self, world: World) -> None:
        want = self.want(world)
        changes = world.engine.changes()
        first = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)

        await world.engine.apply(want)

        assert await asyncio.wait_for(first, 10) == want.app

    async def test_every_reader_hears_of_a_change(self, world: World) -> None:
        want = self.want(world)
        readers = [asyncio.ensure_future(anext(world.engine.changes())) for _ in range(2)]
        await asyncio.sleep(0)

        await world.engine.apply(want)

        assert await asyncio.wait_for(asyncio.gather(*readers), 10) == [want.app, want.app]

    async def test_usage_has_one_entry_for_each_instance_with_its_limits(self, world: World) -> None:
        want = self.want(world, instances=2)
        instances = await self.ready(world, want)
        await world.pass_time(1)

        usage = {u.instance: u for u in await world.engine.usage() if u.app == want.app}

        assert set(usage) == {i.id for i in instances}
        assert all(u.limit_memory_bytes == 64 * 1024 * 1024 for u in usage.values())
        assert all(u.cpu_s >= 0 and u.process == "web" for u in usage.values())

    async def test_a_command_in_an_instance_answers_with_code_and_output(self, world: World) -> None:
        want = self.want(world)
        (instance,) = await self.ready(world, want)
        command = ("sh", "-c", "echo out; echo err >&2; exit 4")
        world.answer(command, 4, b"out\nerr\n")

        code, output = await world.engine.exec(instance.id, command)

        assert code == 4
        assert sorted(output.split()) == [b"err", b"out"]

    async def test_a_command_in_an_unknown_instance_is_refused(self, world: World) -> None:
        with pytest.raises(NotFound, match="'lee-nothing'"):
            await world.engine.exec("lee-nothing", ("true",))

    async def test_a_single_run_gives_lines_and_code_and_is_no_instance(self, world: World) -> None:
        want = self.want(world)
        world.answer(("echo one; echo two; exit 5",), 5, b"one\ntwo\n")
        lines: list[str] = []

        code = await world.engine.run_once(want, "echo one; echo two; exit 5", lines.append, 20)

        assert (code, lines) == (5, ["one", "two"])
        assert (await world.engine.observe(want.app)).instances == ()


def serving(seen: Observed, generation: int) -> tuple[Instance, ...]:
    """The ready instances of a generation."""
    return tuple(i for i in seen.of("web") + seen.of("worker") if i.generation == generation and i.state is READY)


def crashed(seen: Observed) -> bool:
    """Whether the first instance has crashed."""
    return bool(seen.instances) and seen.instances[0].state is InstanceState.CRASHED
