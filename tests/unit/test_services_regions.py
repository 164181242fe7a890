"""Regions are added once they are usable, and forgotten once nothing runs there."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.services_stage import ADMIN, DEPLOYER, GIT, Stage, stage

from leeward.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from leeward.model.app import AppSpec, ProcessSpec
from leeward.model.region import LOCAL, EngineKind, Examined, Region
from leeward.model.secret import Secret

EAST = Region("east", EngineKind.KUBERNETES, Secret("apiVersion: v1"), "east-admin", "10.0.0.1:5000")
BAD = Examined("connection", False, "'https://10.0.0.9:6443' does not answer", "look at the address")
EXTRA = Examined("gateway", False, "no Gateway API", "install it", needed=False)


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_a_cluster_that_is_usable_becomes_a_region(st: Stage) -> None:
    st.found.append(EXTRA)

    await st.services.regions.add(ADMIN, EAST)

    local, east = await st.services.regions.list()
    assert (local.name, local.engine) == (LOCAL, "local")
    assert (east.name, east.engine, east.context, east.registry) == ("east", "kubernetes", "east-admin", EAST.registry)
    assert await st.services.regions.examine("east") == (EXTRA,)
    assert [event.text for event in (await st.stores.events.list()).items][:1] == ["region 'east' added"]


async def test_a_cluster_that_is_wrong_is_refused_with_everything_that_is(st: Stage) -> None:
    st.found += [BAD, EXTRA]

    with pytest.raises(Invalid) as caught:
        await st.services.regions.add(ADMIN, EAST)

    assert [str(problem) for problem in caught.value.problems] == [f"connection: {BAD.text}"]
    assert await st.stores.regions.list() == []


@pytest.mark.parametrize(
    ("region", "wrong"),
    [
        (replace(EAST, name="local"), "'local' is this machine"),
        (replace(EAST, name="Far East"), "'Far East' is not a name"),
        (replace(EAST, credentials=None), "credentials: must be set"),
        (replace(EAST, engine=EngineKind.LOCAL), "engine: 'local' is what this machine has"),
    ],
)
async def test_a_region_that_cannot_be_one_is_refused(st: Stage, region: Region, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        await st.services.regions.add(ADMIN, region)


async def test_only_an_admin_adds_and_removes_regions(st: Stage) -> None:
    with pytest.raises(Forbidden):
        await st.services.regions.add(DEPLOYER, EAST)
    with pytest.raises(Forbidden):
        await st.services.regions.remove(DEPLOYER, "east")


async def test_a_region_where_an_app_runs_stays(st: Stage) -> None:
    await st.services.regions.add(ADMIN, EAST)
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    await st.live("shop", AppSpec(region="east", processes={"web": ProcessSpec()}))

    with pytest.raises(Conflict, match="region 'east' runs shop"):
        await st.services.regions.remove(ADMIN, "east")

    assert await st.services.regions.render("shop") == [{"kind": "Deployment", "metadata": {"name": "shop-web"}}]


async def test_a_region_where_nothing_runs_is_forgotten(st: Stage) -> None:
    await st.services.regions.add(ADMIN, EAST)

    await st.services.regions.remove(ADMIN, "east")

    assert [region.name for region in await st.services.regions.list()] == [LOCAL]
    with pytest.raises(NotFound, match="there is no region 'east', but local"):
        await st.services.regions.remove(ADMIN, "east")
    with pytest.raises(Conflict, match="'local' is this machine"):
        await st.services.regions.remove(ADMIN, LOCAL)


async def test_what_builds_in_a_region_goes_with_it(st: Stage) -> None:
    await st.services.regions.add(ADMIN, EAST)

    await st.services.regions.remove(ADMIN, "east")

    assert st.left == ["pool"]


async def test_a_cluster_that_is_gone_does_not_keep_its_region(st: Stage) -> None:
    await st.services.regions.add(ADMIN, EAST)
    st.away.append(Unavailable("the cluster does not answer"))

    await st.services.regions.remove(ADMIN, "east")

    assert [region.name for region in await st.services.regions.list()] == [LOCAL]
    (event, *_) = (await st.stores.events.list()).items
    assert event.text.endswith("what builds there was left where it is: the cluster does not answer")


async def test_an_app_without_a_release_or_a_cluster_has_no_objects_to_show(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    with pytest.raises(Conflict, match="has no release yet"):
        await st.services.regions.render("shop")
    await st.live("shop")
    with pytest.raises(Invalid, match="runs containers"):
        await st.services.regions.render("shop")
