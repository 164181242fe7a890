"""Releases on a real cluster, under load from inside it: nothing is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from leeward.errors import Unavailable
from leeward.model.runtime import InstanceState, Workload
from tests.cluster import load
from tests.cluster.cluster import Cluster
from tests.cluster.world import HEALTH, World, world

pytestmark = pytest.mark.timeout(900)
RELEASES = 20


@pytest.fixture
async def home(cluster: Cluster) -> AsyncIterator[World]:
    async with world(cluster) as made:
        yield made


async def test_twenty_releases_under_load_lose_no_request(cluster: Cluster, home: World) -> None:
    want = await home.live(home.want())

    with load.load(cluster, home.space, home.url(want)) as told:
        for version in range(2, RELEASES + 2):
            want = await home.live(home.release(want, version))

    assert told.failed == 0, told.result
    assert told.requests > 100 * RELEASES


async def test_a_rollback_under_load_loses_no_request(cluster: Cluster, home: World) -> None:
    want = await home.live(home.want())
    with load.load(cluster, home.space, home.url(want)) as told:
        want = await home.live(home.release(want, 2))

        # The first release again, as a new generation.
        back = await home.live(home.release(want, 1, generation=3000))

    assert told.failed == 0, told.result
    seen = await home.engine.observe(back.app)
    assert {one.release for one in seen.instances} == {1}


async def test_a_release_that_never_answers_leaves_the_old_one_serving(cluster: Cluster, home: World) -> None:
    want = await home.live(home.want())
    with load.load(cluster, home.space, home.url(want)) as told:
        bad = home.release(want, 2, command="silent")

        await home.until_reason(bad, "nothing listens")
        seen = await home.engine.observe(want.app)
        serves = [one for one in seen.instances if one.state is InstanceState.READY]
        await home.live(home.release(want, 3))

    assert {one.release for one in serves} == {1}
    assert told.failed == 0, told.result


async def test_an_api_server_that_dies_in_the_middle_of_a_release_costs_no_request(
    cluster: Cluster, home: World
) -> None:
    # The cluster's own controllers take seconds to find their server again, and only then learn of new instances: a
    # drain of one second, as the other tests have it, is shorter than that.
    want = await home.live(home.want(health=HEALTH.model_copy(update={"drain": 10})))
    with load.load(cluster, home.space, home.url(want)) as told:
        for version in (2, 3):
            rolling = asyncio.create_task(forgiving(home, home.release(want, version)))
            await asyncio.sleep(0.5 * version)
            cluster.kill("kube-apiserver")
            want = await rolling

    assert told.failed == 0, told.result


async def test_a_control_plane_that_dies_at_each_step_of_a_release_costs_no_request(
    cluster: Cluster, home: World
) -> None:
    want = await home.live(home.want())
    with load.load(cluster, home.space, home.url(want)) as told:
        for step in range(1, 5):
            want = home.release(want, step + 1)
            # It gets a little further each time before it dies.
            for _ in range(5 * step):
                await home.engine.apply(want)
                await asyncio.sleep(0.1)
            await home.restart()
            want = await home.live(want)

    assert told.failed == 0, told.result


async def test_an_app_that_is_removed_is_gone_with_all_that_was_its(cluster: Cluster, home: World) -> None:
    want = await home.live(home.want())

    await home.engine.remove(want.app)

    await home.drive_away(want)
    found = load.kubectl(
        cluster,
        "get",
        "all,secret,pdb,hpa,endpointslice",
        "-n",
        home.space,
        "-l",
        f"leeward.dev/app={want.app}",
        "-o",
        "name",
    )
    assert found.stdout.split() == []


async def forgiving(home: World, want: Workload) -> Workload:
    """As the control loop: what the cluster does not answer is asked again."""
    while True:
        try:
            return await home.live(want)
        except Unavailable:
            await asyncio.sleep(0.2)
