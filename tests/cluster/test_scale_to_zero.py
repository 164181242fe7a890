"""A process that nobody asks goes down to nothing on a real cluster, and the first request wakes it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from leeward.engines.kubernetes.names import group_name
from leeward.errors import Unavailable
from leeward.model.app import Instances
from leeward.model.runtime import Observed
from tests.cluster import keda, load
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, run
from tests.cluster.world import World, world

pytestmark = pytest.mark.timeout(600)
INTERCEPTOR = "keda-add-ons-http-interceptor-proxy"


@pytest.fixture(scope="module")
def interceptor(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with KEDA and its HTTP add-on."""
    try:
        keda.up(cluster)
        yield cluster
    except Missing as lack:
        pytest.skip(str(lack))
    finally:
        keda.down(cluster)


@pytest.fixture
async def home(interceptor: Cluster) -> AsyncIterator[World]:
    async with world(interceptor, gateway="default/public") as made:
        await looked(made)
        yield made


async def looked(made: World) -> None:
    """Until it knows the cluster: a server refuses to list a new kind for a moment, and a control loop tries again."""
    async with asyncio.timeout(60):
        while True:
            try:
                await made.engine.observe("nobody")
                return
            except Unavailable:
                await asyncio.sleep(0.2)


async def test_an_app_goes_to_zero_and_the_first_request_wakes_it(interceptor: Cluster, home: World) -> None:
    bounds = Instances(min=0, max=2, sleep_after_s=8)
    want = home.want(instances=1, bounds=bounds)
    want = await home.live(want)

    # What is wished for stays one instance: that none runs is the cluster's choice, and the engine leaves it.
    await home.drive(want, nothing, "its sleep", 120)
    replicas = ("get", "deployment", "-n", home.space, group_name(want.app, "web", want.generation))
    assert load.kubectl(interceptor, *replicas, "-o", "jsonpath={.spec.replicas}").stdout == "0"
    for _ in range(10):
        await home.engine.apply(want)
    assert nothing(await home.engine.observe(want.app))

    before = time.monotonic()
    answer = await asyncio.to_thread(visit, interceptor, f"{want.app}.{home.rules.domain}")
    took = time.monotonic() - before

    assert answer.endswith(" 200"), answer
    assert len((await home.engine.observe(want.app)).instances) == 1
    print(f"awake after {took:.1f} s")


def visit(cluster: Cluster, host: str) -> str:
    """What a visitor gets whom the cluster's gateway sends to the interceptor: the body and the status."""
    service = ("get", "service", "-n", keda.SPACE, INTERCEPTOR, "-o", "jsonpath={.spec.clusterIP}")
    address = load.kubectl(cluster, *service).stdout
    words = ("curl", "-s", "--max-time", "60", "-H", f"Host: {host}", "-w", " %{http_code}", f"http://{address}:8080/")
    return run(*cluster.enter(cluster.layout.first.net), *words, timeout_s=70).stdout


def nothing(seen: Observed) -> bool:
    return not seen.instances


async def test_the_cluster_adds_instances_for_want_of_memory(cluster: Cluster) -> None:
    async with world(cluster, cluster_scales=True) as home:
        # The program alone takes about a sixth of this.
        bounds = Instances(min=1, max=2, cpu_percent=100, memory_percent=10)
        want = await home.live(home.want(instances=1, memory_mib=14, bounds=bounds))

        await home.drive(want, lambda seen: len(seen.instances) == 2, "a second instance", 120)
