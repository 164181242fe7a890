"""Jobs of a deploy: each runs once, at its moment, and says how it ended."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.unit.control_stage import MANIFEST, Clock, Stage, stage

from leeward.errors import Unavailable
from leeward.fakes.builder import simple_plan
from leeward.fakes.engine import FakeEngine, Outcome
from leeward.model.release import Deploy, DeployKind, DeployStatus, Phase
from leeward.model.runtime import InstanceState, Workload
from leeward.model.secret import revealed
from leeward.ports.world import Say


@dataclass(slots=True)
class JobEngine(FakeEngine):
    """Remembers what ran, in which order; a command of `held` never ends by itself."""

    ran: list[tuple[str, Workload]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    away: bool = False

    async def run_once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        if self.away:
            raise Unavailable("the engine is away")
        self.ran.append((command, want))
        if command in self.held:
            await asyncio.Event().wait()
        return await FakeEngine.run_once(self, want, command, say, timeout_s)

    @property
    def commands(self) -> list[str]:
        return [command for command, _ in self.ran]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        made.engine = JobEngine(Clock())
        again = made.again()
        yield again
        await again.deploys.stop()


def engine(plane: Stage) -> JobEngine:
    assert isinstance(plane.engine, JobEngine)
    return plane.engine


def with_jobs(jobs: str, **files: str) -> dict[str, str]:
    return {"leeward.yaml": f"{MANIFEST}jobs: {jobs}\n", "main.py": "1", **files}


async def until_it_runs(plane: Stage, command: str) -> None:
    async with asyncio.timeout(10):
        while command not in engine(plane).commands:
            await plane.deploys.tick()
            await plane.apps.tick()
            await asyncio.sleep(0.005)


async def lines(plane: Stage) -> str:
    return "\n".join(line.text for line in plane.lines)


async def kinds(plane: Stage) -> list[str]:
    return [event.kind for event in (await plane.stores.events.list(app="shop")).items]


ALL = "{seed: {command: seed}, migrate: {command: migrate, size: nano}, tell: {command: tell, when: after_success}}"


async def test_jobs_run_in_the_order_of_the_manifest_before_anything_starts(plane: Stage) -> None:
    done = await plane.finish(await plane.wish(tree=with_jobs("{seed: {command: seed}, migrate: {command: migrate}}")))

    assert done.status is DeployStatus.LIVE
    assert engine(plane).commands == ["seed", "migrate"]
    first = engine(plane).ran[0][1]
    assert (first.process, first.image, first.health) == (
        "job-seed",
        (await plane.stores.releases.get("shop", 1)).image,
        None,
    )
    assert revealed(first.env)["LEEWARD_JOB"] == "seed"


async def test_a_job_has_the_size_that_it_asks_for(plane: Stage) -> None:
    await plane.finish(await plane.wish(tree=with_jobs(ALL)))

    assert {want.process: want.memory_mib for _, want in engine(plane).ran} == {
        "job-seed": 1024,
        "job-migrate": 256,
        "job-tell": 1024,
    }


async def test_a_job_that_fails_before_the_deploy_leaves_the_old_release_serving(plane: Stage) -> None:
    await plane.live()
    engine(plane).answers[("migrate",)] = (3, b"no such table")

    done = await plane.finish(await plane.wish(tree=with_jobs(ALL, **{"main.py": "2"})))

    assert done.status is DeployStatus.FAILED
    assert done.error is not None
    assert done.error["message"] == "the job 'migrate' 'migrate' ended with 3"
    assert (await plane.stores.apps.get("shop")).live == 1
    assert plane.edge.visit("shop.lee.localhost")[0] == 200
    assert "no such table" in await lines(plane)
    assert "tell" not in engine(plane).commands


async def test_the_release_command_of_the_plan_is_a_job_that_fails_the_deploy(plane: Stage) -> None:
    await plane.live()
    plane.builder.planned = replace(simple_plan("FROM scratch\nRUN echo 2\n"), release_command="upgrade")
    engine(plane).answers[("upgrade",)] = (1, b"locked")

    done = await plane.finish(await plane.wish(tree={"main.py": "2"}))

    assert done.error is not None and "the release command 'upgrade' ended with 1" in done.error["message"]
    assert "locked" in await lines(plane)
    assert (await plane.stores.apps.get("shop")).live == 1


async def test_the_release_command_runs_as_the_web_process_with_its_volumes(plane: Stage) -> None:
    plane.builder.planned = replace(simple_plan("FROM scratch\n"), release_command="upgrade")
    manifest = (
        "name: shop\nprocesses:\n  api: {command: api, health: {drain: 0}}\n"
        "  cron: {command: tidy, schedule: '@daily'}\n"
        "  web: {command: serve, health: {drain: 0}, volumes: {data: {path: /data, size: 1Gi}}}\n"
    )

    await plane.finish(await plane.wish(tree={"leeward.yaml": manifest, "main.py": "1"}))

    [(_, ran)] = [one for one in engine(plane).ran if engine(plane).commands == ["upgrade"]]
    assert (ran.process, [mount.path for mount in ran.volumes]) == ("web", ["/data"])


async def test_jobs_of_the_manifest_take_the_place_of_a_release_command_that_was_found(plane: Stage) -> None:
    plane.builder.planned = replace(simple_plan("FROM scratch\n"), release_command="upgrade")

    await plane.finish(await plane.wish(tree=with_jobs("{migrate: {command: migrate}}")))

    assert engine(plane).commands == ["migrate"]


async def test_a_job_after_success_runs_once_when_the_release_is_live(plane: Stage) -> None:
    done = await plane.finish(await plane.wish(tree=with_jobs(ALL)))

    assert engine(plane).commands == ["seed", "migrate", "tell"]
    assert (done.status, done.steps[-1].phase, done.steps[-1].detail) == (DeployStatus.LIVE, Phase.JOBS, "")
    assert revealed(engine(plane).ran[-1][1].env)["LEEWARD_DEPLOY_STATUS"] == "live"


async def test_a_job_that_fails_after_success_is_told_and_rolls_nothing_back(plane: Stage) -> None:
    engine(plane).answers[("tell",)] = (124, b"")

    done = await plane.finish(await plane.wish(tree=with_jobs(ALL)))

    assert done.status is DeployStatus.LIVE
    assert (await plane.stores.apps.get("shop")).live == 1
    assert done.steps[-1].detail == "job 'tell' took longer than 600 s"
    assert "job.failed" in await kinds(plane)


async def test_a_job_after_failure_runs_in_the_release_that_failed_and_knows_why(plane: Stage) -> None:
    await plane.live()
    engine(plane).outcomes["serve"] = Outcome(InstanceState.CRASHED, "exited at once")
    wish = await plane.wish(tree=with_jobs("{alarm: {command: alarm, when: after_failure}}", **{"main.py": "2"}))

    done = await plane.finish(wish)

    assert (done.status, engine(plane).commands) == (DeployStatus.FAILED, ["alarm"])
    want = engine(plane).ran[0][1]
    assert want.release == 2
    assert "exited at once" in revealed(want.env)["LEEWARD_DEPLOY_ERROR"]
    assert revealed(want.env)["LEEWARD_DEPLOY_STEP"] == "rollout"


async def test_after_a_failed_build_the_job_runs_in_the_live_release(plane: Stage) -> None:
    await plane.live()
    plane.builder.planned = simple_plan("FROM scratch\nRUN exit 3\n")
    alarm = with_jobs("{alarm: {command: alarm, when: after_failure}}", **{"main.py": "2"})

    done = await plane.finish(await plane.wish(tree=alarm))

    assert done.error is not None and done.error["step"] == "build"
    assert [want.release for _, want in engine(plane).ran] == [1]


async def test_without_any_image_a_job_after_failure_is_an_event(plane: Stage) -> None:
    plane.builder.planned = simple_plan("FROM scratch\nRUN exit 3\n")

    done = await plane.finish(await plane.wish(tree=with_jobs("{alarm: {command: alarm, when: after_failure}}")))

    assert (done.status, engine(plane).commands) == (DeployStatus.FAILED, [])
    assert "job.failed" in await kinds(plane)


@pytest.mark.parametrize("cut", ["seed", "migrate", "tell"])
async def test_a_control_plane_that_dies_in_a_job_never_runs_a_finished_one_again(plane: Stage, cut: str) -> None:
    engine(plane).held.add(cut)
    wish = await plane.wish(tree=with_jobs(ALL))
    await until_it_runs(plane, cut)
    await plane.deploys.stop()
    engine(plane).held.clear()
    following = plane.again()
    await following.deploys.start()

    done = await following.finish(wish)
    await following.deploys.stop()

    assert done.status is DeployStatus.LIVE
    ran = engine(plane).commands
    # Cut in the middle: it cannot be known how far it came, so that one is run again.
    assert {name: ran.count(name) for name in ("seed", "migrate", "tell")} == {
        name: 1 + (name == cut) for name in ("seed", "migrate", "tell")
    }


async def test_a_control_plane_that_dies_after_a_failure_tells_of_it_once_and_builds_nothing_again(
    plane: Stage,
) -> None:
    await plane.live()
    plane.builder.planned = simple_plan("FROM scratch\nRUN exit 3\n")
    engine(plane).held.add("second")
    alarms = "{first: {command: first, when: after_failure}, second: {command: second, when: after_failure}}"
    wish = await plane.wish(tree=with_jobs(alarms, **{"main.py": "2"}))
    await until_it_runs(plane, "second")
    built = len(plane.builder.built)
    await plane.deploys.stop()
    engine(plane).held.clear()
    following = plane.again()
    await following.deploys.start()

    done = await following.finish(wish)
    await following.deploys.stop()

    assert done.status is DeployStatus.FAILED
    assert done.error is not None and done.error["step"] == "build"
    assert engine(plane).commands == ["first", "second", "second"]
    assert len(plane.builder.built) == built


async def test_a_deploy_whose_following_jobs_are_cancelled_is_live(plane: Stage) -> None:
    engine(plane).held.add("tell")
    wish = await plane.wish(tree=with_jobs(ALL))
    await until_it_runs(plane, "tell")
    await plane.stores.deploys.cancel(wish.id)

    done = await plane.finish(wish)

    assert done.status is DeployStatus.LIVE
    assert plane.edge.visit("shop.lee.localhost")[0] == 200


async def test_the_first_command_runs_after_the_first_deploy_only(plane: Stage) -> None:
    plane.builder.planned = replace(simple_plan("FROM scratch\n"), first_command="load samples")
    await plane.live()
    plane.builder.planned = replace(simple_plan("FROM scratch\nRUN echo 2\n"), first_command="load samples")
    await plane.live()

    assert engine(plane).commands == ["load samples"]


async def test_only_new_code_runs_jobs(plane: Stage) -> None:
    await plane.finish(await plane.wish(tree=with_jobs(ALL)))
    engine(plane).ran.clear()

    for kind in (DeployKind.RESTART, DeployKind.ROLLBACK):
        done: Deploy = await plane.finish(await plane.wish(kind, release=1))
        assert done.status is DeployStatus.LIVE

    assert engine(plane).commands == []


async def test_random_values_are_made_once_and_are_secrets(plane: Stage) -> None:
    plane.builder.planned = replace(simple_plan("FROM scratch\n"), generated=("SECRET_KEY",))
    await plane.live()
    (first,) = await plane.stores.apps.env("shop")
    await plane.live()

    assert (await plane.stores.apps.env("shop")) == (first,)
    assert (first.key, first.secret, len(first.value.reveal())) == ("SECRET_KEY", True, 64)


async def test_a_new_apps_processes_begin_as_the_plan_says(plane: Stage) -> None:
    planned = simple_plan("FROM scratch\n", "serve")
    commands = {"web": "serve", "clock": "tick"}
    formation = {"web": {"instances": 2, "size": "micro"}, "clock": {"instances": 0}}
    plane.builder.planned = replace(planned, processes=commands, formation=formation)

    await plane.finish(await plane.wish(tree={"leeward.yaml": "name: shop\n", "main.py": "1"}))

    spec = (await plane.stores.releases.get("shop", 1)).spec
    assert {name: (p.instances.min, p.instances.max, p.size) for name, p in spec.processes.items()} == {
        "web": (2, 2, "micro"),
        "clock": (0, 0, "small"),
    }
