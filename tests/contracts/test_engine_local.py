"""The engine on Docker keeps the contract."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contracts.engine import EngineContract
from tests.contracts.timer import TimerContract
from tests.contracts.tiny import Machine, machine, needs_docker
from tests.contracts.volumes import VolumeContract


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One platform for all tests, so that its networks are made once."""
    needs_docker()
    path = tmp_path_factory.mktemp("home")
    yield path
    Machine(path).clean()


class TestTimersOfLocalEngine(TimerContract):
    @pytest.fixture
    async def world(self, home: Path) -> AsyncIterator[Machine]:
        async with machine(home, keep_networks=True) as made:
            yield made


class TestLocalEngine(EngineContract):
    @pytest.fixture
    async def world(self, home: Path) -> AsyncIterator[Machine]:
        async with machine(home, keep_networks=True) as made:
            yield made


class TestVolumesOfLocalEngine(VolumeContract):
    @pytest.fixture
    async def world(self, home: Path) -> AsyncIterator[Machine]:
        async with machine(home, keep_networks=True) as made:
            yield made
