"""A node that dies takes no app with it."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from leeward.model.runtime import InstanceState, Observed
from tests.cluster import load
from tests.cluster.cluster import Cluster
from tests.cluster.world import World, world

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def home(cluster: Cluster) -> AsyncIterator[World]:
    async with world(cluster) as made:
        yield made


async def test_the_instances_of_a_lost_node_come_up_elsewhere_and_the_next_release_needs_no_node_back(
    cluster: Cluster, home: World
) -> None:
    if os.environ.get("LEEWARD_CLUSTER") != "must":
        pytest.skip("a cluster takes a minute to give up a node: `make cluster-test` waits for it")
    want = await home.live(home.want(instances=4))
    lost = {name for name, node in placed(cluster, home).items() if node == "node-2"}
    assert lost
    with cluster.without("kubelet-2"):
        said: set[str] = set()

        def moved(seen: Observed) -> bool:
            said.update(one.reason for one in seen.instances if one.id in lost)
            ready = [one for one in seen.instances if one.state is InstanceState.READY and one.id not in lost]
            return len(ready) == want.instances

        want, _ = await home.drive(want, moved, "four instances on the node that is left", 120)
        assert "its node 'node-2' does not answer" in said

        want, _ = await home.drive(
            home.release(want, 2),
            lambda seen: sum(one.release == 2 and one.state is InstanceState.READY for one in seen.instances) == 4,
            "a release on the node that is left",
            60,
        )
        # By its address: the cluster's only name server may have been on the lost node.
        words = ("get", "service", "-n", home.space, want.app, "-o", "jsonpath={.spec.clusterIP}")
        url = f"http://{load.kubectl(cluster, *words).stdout}:{want.port}/"

        def answers() -> bool:
            return load.ends(cluster, home.space, "ask", "get", url, "5") == 0

        # The cluster opens its walls for a new pod a moment after it runs.
        await asyncio.to_thread(cluster.until, answers, "an answer of the app", 30)

    await home.live(want)
    await asyncio.to_thread(cluster.until, lambda: cluster.ready_nodes(cluster.api) == 2, "both nodes", 60)


def placed(cluster: Cluster, home: World) -> dict[str, str]:
    """Each instance's node."""
    line = 'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\\n"}{end}'
    words = ("get", "pods", "-n", home.space, "-l", "leeward.dev/role=instance", "-o", line)
    return dict(each.split() for each in load.kubectl(cluster, *words).stdout.splitlines())
