"""What a cluster has beside is found, and what it lacks is told with the way to get it."""

from collections.abc import AsyncIterator

import pytest

from tests.cluster import crds
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing
from tests.cluster.world import World, world

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
async def home(cluster: Cluster) -> AsyncIterator[World]:
    async with world(cluster) as made:
        yield made


async def test_parts_are_found_by_their_real_kinds_and_missed_without_them(cluster: Cluster, home: World) -> None:
    try:
        for part in crds.PARTS:
            crds.definition(part)
    except Missing as lack:
        pytest.skip(str(lack))

    async def found() -> dict[str, tuple[bool, str, bool]]:
        every = {each.name: each for each in await home.engine.examine()}
        return {part: (every[part].ok, every[part].text[:9], bool(every[part].hint)) for part in crds.PARTS}

    assert await found() == dict.fromkeys(crds.PARTS, (False, "not found", True))
    with crds.installed(cluster, list(crds.PARTS)):
        here = await found()
    assert all(ok and not hint for ok, _, hint in here.values()), here


async def test_what_this_cluster_has_is_found(home: World) -> None:
    found = {each.name: each for each in await home.engine.examine()}

    assert found["gateway-api"].ok
    assert found["metrics-server"].ok
