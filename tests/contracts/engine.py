"""What every engine promises."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from leeward.errors import NotFound
from leeward.model.app import Health
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.model.secret import Secret, Variable
from leeward.ports.world import Engine

READY = InstanceState.READY
HEALTH = Health(rollout_interval=0.1, interval=0.3, timeout=1, successes=2, failures=2, drain=0.5)


class World(Protocol):
    """An engine, and what a test may do to the world below it."""

    engine: Engine
    project: str
    image: str
    web: str
    """Command that answers HTTP on PORT."""
    worker: str
    silent: str
    """Command that runs and never listens."""
    crashing: str
    """Command that prints 'boom' and exits with 3."""
    ending: str
    """Command that ends at once with 0."""
    absent: str
    """Command whose program is not in the image."""
    lost: str
    """Command that answers HTTP on PORT, with 404 for '/missing'."""

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
            project=world.project,
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

    async def test_an_instance_is_the_same_one_from_its_start_to_its_being_ready(self, world: World) -> None:
        want = self.want(world)
        await world.engine.apply(want)

        (young,) = (await world.engine.observe(want.app)).instances
        (ready,) = await self.ready(world, want)

        assert (young.id, young.generation) == (ready.id, ready.generation)
        assert ready.restarts == 0

    async def test_what_is_ready_stays_so_without_anybody_applying(self, world: World) -> None:
        (before,) = await self.ready(world, want := self.want(world))

        await world.pass_time(1.5)

        (after,) = serving(await world.engine.observe(want.app), 1000)
        assert (after.id, after.restarts) == (before.id, 0)

    async def test_a_health_path_that_is_not_there_is_named_with_its_answer(self, world: World) -> None:
        health = HEALTH.model_copy(update={"path": "/missing"})
        want = self.want(world, command=world.lost, health=health)
        await world.engine.apply(want)

        seen = await self.until(world, want, lambda seen: "answered" in seen.instances[0].reason)

        assert seen.instances[0].state is InstanceState.STARTING
        assert seen.instances[0].reason == "answered GET /missing with 404"
        assert "health.path" in seen.instances[0].hint

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

    async def test_a_worker_that_crashes_says_why_like_any_other(self, world: World) -> None:
        want = self.want(world, process="worker", command=world.crashing, health=None, routed=None)

        seen = await self.until(world, want, crashed)

        assert seen.instances[0].reason == "exits at once with code 3: 'boom'"

    async def test_an_end_with_zero_is_a_crash_too(self, world: World) -> None:
        want = self.want(world, command=world.ending)

        seen = await self.until(world, want, crashed)

        assert seen.instances[0].reason.startswith("exits at once with code 0")
        assert "must go on running" in seen.instances[0].hint

    async def test_a_program_that_is_not_in_the_image_is_named_as_such(self, world: World) -> None:
        want = self.want(world, command=world.absent)

        seen = await self.until(world, want, crashed)

        assert seen.instances[0].reason.startswith("its command was not found")
        assert "check the command of 'web'" in seen.instances[0].hint

    async def test_a_crash_of_one_process_leaves_the_others_alone(self, world: World) -> None:
        web = self.want(world)
        worker = replace(web, process="worker", command=world.crashing, health=None, routed=None)
        (before,) = await self.ready(world, web)

        await world.engine.apply(worker)
        seen = await self.until(
            world, worker, lambda seen: any(i.state is InstanceState.CRASHED for i in seen.of("worker"))
        )

        assert [(i.id, i.state) for i in seen.of("web")] == [(before.id, READY)]

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

    async def test_applying_what_is_there_changes_nothing(self, world: World) -> None:
        sent = await self.routed(world, self.want(world, instances=2))
        before = await world.engine.observe(sent.app)

        for _ in range(3):
            await world.engine.apply(sent)
            await world.pass_time(0.2)

        after = await world.engine.observe(sent.app)
        assert {(i.id, i.state) for i in after.instances} == {(i.id, i.state) for i in before.instances}

    async def test_the_youngest_goes_first(self, world: World) -> None:
        want = self.want(world)
        (oldest,) = await self.ready(world, want)
        await self.ready(world, replace(want, instances=2))

        seen = await self.until(world, want, lambda seen: len(seen.instances) == 1)

        assert seen.instances[0].id == oldest.id

    async def test_one_that_starts_goes_before_one_that_serves(self, world: World) -> None:
        sent = await self.routed(world, self.want(world))
        await world.engine.apply(replace(sent, instances=2))

        seen = await self.until(world, sent, lambda seen: len(seen.instances) == 1)

        assert {seen.instances[0].id} == sent.routed

    async def test_workers_go_without_a_drain(self, world: World) -> None:
        want = self.want(world, process="worker", command=world.worker, health=None, routed=None, instances=2)
        await self.ready(world, want)

        seen = await self.until(world, replace(want, instances=1), lambda seen: len(seen.instances) == 1)

        assert seen.instances[0].state is READY

    async def test_a_count_goes_up_and_down_again(self, world: World) -> None:
        sent = await self.routed(world, self.want(world))
        await self.ready(world, replace(sent, instances=3))

        seen = await self.until(world, sent, lambda seen: len(seen.instances) == 1)

        assert {seen.instances[0].id} == sent.routed
        assert seen.instances[0].state is READY

    async def test_one_that_comes_back_into_the_routes_is_not_stopped(self, world: World) -> None:
        sent = await self.routed(world, self.want(world, instances=2))
        fewer = replace(sent, instances=1)
        await world.engine.apply(fewer)
        (stays,) = serving(await world.engine.observe(fewer.app), 1000)
        await world.engine.apply(replace(fewer, routed=frozenset({stays.id})))

        for _ in range(4):
            await world.engine.apply(fewer)
            await world.pass_time(0.3)

        assert len((await world.engine.observe(fewer.app)).instances) == 2

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

    async def test_each_instance_says_its_release_and_generation(self, world: World) -> None:
        old = await self.routed(world, self.want(world))
        new = replace(old, release=2, generation=2000)
        await self.ready(world, new, keep=frozenset({1000}))

        seen = await world.engine.observe(old.app)

        assert {(i.release, i.generation) for i in seen.instances} == {(1, 1000), (2, 2000)}
        assert len({i.id for i in seen.instances}) == 2

    async def test_a_candidate_that_crashed_is_taken_away_when_it_is_given_up(self, world: World) -> None:
        live = await self.routed(world, self.want(world))
        candidate = replace(live, generation=2000, command=world.crashing)
        await self.until(
            world,
            candidate,
            lambda seen: any(i.state is InstanceState.CRASHED for i in seen.instances),
            frozenset({1000}),
        )

        seen = await self.until(world, live, lambda seen: {i.generation for i in seen.instances} == {1000})

        assert seen.instances[0].state is READY

    async def test_after_a_candidate_that_failed_the_next_one_is_proven(self, world: World) -> None:
        live = await self.routed(world, self.want(world))
        await world.engine.apply(replace(live, generation=2000, command=world.silent), frozenset({1000}))
        await world.engine.apply(live)

        await self.ready(world, replace(live, generation=3000), keep=frozenset({1000}))
        seen = await self.until(
            world, live, lambda seen: {i.generation for i in seen.instances} == {1000, 3000}, frozenset({3000})
        )

        assert {i.state for i in seen.instances} == {READY}

    async def test_going_back_is_one_more_generation(self, world: World) -> None:
        first = await self.routed(world, self.want(world))
        second = replace(first, release=2, generation=2000)
        (fresh,) = await self.ready(world, second)
        second = replace(second, routed=frozenset({fresh.id}))
        await self.until(world, second, lambda seen: len(seen.instances) == 1)

        third = replace(second, release=1, generation=3000)
        (back,) = await self.ready(world, third)
        seen = await self.until(
            world, replace(third, routed=frozenset({back.id})), lambda seen: len(seen.instances) == 1
        )

        assert [(i.release, i.generation) for i in seen.instances] == [(1, 3000)]

    async def test_to_keep_a_generation_does_not_keep_its_count(self, world: World) -> None:
        want = self.want(world, instances=2)
        await self.ready(world, want)

        await self.until(
            world, replace(want, instances=1), lambda seen: len(seen.instances) == 1, keep=frozenset({1000})
        )

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

    async def test_removing_twice_is_removing(self, world: World) -> None:
        want = self.want(world)
        await world.engine.apply(want)

        await world.engine.remove(want.app)
        await world.engine.remove(want.app)

        await self.gone(world, want.app)

    async def test_removing_one_app_leaves_another_alone(self, world: World) -> None:
        mine, other = self.want(world), self.want(world)
        await world.engine.apply(mine)
        (before,) = await self.ready(world, other)

        await world.engine.remove(mine.app)
        await self.gone(world, mine.app)

        assert [i.id for i in serving(await world.engine.observe(other.app), 1000)] == [before.id]

    async def test_a_name_may_be_used_again_when_all_is_gone(self, world: World) -> None:
        want = self.want(world)
        (before,) = await self.ready(world, want)
        await world.engine.remove(want.app)
        await self.gone(world, want.app)

        (after,) = await self.ready(world, replace(want, generation=2000))

        assert after.id != before.id

    async def test_a_removed_app_uses_nothing(self, world: World) -> None:
        want = self.want(world)
        await self.ready(world, want)

        await world.engine.remove(want.app)
        await self.gone(world, want.app)

        assert [u for u in await world.engine.usage() if u.app == want.app] == []

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

    async def test_one_app_is_seen_without_the_others(self, world: World) -> None:
        mine, other = self.want(world), self.want(world)
        await world.engine.apply(mine)
        await world.engine.apply(other)

        seen = await world.engine.observe(mine.app)

        assert {i.app for i in seen.instances} == {mine.app}
        assert {mine.app, other.app} <= await world.engine.apps()

    async def test_an_instance_that_vanished_is_told(self, world: World) -> None:
        (instance,) = await self.ready(world, want := self.want(world))
        first = asyncio.ensure_future(anext(world.engine.changes()))
        await asyncio.sleep(0)

        await world.vanish(instance.id)

        assert await asyncio.wait_for(first, 10) == want.app

    async def test_a_removed_app_is_told(self, world: World) -> None:
        await self.ready(world, want := self.want(world))
        first = asyncio.ensure_future(anext(world.engine.changes()))
        await asyncio.sleep(0)

        await world.engine.remove(want.app)

        assert await asyncio.wait_for(first, 10) == want.app

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

    async def test_an_instance_has_the_variables_of_its_app_and_of_the_platform(self, world: World) -> None:
        env = (Variable("GREETING", Secret("hello you")), Variable("PASSWORD", Secret("a$b'c"), secret=True))
        (instance,) = await self.ready(world, self.want(world, release=3, env=env))
        command = ("sh", "-c", 'echo "$GREETING/$PASSWORD/$PORT/$LEEWARD_PROCESS/$LEEWARD_RELEASE"')
        world.answer(command, 0, b"hello you/a$b'c/8080/web/v3\n")

        code, output = await world.engine.exec(instance.id, command)

        assert (code, output) == (0, b"hello you/a$b'c/8080/web/v3\n")

    async def test_an_instance_writes_to_its_tmp_only(self, world: World) -> None:
        (instance,) = await self.ready(world, self.want(world))
        command = ("sh", "-c", "touch /tmp/x && echo tmp; touch /www/x 2>/dev/null && echo www; true")
        world.answer(command, 0, b"tmp\n")

        assert await world.engine.exec(instance.id, command) == (0, b"tmp\n")

    async def test_what_a_command_prints_is_bounded(self, world: World) -> None:
        (instance,) = await self.ready(world, self.want(world))
        command = ("sh", "-c", "yes | head -c 3000000")
        world.answer(command, 0, b"y\n" * 524288)

        code, output = await world.engine.exec(instance.id, command)

        assert (code, len(output)) == (0, 1024 * 1024)

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

    async def test_a_single_run_has_the_variables_of_the_workload(self, world: World) -> None:
        want = self.want(world, env=(Variable("GREETING", Secret("hello")),))
        world.answer(("echo $GREETING",), 0, b"hello\n")
        lines: list[str] = []

        assert (await world.engine.run_once(want, "echo $GREETING", lines.append, 20), lines) == (0, ["hello"])

    async def test_a_single_run_beside_instances_leaves_them_alone(self, world: World) -> None:
        want = self.want(world)
        (before,) = await self.ready(world, want)

        code = await world.engine.run_once(want, "true", lambda line: None, 20)

        assert code == 0
        assert [i.id for i in (await world.engine.observe(want.app)).instances] == [before.id]

    async def test_a_single_run_that_takes_too_long_is_ended(self, world: World) -> None:
        world.answer(("sleep 60",), 124, b"stopped after 3 s\n")
        lines: list[str] = []

        code = await world.engine.run_once(self.want(world), "sleep 60", lines.append, 3)

        assert (code, lines) == (124, ["stopped after 3 s"])


def serving(seen: Observed, generation: int) -> tuple[Instance, ...]:
    """The ready instances of a generation."""
    return tuple(i for i in seen.of("web") + seen.of("worker") if i.generation == generation and i.state is READY)


def crashed(seen: Observed) -> bool:
    """Whether the first instance has crashed."""
    return bool(seen.instances) and seen.instances[0].state is InstanceState.CRASHED
