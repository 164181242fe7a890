"""What the control plane leaves alone."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.control_stage import Clock, Stage, stage

from leeward.control.apps import Candidate
from leeward.fakes.builder import FakeBuilder
from leeward.fakes.engine import FakeEngine
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.model.wish import App


class Watched(FakeEngine):
    """Remembers for which apps something was to be removed."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.removals: list[str] = []

    async def remove(self, app: str, keep: frozenset[str] = frozenset()) -> None:
        self.removals.append(app)
        await super().remove(app, keep)


class Slow(FakeEngine):
    """While it is asked which apps run, another app is made and begins to be rolled out."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def apps(self) -> frozenset[str]:
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().apps()


class Named(FakeBuilder):
    """Remembers the names that plans were made for: build caches are kept by them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str | None] = []

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        self.names.append(spec.name)
        return super().plan(tree, spec, env, versions)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_an_app_that_runs_nothing_costs_the_engine_nothing(plane: Stage) -> None:
    plane.engine = engine = Watched()
    plane = plane.again()

    await plane.apps.resync()
    await plane.apps.resync()

    assert engine.removals == []


async def test_a_live_app_that_is_as_wished_costs_no_removal(plane: Stage) -> None:
    plane.engine = engine = Watched()
    plane = plane.again()
    await plane.live()
    engine.removals.clear()

    await plane.apps.resync()

    assert engine.removals == []


async def test_an_app_gets_its_own_build_caches_whatever_its_manifest_calls_it(plane: Stage) -> None:
    plane.builder = builder = Named()
    plane.registry.local = builder.images
    plane = plane.again()

    await plane.finish(await plane.wish(tree={"main.py": "1", "leeward.yaml": "name: victim\n"}))

    assert builder.names
    assert set(builder.names) == {"shop"}


async def test_an_app_that_is_made_while_all_are_looked_at_keeps_its_candidate_and_its_route(plane: Stage) -> None:
    await plane.live()
    release = await plane.apps.release("shop", 1)
    plane.engine = engine = Slow()
    plane = plane.again()

    async def meanwhile() -> None:
        engine.meanwhile = None
        await plane.stores.apps.create(App("young", created_at=Clock().now()))
        plane.apps.propose("young", Candidate(replace(release, app="young"), 7))
        await plane.apps.settle("young")

    engine.meanwhile = meanwhile
    await plane.apps.resync()

    assert plane.apps.candidate("young") is not None
    assert "young" in plane.edge.routes
    assert [instance.generation for instance in (await engine.observe("young")).instances] == [7]


class Choosing(FakeBuilder):
    """Chooses what an app had before, else what is usual today."""

    def __init__(self, usual: str) -> None:
        super().__init__()
        self.usual = usual

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        chosen = {"python": versions.get("python", self.usual)}
        return replace(super().plan(tree, spec, env, versions), versions=chosen)


async def test_a_new_usual_version_changes_no_app_that_was_deployed_before(plane: Stage) -> None:
    for usual in ("3.11", "3.13"):
        plane.builder = builder = Choosing(usual)
        plane.registry.local = builder.images
        plane = plane.again()
        await plane.live(**{"app.py": usual})

    app = await plane.stores.apps.get("shop")
    assert dict(app.versions) == {"python": "3.11"}
