"""Builds in a cluster keep the contract of a builder, and their images run there."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.errors import BuildFailed
from leeward.registry.contents import EngineContents
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing
from tests.cluster.world import world
from tests.contracts import galley
from tests.contracts.builder import BuilderContract
from tests.contracts.galley import Galley


@pytest.fixture(scope="module")
def kitted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with BuildKit's image on its nodes; the pool goes at the end."""
    from tests.cluster import kit

    try:
        kit.on_nodes(cluster)
    except Missing as lack:
        pytest.skip(str(lack))
    yield cluster
    asyncio.run(galley.clear(cluster, tmp_path_factory.mktemp("clear")))


class TestClusterBuilder(BuilderContract):
    @pytest.fixture
    async def world(self, kitted: Cluster, tmp_path: Path) -> AsyncIterator[Galley]:
        async with galley.galley(kitted, tmp_path) as made:
            yield made
