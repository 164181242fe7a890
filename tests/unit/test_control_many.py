"""What many apps cost the control plane when nothing changes: counted in queries, not in seconds."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.control_stage import Clock, Stage, stage

from leeward.control import apps as control_apps
from leeward.control.samples import Samples
from leeward.control.scale import Autoscaler
from leeward.model.app import AppSpec, Instances, ProcessSpec
from leeward.model.release import Release
from leeward.model.wish import App
from leeward.ports import Stores

MANY = 12


class Counting:
    """A store whose calls are counted by name."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if callable(found):
            self.calls.append(name)
        return found


@pytest.fixture
async def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(control_apps, "QUIET_AT_A_TIME", 3)
    async with stage(tmp_path) as made:
        await made.live()
        yield made


async def many(plane: Stage) -> None:
    """Apps that run one instance each, as they are wished for."""
    first = await plane.apps.release("shop", 1)
    web = ProcessSpec(instances=Instances(min=1, max=2))
    for number in range(MANY):
        name = f"app{number:02}"
        await plane.stores.apps.create(App(name, created_at=Clock().now()))
        spec = AppSpec(processes={"web": web})
        made: Release = await plane.stores.releases.add(
            replace(first, app=name, number=0, spec=spec, deploy=f"d-{name}")
        )
        await plane.stores.apps.update(name, lambda old: replace(old, live=1, generation=1))
        assert made.number == 1


def counted(plane: Stage) -> tuple[Stage, Counting, Counting]:
    """A control plane that knows nothing yet, and the calls of its stores."""
    apps, releases = Counting(plane.stores.apps), Counting(plane.stores.releases)
    stores: Stores = replace(plane.stores, apps=apps, releases=releases)
    return replace(plane, stores=stores).again(), apps, releases


async def quiet(plane: Stage) -> None:
    """Until all that runs is seen as it is wished for."""
    for _ in range(4):
        await plane.apps.resync()
        await plane.apps.tick()


async def test_a_resync_asks_for_no_app_but_the_few_whose_turn_it_is_when_nothing_changed(plane: Stage) -> None:
    await many(plane)
    plane, apps, releases = counted(plane)
    await quiet(plane)
    apps.calls.clear()
    releases.calls.clear()

    await plane.apps.resync()

    assert apps.calls.count("list") == 1
    assert apps.calls.count("get") == 3
    assert releases.calls == []


async def test_every_quiet_app_is_looked_at_again_in_its_turn(plane: Stage) -> None:
    await many(plane)
    plane, _, _ = counted(plane)
    await quiet(plane)
    plane.engine.applied.clear()

    for _ in range(MANY // 3 + 1):
        await plane.apps.resync()

    assert {want.app for want, _ in plane.engine.applied} == {"shop", *(f"app{number:02}" for number in range(MANY))}


async def test_a_wish_of_which_nobody_told_is_found_by_the_next_resync(plane: Stage) -> None:
    await many(plane)
    plane, _, _ = counted(plane)
    await quiet(plane)

    await plane.stores.apps.update("app10", lambda old: replace(old, generation=2))
    plane.engine.applied.clear()
    await plane.apps.resync()

    assert ("app10", 2) in {(want.app, want.generation) for want, _ in plane.engine.applied}


async def test_an_app_of_which_an_instance_is_not_ready_is_looked_at_in_every_resync(plane: Stage) -> None:
    await many(plane)
    plane, _, _ = counted(plane)
    await quiet(plane)
    plane.engine.fall_ill((await plane.engine.observe("app11")).instances[0].id)
    plane.apps.seen("app11")
    await plane.apps.tick()
    plane.engine.applied.clear()

    await plane.apps.resync()
    await plane.apps.resync()

    assert [want.app for want, _ in plane.engine.applied].count("app11") >= 2


async def test_the_autoscaler_asks_the_database_for_no_app(plane: Stage) -> None:
    await many(plane)
    plane, apps, releases = counted(plane)
    await quiet(plane)
    samples = Samples(plane.stores, plane.engine, plane.edge)
    samples.cpu_percent = {(f"app{number:02}", "web"): {"one": 50.0} for number in range(MANY)}
    apps.calls.clear()
    releases.calls.clear()

    await Autoscaler(plane.stores, plane.apps, samples).tick()

    assert apps.calls == releases.calls == []


async def test_of_releases_only_those_that_are_needed_stay_in_memory(plane: Stage) -> None:
    await plane.live(**{"main.py": "2"})
    await plane.live(**{"main.py": "3"})

    await plane.apps.settle("shop")

    assert list(plane.apps._releases["shop"]) == [3]
