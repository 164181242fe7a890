"""What a store of runs has to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from leeward.errors import NotFound
from leeward.model.run import Mark, Run, RunState, Trigger, run_id
from leeward.model.wish import App
from leeward.ports import Stores

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def run(minute: int = 0, app: str = "shop", process: str = "nightly", **changes: object) -> Run:
    at = NOON + timedelta(minutes=minute)
    return replace(Run(run_id(process, at), app, process, 3, Trigger.SCHEDULE, at), **changes)  # type: ignore[arg-type]


def ended(minute: int = 0, process: str = "nightly") -> Run:
    made = run(minute, process=process)
    return replace(made, state=RunState.SUCCEEDED, ended_at=made.scheduled_at)


class RunStoreContract:
    async def test_a_run_comes_back_as_it_was_put(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        whole = run(
            state=RunState.FAILED,
            instance="lee-shop-nightly",
            started_at=NOON,
            ended_at=NOON + timedelta(seconds=2),
            attempts=2,
            exit_code=3,
            reason="exited with code 3",
            hint="see the log",
            tail=("one", "zwei – ünïcode\x00"),
            actor="ann",
        )

        await stores.runs.put(run(), 10)
        await stores.runs.put(whole, 10)

        assert await stores.runs.get("shop", whole.id) == replace(whole, tail=("one", "zwei – ünïcode"))
        assert [each.id for each in await stores.runs.known("shop")] == [whole.id]

    async def test_a_run_that_ended_stays_as_it_is(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.runs.put(ended(), 10)

        await stores.runs.put(run(state=RunState.RUNNING), 10)

        assert (await stores.runs.get("shop", run().id)).state is RunState.SUCCEEDED

    async def test_runs_are_listed_newest_first_page_by_page(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        for minute in range(5):
            await stores.runs.put(run(minute), 10)
        await stores.runs.put(run(9, process="weekly"), 10)

        found, cursor = [], 0.0
        while True:
            page = await stores.runs.list("shop", "nightly", cursor, 2)
            found += [each.scheduled_at.minute for each in page.items]
            if not page.next:
                break
            cursor = float(page.next)

        assert found == [4, 3, 2, 1, 0]
        assert [each.process for each in (await stores.runs.list("shop", limit=1)).items] == ["weekly"]

    async def test_of_a_process_the_last_ones_are_kept_and_those_that_go_on(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.runs.put(run(0), 10)
        await stores.runs.put(ended(1, process="weekly"), 10)

        for minute in range(2, 8):
            await stores.runs.put(ended(minute), 3)

        kept = sorted(each.scheduled_at.minute for each in await stores.runs.known("shop"))
        assert kept == [0, 1, 5, 6, 7]

    async def test_the_apps_of_runs_that_go_on_are_known(self, stores: Stores) -> None:
        for name in ("shop", "cafe", "idle"):
            await stores.apps.create(App(name))
        await stores.runs.put(run(), 10)
        await stores.runs.put(run(app="cafe", state=RunState.RUNNING), 10)
        await stores.runs.put(replace(ended(), app="idle"), 10)

        assert await stores.runs.going_on() == {"shop", "cafe"}

    async def test_the_first_reason_to_end_a_run_stays(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.runs.put(run(), 10)

        await stores.runs.cancel("shop", run().id, "was cancelled by ann")
        second = await stores.runs.cancel("shop", run().id, "was cancelled by bob")

        assert second.cancel == "was cancelled by ann"
        await stores.runs.put(ended(1), 10)
        assert (await stores.runs.cancel("shop", ended(1).id, "too late")).cancel == ""

    async def test_who_asked_for_the_end_of_a_run_is_not_forgotten_by_a_later_look(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.runs.put(run(), 10)
        await stores.runs.cancel("shop", run().id, "was cancelled by ann")

        await stores.runs.put(run(state=RunState.RUNNING), 10)

        seen = await stores.runs.get("shop", run().id)
        assert (seen.state, seen.cancel) == (RunState.RUNNING, "was cancelled by ann")

    async def test_a_run_that_is_not_there_is_named(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))

        with pytest.raises(NotFound, match="'shop' has no run 'nightly-1'"):
            await stores.runs.get("shop", "nightly-1")
        with pytest.raises(NotFound, match="no app 'cafe'"):
            await stores.runs.put(run(app="cafe"), 10)
        with pytest.raises(NotFound):
            await stores.runs.cancel("shop", "nightly-1", "why")

    async def test_a_mark_is_put_in_the_place_of_the_one_before(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.runs.put_mark(Mark("shop", "nightly", "@daily UTC", NOON))
        mark = Mark("shop", "nightly", "@hourly UTC", NOON + timedelta(hours=1))

        await stores.runs.put_mark(mark)

        assert await stores.runs.marks("shop") == [mark]
        await stores.runs.drop_mark(mark)
        assert await stores.runs.marks("shop") == []
        assert await stores.runs.marks("cafe") == []

    async def test_an_app_takes_its_runs_and_marks_with_it(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.runs.put(run(), 10)
        await stores.runs.put_mark(Mark("shop", "nightly", "@daily UTC", NOON))

        await stores.apps.delete("shop")

        assert await stores.runs.going_on() == frozenset()
        assert await stores.runs.known("shop") == []
        assert await stores.runs.marks("shop") == []
