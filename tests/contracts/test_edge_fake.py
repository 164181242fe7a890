"""The edge in memory keeps the contract."""

from dataclasses import dataclass, field

import pytest

from leeward.fakes.edge import FakeEdge
from tests.contracts.edge import EdgeContract


@dataclass
class FakeStage:
    edge: FakeEdge = field(default_factory=FakeEdge)
    peers: tuple[str, str] = ("10.0.0.1:8000", "10.0.0.2:8000")

    async def visit(self, host: str, status: int = 200) -> tuple[int, str]:
        return self.edge.visit(host, status=status)

    async def stop(self) -> None:
        self.edge.down = True


class TestFakeEdge(EdgeContract):
    @pytest.fixture
    def stage(self) -> FakeStage:
        return FakeStage()


async def test_streams_are_open_until_they_end() -> None:
    edge = FakeEdge()
    for _ in range(2):
        edge.open_stream("shop", "10.0.0.1:8000")
    edge.end_stream("shop", "10.0.0.1:8000", dropped=True)

    traffic = (await edge.traffic())["shop"]

    assert traffic.streams == (("10.0.0.1:8000", 1),)
    assert (traffic.streams_seen, traffic.dropped) == (2, 1)
