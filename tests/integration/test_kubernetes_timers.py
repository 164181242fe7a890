"""The clock of a real cluster begins runs, and what comes of them is seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.harbour import Harbour, harbour, needs_cluster, tiny_in_cluster
from tests.contracts.timer import run_of, timed

from leeward.engines.kubernetes.kinds import CRON_JOB, JOB, SECRET, Kind
from leeward.model.app import Overlap
from leeward.model.run import RunState, SeenRun, Trigger, run_id
from leeward.model.secret import Secret, Variable

MINUTE_S = 75


@pytest.fixture
async def world() -> AsyncIterator[Harbour]:
    async with harbour(needs_cluster(), tiny_in_cluster()) as made:
        yield made


async def until(look: Callable[[], Awaitable[Any]], seconds: float, what: str) -> Any:
    for _ in range(int(seconds * 5)):
        if found := await look():
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


async def names(world: Harbour, kind: Kind, app: str) -> list[str]:
    match = {"labelSelector": f"leeward.dev/app={app}"}
    found = await world.engine.cluster.ask("GET", kind.path(f"leeward-{world.project}"), what="all", params=match)
    return [item["metadata"]["name"] for item in found["items"] if "deletionTimestamp" not in item["metadata"]]


async def test_the_clusters_clock_begins_what_is_due_and_what_is_changed_is_put_right(world: Harbour) -> None:
    often = timed(world, "echo $GREETING; sleep 3", schedule="* * * * *", overlap=Overlap.ALLOW)
    often = replace(often, want=replace(often.want, env=(Variable("GREETING", Secret("hello"), True),)))
    app, name = often.want.app, f"{often.want.app}-nightly"
    still = replace(often, want=replace(often.want, process="still"), suspended=True)
    engine = world.engine

    assert await engine.schedule(app, (often, still)) is True
    found = await engine.cluster.get(CRON_JOB, f"leeward-{world.project}", name)
    assert found is not None
    assert (found["spec"]["schedule"], found["spec"]["concurrencyPolicy"]) == ("* * * * *", "Allow")

    # Somebody suspends it behind our back.
    space = f"leeward-{world.project}"
    await engine.cluster.patch(CRON_JOB, space, name, {"spec": {"suspend": True}})

    async def put_right() -> bool:
        await engine.schedule(app, (often, still))
        shown = await engine.cluster.get(CRON_JOB, space, name)
        return shown is not None and shown["spec"]["suspend"] is False

    await until(put_right, 20, "an edit is put right")

    greedy = replace(
        often, want=replace(often.want, process="greedy", command="x=$(yes | head -c 99999999)"), schedule="0 0 29 2 *"
    )
    await engine.schedule(app, (often, still, greedy))
    await engine.begin(greedy, run_of(greedy))

    async def by_the_clock() -> SeenRun | None:
        runs = [run for run in await world.engine.runs(app) if run.trigger is Trigger.SCHEDULE]
        return next((run for run in runs if run.state.final), None)

    run = await until(by_the_clock, MINUTE_S, "the clock begins a run")
    assert (run.state, run.process, run.release) == (RunState.SUCCEEDED, "nightly", 3)
    assert run.id == run_id("nightly", run.scheduled_at)
    assert run.scheduled_at.second == 0
    assert await engine.last_lines(app, run.id) == ["hello"]
    assert world.lines.of(run.instance) == ["hello"]

    by_hand = next(run for run in await engine.runs(app) if run.process == "greedy")
    assert (by_hand.state, by_hand.trigger) == (RunState.FAILED, Trigger.MANUAL)
    assert by_hand.reason == "was killed for using more than 64 MiB of memory"
    assert not [run for run in await engine.runs(app) if run.process == "still"]

    # The next control plane knows them all, and the next release has its own variables.
    await world.restart()
    assert run.id in {each.id for each in await world.engine.runs(app)}
    later = replace(often, want=replace(often.want, generation=4000, release=4), suspended=True)
    await world.engine.schedule(app, (later,))

    async def only_the_new() -> bool:
        await world.engine.schedule(app, (later,))
        return await names(world, SECRET, app) == [f"{name}-g4000-env"] and await names(world, CRON_JOB, app) == [name]

    await until(only_the_new, 30, "what older releases left goes")

    await world.engine.schedule(app, ())

    async def nothing() -> bool:
        return not [one for kind in (CRON_JOB, JOB, SECRET) for one in await names(world, kind, app)]

    await until(nothing, 30, "nothing is left")
