"""The engine on Kubernetes keeps the contract, on a real cluster."""

from collections.abc import AsyncIterator

import pytest

from tests.cluster.disks import disks
from tests.contracts.engine import EngineContract
from tests.contracts.harbour import Harbour, harbour, needs_cluster, tiny_in_cluster
from tests.contracts.timer import TimerContract
from tests.contracts.volumes import VolumeContract


@pytest.fixture(scope="module")
def image() -> str:
    """The tiny image, where the nodes find it."""
    needs_cluster()
    return tiny_in_cluster()


class TestTimersOfKubernetesEngine(TimerContract):
    @pytest.fixture
    async def world(self, image: str) -> AsyncIterator[Harbour]:
        async with harbour(needs_cluster(), image) as made:
            yield made


class TestKubernetesEngine(EngineContract):
    @pytest.fixture
    async def world(self, image: str) -> AsyncIterator[Harbour]:
        async with harbour(needs_cluster(), image) as made:
            yield made


class TestVolumesOfKubernetesEngine(VolumeContract):
    @pytest.fixture
    async def world(self, image: str) -> AsyncIterator[Harbour]:
        with disks() as storage_class:
            async with harbour(needs_cluster(), image, storage_class=storage_class) as made:
                yield made
