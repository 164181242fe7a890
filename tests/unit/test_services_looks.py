"""What is looked at: logs, numbers, events, the platform."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.services_stage import ADMIN, DEPLOYER, GIT, NOW, Stage, stage

from leeward.errors import Invalid, NotFound
from leeward.model.app import ProcessSpec
from leeward.model.runtime import InstanceState, LogLine, Observed
from leeward.plan.workload import workload
from leeward.services import Seen
from leeward.services.watching import merged


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        await made.services.deploys.deploy(DEPLOYER, "shop", GIT)
        yield made


def line(at: float, text: str, process: str = "web") -> LogLine:
    return LogLine(at, "i1", "stdout", text, process)


async def test_the_last_lines_are_found_by_process_and_text(st: Stage) -> None:
    await st.stores.logs.append("shop", [line(1, "one"), line(2, "two", "worker"), line(3, "three")])

    assert [found.text for found in await st.services.logs.tail("shop", 2)] == ["two", "three"]
    assert [found.text for found in await st.services.logs.tail("shop", process="worker")] == ["two"]
    assert [found.text for found in await st.services.logs.tail("shop", search="THR")] == ["three"]
    with pytest.raises(NotFound):
        await st.services.logs.tail("nope")


async def test_following_begins_with_what_was_before_and_gives_no_line_twice(st: Stage) -> None:
    await st.stores.logs.append("shop", [line(1, "old"), line(2, "older")])
    stream = st.services.logs.follow("shop", recent=1)
    assert (await anext(stream)).text == "older"

    await st.stores.logs.append("shop", [line(2, "same time"), line(3, "new")])

    assert [(await asyncio.wait_for(anext(stream), 1)).text for _ in range(2)] == ["same time", "new"]
    await stream.aclose()  # type: ignore[attr-defined]


async def test_series_are_named_without_their_app(st: Stage) -> None:
    at = NOW.timestamp() - 60
    await st.stores.samples.record(at, {"shop/web/i1/cpu": 5.0, "shopping/web/i1/cpu": 7.0})

    found = await st.services.metrics.series("shop", 10)

    assert list(found) == ["web/i1/cpu"] and [value for _, value in found["web/i1/cpu"]] == [5.0]
    for minutes in (0, -1, 10**9):
        with pytest.raises(Invalid):
            await st.services.metrics.series("shop", minutes)


async def test_usage_is_of_one_app(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "other")
    for name in ("shop", "other"):
        await st.live(name)
        app, release = await st.stores.apps.get(name), await st.stores.releases.get(name, 1)
        await st.engine.apply(workload(app, release, 1, "web", ProcessSpec()))

    assert [(one.app, one.process) for one in await st.services.metrics.usage("shop")] == [("shop", "web")]


async def test_events_are_paged_newest_first(st: Stage) -> None:
    page = await st.services.events.list(limit=1)

    assert [event.kind for event in page.items] == ["deploy.queued"]
    assert (await st.services.events.list(before=int(page.next))).items[0].kind == "app.created"


async def test_the_platform_answers_even_when_a_part_does_not(st: Stage) -> None:
    st.engine.away = True
    st.see("shop", InstanceState.READY, InstanceState.READY)

    status = await st.services.platform.status()

    assert (status.apps, status.instances, status.deploys_active) == (1, 2, 1)
    assert {part.name: part.detail for part in status.parts if not part.ok} == {"engine": "dockerd does not answer"}
    assert status.disk_total > status.disk_free > 0
    assert [size.name for size in st.services.platform.sizes()][:2] == ["nano", "micro"]


async def test_what_was_seen_is_forgotten_with_its_app(st: Stage) -> None:
    seen = Seen()
    seen.put("shop", Observed("shop"))
    assert seen.all() == {} and seen.get("shop") == Observed("shop")

    st.see("shop", InstanceState.READY)
    assert list(st.services.seen.all()) == ["shop"]
    st.services.seen.put("shop", Observed("shop"))
    assert st.services.seen.all() == {}


async def test_merged_streams_end_with_the_first_and_close_the_others() -> None:
    closed = []

    async def short() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0.01)
        yield 2

    async def endless() -> AsyncIterator[int]:
        try:
            yield 10
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    assert sorted([item async for item in merged(short(), endless())]) == [1, 2, 10]
    assert closed == [True]


async def test_a_deploy_of_a_deleted_app_ends_its_watch(st: Stage) -> None:
    deploy = (await st.services.deploys.list("shop")).items[0]
    watch = st.services.deploys.watch(deploy.id)
    await anext(watch)

    await st.services.apps.delete(ADMIN, "shop")

    assert [item.status.value async for item in watch] == ["cancelled"]
