"""The embedded edge keeps the contract, with a real nginx."""

from collections.abc import AsyncIterator

import pytest
from tests.contracts.edge import EdgeContract
from tests.edge_stage import RealEdge, app, why_not

from leeward.edges.embedded.agent import EmbeddedEdge

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


class NginxStage:
    def __init__(self, real: RealEdge, peers: tuple[str, str]) -> None:
        self.real = real
        self.peers = peers

    @property
    def edge(self) -> EmbeddedEdge:
        return self.real.edge

    async def visit(self, host: str, status: int = 200) -> tuple[int, str]:
        answer = await self.real.ask(host, f"/status/{status}")
        is_app = answer.headers["content-type"] == "application/json"
        return answer.status, str(answer.json["peer"]) if is_app else ""

    async def stop(self) -> None:
        await self.real.stop()


class TestEmbeddedEdge(EdgeContract):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[NginxStage]:
        real = RealEdge()
        async with app("a") as one, app("b") as two:
            try:
                await real.start()
                await real.edge.sync([], [])
                yield NginxStage(real, (one.peer, two.peer))
            finally:
                await real.remove()
