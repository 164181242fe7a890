"""The loop that begins what is due, over a real store and an engine in memory."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.services_stage import ADMIN, DEPLOYER, NOW, READER, Stage, stage

from leeward.control.cron import Cron
from leeward.errors import Conflict, Forbidden, Invalid, NotFound, RolloutFailed
from leeward.fakes.registry import FakeRegistry
from leeward.fakes.timer import ENDLESS, RunOutcome
from leeward.model.app import AppSpec
from leeward.model.run import Run, RunState, Timed, Trigger, run_id
from leeward.services.views import AppStatus


class Set:
    """One app with a schedule, and a control plane that can be replaced by a next one."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.registry = FakeRegistry()
        self.registry.local.add("registry/shop@sha256:1")
        self.cron = self.again()

    def again(self) -> Cron:
        """A control plane that remembers nothing of the one before."""
        self.cron = Cron(self.stage.stores, self.stage.engine, self.registry, self.stage.clock)
        return self.cron

    async def wish(self, **nightly: Any) -> None:
        """Make a release live with this process."""
        fields = {"schedule": "*/5 * * * *", "command": "work", **nightly}
        spec = AppSpec.model_validate({"processes": {"web": {"command": "serve"}, "nightly": fields}})
        await self.stage.live("shop", spec)
        await self.settle()
        await self.cron.tick()

    async def settle(self) -> None:
        app = await self.stage.stores.apps.get("shop")
        live = await self.stage.stores.releases.get("shop", app.live) if app.live else None
        await self.cron.settle(app, live)

    async def go(self, seconds: float) -> list[Run]:
        """Let the time go on, second by second as far as it matters; all runs, oldest first."""
        self.stage.clock.go(seconds)
        for _ in range(2):
            await self.settle()
            await self.cron.tick()
        return await self.runs()

    async def runs(self) -> list[Run]:
        return sorted(await self.stage.stores.runs.known("shop"), key=lambda run: run.scheduled_at)

    @property
    def begun(self) -> list[str]:
        return self.stage.engine.timer.begun


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Set]:
    async with stage(tmp_path) as made:
        await made.services.apps.create(ADMIN, "shop")
        yield Set(made)


FIRST = run_id("nightly", NOW + timedelta(minutes=5))


