"""What goes wrong on a real cluster is named, and passes without a lost request where there is another instance."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from leeward.engines.kubernetes.rules import Quota
from leeward.model.app import Instances
from leeward.model.runtime import InstanceState
from tests.cluster import load
from tests.cluster.cluster import Cluster
from tests.cluster.world import World, world

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def home(cluster: Cluster) -> AsyncIterator[World]:
    async with world(cluster) as made:
        yield made


async def test_a_pod_that_is_taken_away_under_load_costs_no_request(cluster: Cluster, home: World) -> None:
    want = await home.live(home.want())
    with load.load(cluster, home.space, home.url(want)) as told:
        first = (await home.engine.observe(want.app)).instances[0].id
        load.kubectl(cluster, "delete", "pod", "-n", home.space, first, "--wait=false")

        await home.drive(want, lambda seen: first not in {one.id for one in seen.instances}, "its end")
        await home.live(want)

    assert told.failed == 0, told.result


async def test_a_node_that_is_drained_under_load_costs_no_request(cluster: Cluster, home: World) -> None:
    want = await home.live(home.want(instances=4))
    before = nodes(cluster, home)
    try:
        with load.load(cluster, home.space, home.url(want)) as told:
            drain = asyncio.create_task(
                asyncio.to_thread(
                    load.kubectl,
                    cluster,
                    "drain",
                    "node-2",
                    f"--pod-selector=leeward.dev/app={want.app}",
                    "--delete-emptydir-data",
                    "--timeout=100s",
                )
            )
            await home.drive(
                want, lambda seen: drain.done() and len(seen.instances) == want.instances, "the drain", 120
            )
            await home.live(want)
        drained = drain.result()
    finally:
        load.kubectl(cluster, "uncordon", "node-2")

    assert drained.returncode == 0, drained.stderr
    assert before == {"node-1", "node-2"}
    assert nodes(cluster, home) == {"node-1"}
    assert told.failed == 0, told.result


def nodes(cluster: Cluster, home: World) -> set[str]:
    words = (
        "get",
        "pods",
        "-n",
        home.space,
        "-l",
        "leeward.dev/role=instance",
        "-o",
        "jsonpath={.items[*].spec.nodeName}",
    )
    return set(load.kubectl(cluster, *words).stdout.split())


async def test_more_memory_than_the_size_has_is_named(home: World) -> None:
    one = await home.until_reason(home.want(command="eat", instances=1), "memory")

    assert "64 MiB" in one.reason
    assert one.hint


async def test_a_crash_loop_is_named_with_its_code_and_last_line(home: World) -> None:
    one = await home.until_reason(home.want(command="crash", instances=1), "3")

    assert "boom" in one.reason or "boom" in one.hint, one


async def test_a_size_that_no_node_has_is_named_with_what_the_largest_has(cluster: Cluster) -> None:
    async with world(cluster, cpu_request_percent=100) as home:
        # More than any machine on which these tests run has: the project's limits let it through.
        one = await home.until_reason(home.want(millicpu=4000, instances=1), "largest node")

        assert one.reason.startswith("needs 4 CPU, the largest node has ")


async def test_an_image_that_the_registry_does_not_have_is_named(cluster: Cluster, home: World) -> None:
    image = f"{cluster.layout.registry}/no/such@sha256:{'0' * 64}"

    one = await home.until_reason(home.want(image=image, instances=1), "cannot be pulled")

    assert "does not have it" in one.reason


async def test_a_project_over_its_quota_is_told_which_and_keeps_what_runs(cluster: Cluster) -> None:
    async with world(cluster, quota=Quota(instances=2)) as home:
        want = await home.live(home.want(instances=2))

        one = await home.until_reason(home.want(instances=1), "over its quota")

        assert "pods" in one.reason
        seen = await home.engine.observe(want.app)
        assert [i.state for i in seen.instances] == [InstanceState.READY] * 2


async def test_one_project_does_not_reach_another(cluster: Cluster, home: World) -> None:
    async with world(cluster) as other:
        mine, theirs = await home.live(home.want()), await other.live(other.want())
        pods = [one.id for one in (await home.engine.observe(mine.app)).instances]

        def asked(url: str) -> int:
            words = ("exec", "-n", home.space, pods[0], "--", "/app", "get", url, "3")
            return load.kubectl(cluster, *words).returncode

        inside = f"http://{mine.app}:8080/"
        outside = f"http://{theirs.app}.{other.space}:8080/"
        api_server = f"{cluster.layout.server}/readyz"
        for url, code in ((inside, 0), (outside, 7), (api_server, 7)):
            await asyncio.to_thread(
                cluster.until, lambda url=url, code=code: asked(url) == code, f"{code} of {url}", 20
            )  # type: ignore[misc]


async def test_the_cluster_scales_an_app_up_under_load_and_down_again(cluster: Cluster) -> None:
    async with world(cluster, cluster_scales=True, cpu_request_percent=100) as home:
        bounds = Instances(min=1, max=3, cpu_percent=50)
        want = await home.live(home.want(instances=1, millicpu=100, bounds=bounds))
        with load.load(cluster, home.space, f"{home.url(want)}burn"):
            await home.drive(want, lambda seen: len(seen.instances) == 3, "3 instances", 150)

        # The engine asks for five quiet minutes; nobody waits for them here.
        scaler = load.kubectl(cluster, "get", "hpa", "-n", home.space, "-o", "name").stdout.strip()
        quick = '{"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}'
        load.kubectl(cluster, "patch", "-n", home.space, scaler, "--type=merge", "-p", quick)
        # Watched, not applied: that would put the five minutes back.
        for _ in range(900):
            if len((await home.engine.observe(want.app)).instances) == 1:
                break
            await asyncio.sleep(0.2)

        assert len((await home.engine.observe(want.app)).instances) == 1
