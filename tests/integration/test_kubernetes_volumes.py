"""Volumes on a real cluster: with the least rights, without a class, and with one that makes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.cluster.disks import disks, unmade
from tests.contracts.engine import EngineContract, serving
from tests.contracts.harbour import Harbour, harbour, needs_cluster, tiny_in_cluster
from tests.integration.test_kubernetes_engine import account

from leeward.engines.kubernetes.capabilities import least_role
from leeward.errors import RolloutFailed
from leeward.model.app import Instances
from leeward.model.runtime import Workload
from leeward.model.volume import Mount

DATA = Mount("data", "/data", 64)
_WANTS = EngineContract()


@pytest.fixture
def fast() -> Iterator[str]:
    needs_cluster()
    with disks() as name:
        yield name


@asynccontextmanager
async def weak(storage_class: str) -> AsyncIterator[Harbour]:
    """A platform whose account has the documented role, and no other right."""
    async with (
        harbour(needs_cluster(), tiny_in_cluster()) as strong,
        account(strong, least_role()) as least,
        harbour(least, strong.image, storage_class=storage_class) as made,
    ):
        yield made


def wanted(world: Harbour, **more: object) -> Workload:
    return _WANTS.want(world, volumes=(DATA,), **more)


async def test_the_least_role_is_enough_to_make_show_and_delete_a_volume(fast: str) -> None:
    async with weak(fast) as world:
        want = wanted(world)
        await _WANTS.ready(world, want)
        (volume,) = await world.engine.volumes(want.app)
        found = {each.name: each for each in await world.engine.examine()}
        await world.engine.remove(want.app)
        await _WANTS.until(world, wanted(world, app=want.app, instances=0), lambda seen: not seen.instances)
        await world.engine.delete_volume(volume)
        async with asyncio.timeout(60):
            while await world.engine.volumes(want.app):
                await world.pass_time(0.2)

    assert (volume.title, volume.problem, volume.enforced) == ("web/data", "", True)
    assert found["volumes"].ok
    assert f"of storage class '{fast}', for one node at a time" in found["volumes"].text


async def test_without_a_class_and_for_several_instances_it_is_refused_before_anything_is_made() -> None:
    async with harbour(needs_cluster(), tiny_in_cluster(), storage_class="nothing") as world:
        want = wanted(world, instances=2, bounds=Instances(min=2, max=2))

        problems = [problem.message for problem in await world.engine.unfit([want])]
        with pytest.raises(RolloutFailed, match="has no storage class 'nothing'"):
            await world.engine.apply(want)

        assert problems[0].startswith("2 instances cannot have the volumes of 'web'")
        assert problems[1].startswith("region 'test' has no storage class 'nothing'")
        assert await world.engine.volumes(want.app) == ()
        assert not serving(await world.engine.observe(want.app), want.generation)


async def test_a_volume_that_nobody_makes_says_so_and_so_does_the_instance() -> None:
    needs_cluster()
    with unmade() as name:
        async with harbour(needs_cluster(), tiny_in_cluster(), storage_class=name) as world:
            want = wanted(world)

            seen = await _WANTS.until(
                world, want, lambda seen: any("volume" in i.reason for i in seen.instances), seconds=60
            )
            async with asyncio.timeout(60):
                while "not say why" in (volume := (await world.engine.volumes(want.app))[0]).problem:
                    await world.pass_time(0.5)

            assert seen.instances[0].reason == "its volume is not there: nothing in the cluster has made it"
            assert volume.problem.startswith("is not there yet: ")
            assert "example.com/nobody" in volume.problem
