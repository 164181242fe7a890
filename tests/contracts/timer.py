"""What every engine promises of runs by the clock."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from leeward.model.run import Run, RunState, SeenRun, Timed, Trigger
from leeward.model.runtime import Workload
from leeward.ports import Engine, Timer

# So far away that no engine's own clock comes in between.
_NEVER = "0 0 29 2 *"


class World(Protocol):
    """An engine, and commands for it."""

    project: str
    image: str
    worker: str
    crashing: str
    """Command that prints 'boom' and exits with 3."""
    ending: str
    """Command that ends at once with 0."""
    talking: str
    """Command that prints 'one' and 'two', and ends with 0."""

    @property
    def engine(self) -> Engine:
        """What is tested."""
        ...

    def app(self) -> str:
        """A name that no other test uses."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Let the engine's clock go on."""
        ...


def timer(world: World) -> Timer:
    """The world's engine, as one that runs by the clock."""
    assert isinstance(world.engine, Timer)
    return world.engine


def timed(world: World, command: str, **changes: object) -> Timed:
    """A process with a schedule."""
    want = Workload(
        app=world.app(),
        process="nightly",
        project=world.project,
        release=3,
        generation=3000,
        image=world.image,
        command=command,
        env=(),
        instances=1,
        millicpu=500,
        memory_mib=64,
        port=8080,
        health=None,
    )
    return replace(Timed(want, _NEVER), **changes)  # type: ignore[arg-type]


def run_of(want: Timed, word: str = "m1") -> Run:
    """A run that somebody asks for now."""
    app, process = want.want.app, want.want.process
    return Run(f"{process}-{word}", app, process, want.want.release, Trigger.MANUAL, datetime.now(UTC))


class TimerContract:
    """Inherited for each engine, with a fixture `world`."""

    async def begun(self, world: World, want: Timed, word: str = "m1") -> Run:
        """A run that was asked for."""
        run = run_of(want, word)
        await timer(world).schedule(want.want.app, (want,))
        await timer(world).begin(want, run)
        return run

    async def until_runs(
        self, world: World, app: str, good: Callable[[list[SeenRun]], bool], seconds: float = 60
    ) -> list[SeenRun]:
        """Look until what is seen is good."""
        waited = 0.0
        while True:
            seen = list(await timer(world).runs(app))
            if good(seen):
                return seen
            if waited > seconds:
                raise AssertionError(f"not within {seconds} s: {seen}")
            await world.pass_time(0.1)
            waited += 0.1

    async def test_a_run_that_ends_with_zero_has_succeeded_and_its_last_lines_are_known(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.talking))

        (seen,) = await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state.final)

        assert (seen.id, seen.process, seen.release, seen.trigger) == (run.id, "nightly", 3, Trigger.MANUAL)
        assert (seen.state, seen.exit_code, seen.reason) == (RunState.SUCCEEDED, 0, "")
        assert seen.started_at is not None
        assert seen.ended_at is not None
        assert seen.started_at <= seen.ended_at
        assert tuple(await timer(world).last_lines(run.app, run.id)) == ("one", "two")

    async def test_a_run_that_fails_says_code_and_last_line(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.crashing))

        (seen,) = await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state.final)

        assert (seen.state, seen.exit_code, seen.attempts) == (RunState.FAILED, 3, 1)
        assert seen.reason == "exited with code 3: 'boom'"

    async def test_a_run_begins_once_however_often_it_is_asked_for_and_stays_until_it_is_forgotten(
        self, world: World
    ) -> None:
        want = timed(world, world.ending)
        run = await self.begun(world, want)
        (first,) = await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state.final)

        await timer(world).begin(want, run)
        await timer(world).begin(want, run)
        await world.pass_time(0.5)

        assert [(r.id, r.started_at) for r in await timer(world).runs(run.app)] == [(run.id, first.started_at)]
        await timer(world).forget(run.app, run.id)
        await timer(world).forget(run.app, run.id)
        await self.until_runs(world, run.app, lambda seen: not seen)

    async def test_a_run_that_goes_on_is_no_instance_and_is_not_forgotten(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.worker))
        await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state is RunState.RUNNING)

        await timer(world).forget(run.app, run.id)

        assert (await world.engine.observe(run.app)).instances == ()
        assert [r.id for r in await timer(world).runs(run.app)] == [run.id]

    async def test_a_run_over_its_time_is_ended_and_says_so(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.worker, timeout_s=2))

        (seen,) = await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state.final)

        assert (seen.state, seen.reason) == (RunState.FAILED, "took longer than 2 s")

    async def test_a_run_can_be_ended_before_its_time(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.worker))
        await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state is RunState.RUNNING)

        await timer(world).end(run.app, run.id)
        await timer(world).end(run.app, run.id)

        seen = await self.until_runs(world, run.app, lambda seen: not seen or seen[0].state.final)
        assert [r.state for r in seen] in ([], [RunState.FAILED])

    async def test_a_run_that_fails_is_tried_as_often_as_is_wished_for(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.crashing, retries=1))

        (seen,) = await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state.final)

        assert (seen.state, seen.attempts, seen.exit_code) == (RunState.FAILED, 2, 3)

    async def test_two_runs_of_a_process_go_on_side_by_side(self, world: World) -> None:
        want = timed(world, world.worker)
        await self.begun(world, want, "m1")
        await self.begun(world, want, "m2")

        seen = await self.until_runs(
            world, want.want.app, lambda seen: [r.state for r in seen] == [RunState.RUNNING, RunState.RUNNING]
        )

        assert sorted(r.id for r in seen) == ["nightly-m1", "nightly-m2"]

    async def test_an_app_that_is_removed_leaves_no_run(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.worker))
        await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state is RunState.RUNNING)

        await timer(world).schedule(run.app, ())
        await world.engine.remove(run.app)

        await self.until_runs(world, run.app, lambda seen: not seen)

    async def test_what_is_kept_while_others_go_keeps_its_runs(self, world: World) -> None:
        run = await self.begun(world, timed(world, world.worker))
        await self.until_runs(world, run.app, lambda seen: bool(seen) and seen[0].state is RunState.RUNNING)

        await world.engine.remove(run.app, keep=frozenset({"nightly"}))
        await world.pass_time(0.5)

        assert [r.state for r in await timer(world).runs(run.app)] == [RunState.RUNNING]
