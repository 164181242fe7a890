"""Runs of schedules as containers: a next control plane takes them over, and they find the app by its name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.engine import HEALTH
from tests.contracts.timer import run_of, timed
from tests.contracts.tiny import Machine, docker, machine, needs_docker

from leeward.engines.local import timed as labels
from leeward.engines.local.container import RUN
from leeward.model.run import RunState, SeenRun
from leeward.model.runtime import InstanceState


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Machine]:
    needs_docker()
    async with machine(tmp_path) as made:
        yield made


async def until(world: Machine, app: str, good: Callable[[SeenRun], bool]) -> SeenRun:
    for _ in range(600):
        for run in await world.engine.runs(app):
            if good(run):
                return run
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within 60 s: {await world.engine.runs(app)}")


async def test_a_next_control_plane_takes_a_run_over_and_starts_what_was_only_made(world: Machine) -> None:
    want = timed(world, "echo begins; sleep 3; echo ends")
    going, made = run_of(want, "going"), run_of(want, "made")
    await world.engine.begin(want, going)
    # As if the control plane had ended between the two calls.
    await world.engine._deeds.make(
        labels.workload(want, made), 500, RUN, suffix=labels.suffix(made, world.engine.home), retries=0
    )
    before = await until(world, going.app, lambda run: run.id == going.id and run.state is RunState.RUNNING)

    await world.restart()
    await until(world, going.app, lambda run: run.id == made.id and run.state is RunState.STARTING)
    await world.engine.begin(want, going)
    await world.engine.begin(want, made)

    for run in (going, made):
        shown = await until(world, run.app, lambda seen, id=run.id: seen.id == id and seen.state.final)  # type: ignore[misc]
        assert (shown.state, shown.attempts) == (RunState.SUCCEEDED, 1)
        assert await world.engine.last_lines(run.app, run.id) == ["begins", "ends"]
        assert world.lines.of(shown.instance) == ["begins", "ends"]
        if run is going:
            assert (shown.instance, shown.started_at) == (before.instance, before.started_at)
        await world.engine.forget(run.app, run.id)
    assert world.containers() == []


async def test_a_run_is_bounded_like_an_instance_and_finds_the_app_by_its_name(world: Machine) -> None:
    want = timed(world, "true")
    web = replace(want.want, process="web", command=world.web, health=HEALTH, routed=frozenset(), env=())
    for _ in range(300):
        await world.engine.apply(web)
        if any(i.state is InstanceState.READY for i in (await world.engine.observe(web.app)).instances):
            break
        await asyncio.sleep(0.1)
    here = replace(want, want=replace(want.want, command=f"wget -qO- http://{web.app}:8080/ && sleep 3"))
    run = run_of(here)
    await world.engine.begin(here, run)

    shown = await until(world, run.app, lambda seen: seen.state is RunState.RUNNING)
    host = world.inspect(shown.instance)["HostConfig"]
    assert isinstance(host, dict)
    assert (host["Memory"], host["NanoCpus"], host["ReadonlyRootfs"]) == (64 * 1024**2, 500_000_000, True)
    assert host["PortBindings"] in (None, {})
    assert docker("port", shown.instance) == ""
    ended = await until(world, run.app, lambda seen: seen.state.final)

    assert (ended.state, ended.reason) == (RunState.SUCCEEDED, "")
    assert len(await world.engine.last_lines(run.app, run.id)) > 0