async def test_a_run_begins_at_its_time_and_its_end_is_remembered(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = RunOutcome(seconds=10, lines=("one", "two"))
    await on.wish()

    (going,) = await on.go(301)
    assert (going.id, going.state) == (FIRST, RunState.RUNNING)
    (run,) = await on.go(20)

    assert (run.state, run.exit_code, run.tail, run.release) == (RunState.SUCCEEDED, 0, ("one", "two"), 1)
    assert await on.stage.engine.timer.runs("shop") == []
    assert on.begun == [FIRST]


async def test_a_run_that_fails_is_an_event_with_its_reason(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = RunOutcome(code=3, lines=("boom",))
    await on.wish()

    await on.go(301)
    (run,) = await on.go(5)

    assert (run.state, run.reason) == (RunState.FAILED, "exited with code 3: 'boom'")
    event = (await on.stage.stores.events.list("shop", limit=1)).items[0]
    assert (event.kind, event.data["run"]) == ("run.failed", FIRST)
    assert event.text == "nightly of 'shop' failed: exited with code 3: 'boom'"


async def test_a_next_control_plane_takes_a_run_over_and_begins_none_twice(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = RunOutcome(seconds=60)
    await on.wish()
    await on.go(301)

    on.again()
    (going,) = await on.go(1)
    on.again()
    (run,) = await on.go(70)

    assert (going.state, run.state) == (RunState.RUNNING, RunState.SUCCEEDED)
    assert on.begun == [FIRST]


async def test_a_run_that_was_remembered_but_not_begun_is_begun_by_the_next_one(on: Set) -> None:
    await on.wish()
    on.stage.clock.go(301)
    at = NOW + timedelta(minutes=5)
    await on.stage.stores.runs.put(Run(FIRST, "shop", "nightly", 1, Trigger.SCHEDULE, at), 10)

    on.again()
    await on.go(0)

    assert on.begun == [FIRST]


async def test_a_platform_that_was_away_for_long_begins_one_run_and_says_what_it_missed(on: Set) -> None:
    await on.wish()

    on.again()
    runs = await on.go(3600)

    assert [run.id for run in runs] == [run_id("nightly", NOW + timedelta(hours=1))]
    event = next(e for e in (await on.stage.stores.events.list("shop")).items if e.kind == "run.missed")
    assert event.text == "10 runs of nightly of 'shop' missed: too late to make good"


async def test_a_clock_that_was_set_back_repeats_nothing(on: Set) -> None:
    await on.wish()
    await on.go(301)
    await on.go(300)

    await on.go(-400)
    await on.go(200)

    assert on.begun == [FIRST, run_id("nightly", NOW + timedelta(minutes=10))]


async def test_a_run_that_cannot_begin_has_failed_with_the_reason(on: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(want: Timed, run: Run) -> None:
        raise RolloutFailed("no space left on device", hint="make some")

    await on.wish()
    monkeypatch.setattr(on.stage.engine, "begin", refuse)

    (run,) = await on.go(301)

    assert (run.state, run.reason, run.hint) == (
        RunState.FAILED,
        "could not begin: no space left on device",
        "make some",
    )


async def test_a_process_that_is_no_more_has_its_run_ended(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = ENDLESS
    await on.wish()
    await on.go(301)

    await on.stage.live("shop", AppSpec.model_validate({"processes": {"web": {"command": "serve"}}}))
    await on.go(2)
    (run,) = await on.go(2)

    assert (run.state, run.reason) == (RunState.CANCELLED, "its process is no more")


async def test_a_rollback_brings_the_schedule_back(on: Set) -> None:
    await on.wish()
    await on.stage.live("shop", AppSpec.model_validate({"processes": {"web": {"command": "serve"}}}))
    assert await on.go(301) == []

    await on.stage.stores.apps.update("shop", lambda app: replace(app, live=1))
    await on.go(1)
    await on.go(300)
    (run,) = await on.go(1)

    assert (run.release, run.state) == (1, RunState.SUCCEEDED)


async def test_an_app_that_is_deleted_is_gone_when_its_runs_are(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = ENDLESS
    await on.wish()
    await on.go(301)

    assert await on.cron.gone("shop") is False
    assert await on.cron.gone("shop") is False
    assert await on.cron.gone("shop") is True


# --- what may be asked ------------------------------------------------------------------------------------


async def test_a_run_by_hand_begins_at_once(on: Set) -> None:
    await on.wish()

    asked = await on.stage.services.runs.run(DEPLOYER, "shop", "nightly")
    assert on.stage.pokes[-1] == "runs/shop"
    await on.go(1)
    (run,) = await on.go(1)

    assert (run.id, run.trigger, run.actor, run.state) == (asked.id, Trigger.MANUAL, "dan", RunState.SUCCEEDED)
    assert (await on.stage.services.runs.show("shop", run.id)).duration_s == 0.1
    assert "run.asked" in await on.stage.kinds()


async def test_a_run_by_hand_waits_for_nothing_and_is_refused_beside_another(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = ENDLESS
    await on.wish()
    first = await on.stage.services.runs.run(DEPLOYER, "shop", "nightly")
    await on.go(1)

    with pytest.raises(Conflict, match=f"run '{first.id}' of nightly goes on") as caught:
        await on.stage.services.runs.run(DEPLOYER, "shop", "nightly")

    assert f"--cancel {first.id}" in caught.value.hint


async def test_a_run_can_be_cancelled(on: Set) -> None:
    on.stage.engine.timer.outcomes["work"] = ENDLESS
    await on.wish()
    asked = await on.stage.services.runs.run(DEPLOYER, "shop", "nightly")
    await on.go(1)

    await on.stage.services.runs.cancel(DEPLOYER, "shop", asked.id)
    (run,) = await on.go(1)

    assert (run.state, run.reason) == (RunState.CANCELLED, "was cancelled by dan")


async def test_who_may_only_read_runs_and_cancels_nothing(on: Set) -> None:
    await on.wish()

    with pytest.raises(Forbidden):
        await on.stage.services.runs.run(READER, "shop", "nightly")
    with pytest.raises(Forbidden):
        await on.stage.services.runs.cancel(READER, "shop", "nightly-1")


async def test_what_has_no_schedule_cannot_be_run(on: Set) -> None:
    with pytest.raises(Conflict, match="has no release yet"):
        await on.stage.services.runs.run(DEPLOYER, "shop", "nightly")
    await on.wish()

    with pytest.raises(Invalid, match="has no process 'web' with a schedule") as caught:
        await on.stage.services.runs.run(DEPLOYER, "shop", "web")

    assert caught.value.hint == "it has nightly"
    with pytest.raises(NotFound):
        await on.stage.services.runs.list("nobody")
    with pytest.raises(Invalid, match="is not a cursor"):
        await on.stage.services.runs.list("shop", after="x")


async def test_an_app_shows_the_last_and_the_next_run(on: Set) -> None:
    await on.wish(timezone="Europe/Berlin")
    await on.go(301)
    await on.go(1)

    view = next(p for p in (await on.stage.services.apps.show("shop")).processes if p.name == "nightly")

    assert (view.schedule, view.timezone, view.suspended) == ("*/5 * * * *", "Europe/Berlin", False)
    assert view.last_run is not None
    assert view.last_run.state is RunState.SUCCEEDED
    assert view.next_run_at == NOW + timedelta(minutes=10)


async def test_a_process_with_a_schedule_is_scaled_to_one_or_none(on: Set) -> None:
    await on.wish()

    with pytest.raises(Invalid, match="3 instances are not for a process with a schedule"):
        await on.stage.services.apps.scale(DEPLOYER, "shop", {"nightly": 3})
    await on.stage.services.apps.scale(DEPLOYER, "shop", {"nightly": 0})

    app = await on.stage.stores.apps.get("shop")
    assert app.overrides["nightly"].instances is not None


async def test_an_app_of_schedules_alone_is_live(on: Set) -> None:
    nightly = {"command": "work", "schedule": "*/5 * * * *"}
    spec = AppSpec.model_validate({"processes": {"web": {"instances": 0}, "nightly": nightly}})
    await on.stage.stores.apps.update("shop", lambda app: replace(app, spec=spec))
    await on.stage.live("shop", spec)
    await on.go(0)

    (run,) = await on.go(301)

    assert run.id == FIRST
    assert (await on.stage.services.apps.show("shop")).status is AppStatus.LIVE


async def test_an_app_of_which_only_the_clock_is_left_is_stopped(on: Set) -> None:
    await on.wish()
    await on.stage.services.apps.scale(DEPLOYER, "shop", {"web": 0})
    await on.stage.live("shop")

    assert (await on.stage.services.apps.show("shop")).status is AppStatus.STOPPED
