"""Requests come in through a Gateway and through an Ingress that a stranger runs, and no release loses one."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from leeward.model.runtime import InstanceState, Observed
from tests.cluster import gateway
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing
from tests.cluster.world import HEALTH, world

pytestmark = pytest.mark.timeout(900)
RELEASES = 5
# A stranger learns of new instances and of those that leave when it likes: longer than the other tests' one second.
CALM = HEALTH.model_copy(update={"drain": 3})


@pytest.fixture(scope="module")
def port(cluster: Cluster) -> Iterator[int]:
    try:
        with gateway.gateway(cluster) as found:
            yield found
    except Missing as lack:
        pytest.skip(str(lack))


async def test_five_releases_through_the_clusters_own_way_in_lose_no_request(cluster: Cluster, port: int) -> None:
    ways = ({"gateway": f"{gateway.SPACE}/{gateway.GATEWAY}"}, {"gateway_class": gateway.CLASS})

    told = await asyncio.gather(*(released(cluster, port, way) for way in ways))

    assert [each.failed for each in told] == [[], []]
    assert [set(each.answers) for each in told] == [{f"v{number}" for number in range(1, RELEASES + 2)}] * 2


def proven(version: int) -> Callable[[Observed], bool]:
    """The new release serves; the old one may still drain when the next one comes."""

    def good(seen: Observed) -> bool:
        ready = [one for one in seen.instances if one.release == version and one.state is InstanceState.READY]
        serving = {one.release for one in seen.instances if one.state is InstanceState.READY}
        return len(ready) == 2 and serving == {version}

    return good


async def released(cluster: Cluster, port: int, way: dict[str, str]) -> gateway.Asked:
    async with world(cluster, edge_sources=(f"{cluster.layout.host}/32",), **way) as home:
        want = await home.live(home.want(health=CALM))
        async with gateway.asking(port, f"{want.app}.apps.example.com", at_once=2) as told:
            for version in range(2, RELEASES + 2):
                want, _ = await home.drive(home.release(want, version), proven(version), f"release {version}", 90)
            await home.live(want)
    print(f"{way}: {told.requests} requests, {told.answers}")
    return told
