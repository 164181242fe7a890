"""What every edge has to do."""

import asyncio
from dataclasses import replace
from typing import Protocol

import pytest

from leeward.errors import Unavailable
from leeward.model.route import BOUNDS_MS, Route
from leeward.ports import Edge


class EdgeStage(Protocol):
    """An edge, and the world around it as a test moves it."""

    edge: Edge
    peers: tuple[str, str]
    """Two instances that answer."""

    async def visit(self, host: str, status: int = 200) -> tuple[int, str]:
        """One request that an instance would answer with `status`: the status that came, and which peer it was."""
        ...

    async def stop(self) -> None:
        """Take the edge away."""
        ...


def route(stage: EdgeStage, app: str, *peers: str, host: str = "") -> Route:
    return Route(app, (host or f"{app}.lee.localhost",), peers)


class EdgeContract:
    """Inherited by the tests of each edge, which give the fixture `stage`."""

    async def test_a_route_is_served_once_it_was_put(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", stage.peers[0]))

        assert await stage.visit("shop.lee.localhost") == (200, stage.peers[0])

    async def test_a_route_may_be_put_again_and_again(self, stage: EdgeStage) -> None:
        for _ in range(3):
            await stage.edge.put(route(stage, "shop", stage.peers[0]))

        assert await stage.visit("shop.lee.localhost") == (200, stage.peers[0])

    async def test_new_requests_follow_a_changed_route_at_once(self, stage: EdgeStage) -> None:
        old, new = stage.peers
        for peer in (old, new, old, new):
            await stage.edge.put(route(stage, "shop", peer))

            assert await stage.visit("shop.lee.localhost") == (200, peer)

    async def test_requests_are_spread_over_all_peers(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", *stage.peers))

        seen = {(await stage.visit("shop.lee.localhost"))[1] for _ in range(12)}

        assert seen == set(stage.peers)

    async def test_a_host_that_left_its_route_is_unknown(self, stage: EdgeStage) -> None:
        await stage.edge.put(Route("shop", ("shop.lee.localhost", "old.example.com"), stage.peers))
        await stage.edge.put(Route("shop", ("shop.lee.localhost",), stage.peers))

        assert (await stage.visit("old.example.com"))[0] == 404
        assert (await stage.visit("shop.lee.localhost"))[0] == 200

    async def test_a_host_that_went_to_another_app_stays_there_when_the_first_app_is_dropped(
        self, stage: EdgeStage
    ) -> None:
        await stage.edge.put(route(stage, "old", stage.peers[0], host="www.example.com"))
        await stage.edge.drop("old")
        await stage.edge.put(route(stage, "new", stage.peers[1], host="www.example.com"))
        await stage.edge.drop("old")

        assert await stage.visit("www.example.com") == (200, stage.peers[1])

    async def test_a_wildcard_serves_names_of_one_label_and_an_exact_host_goes_before_it(
        self, stage: EdgeStage
    ) -> None:
        await stage.edge.put(route(stage, "any", stage.peers[0], host="*.example.com"))
        await stage.edge.put(route(stage, "one", stage.peers[1], host="one.example.com"))

        assert await stage.visit("two.example.com") == (200, stage.peers[0])
        assert await stage.visit("one.example.com") == (200, stage.peers[1])
        assert (await stage.visit("a.two.example.com"))[0] == 404
        assert (await stage.visit("example.com"))[0] == 404

    async def test_an_app_without_peers_is_unavailable_and_counted_as_failed(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop"))

        status, peer = await stage.visit("shop.lee.localhost")

        assert (status, peer) == (503, "")
        assert (await stage.edge.traffic())["shop"].failed == 1

    async def test_a_dropped_app_is_unknown(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", *stage.peers))

        await stage.edge.drop("shop")
        await stage.edge.drop("shop")

        assert (await stage.visit("shop.lee.localhost"))[0] == 404
        assert await stage.edge.peers("shop") == frozenset()

    async def test_the_edge_says_which_peers_are_in_force(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", *stage.peers))

        assert await stage.edge.peers("shop") == frozenset(stage.peers)
        assert await stage.edge.peers("nobody") == frozenset()

    async def test_sync_makes_the_whole_table_equal(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "gone", *stage.peers))
        await stage.edge.put(route(stage, "kept", stage.peers[0]))

        for _ in range(2):
            await stage.edge.sync([route(stage, "kept", stage.peers[1]), route(stage, "new", stage.peers[0])], [])

        assert (await stage.visit("gone.lee.localhost"))[0] == 404
        assert await stage.visit("kept.lee.localhost") == (200, stage.peers[1])
        assert await stage.visit("new.lee.localhost") == (200, stage.peers[0])

    async def test_a_certificate_may_be_wished_for_again_and_again(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", stage.peers[0], host="www.example.com"))
        for _ in range(2):
            await stage.edge.certify(["www.example.com", "shop.lee.localhost"])

        assert await stage.visit("www.example.com") == (200, stage.peers[0])

    async def test_every_request_is_counted_with_its_status_and_time(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", *stage.peers))
        for status in (200, 200, 404, 500):
            await stage.visit("shop.lee.localhost", status)

        traffic = (await stage.edge.traffic())["shop"]

        assert (traffic.requests, traffic.failed) == (4, 1)
        assert dict(traffic.status) == {2: 2, 4: 1, 5: 1}
        assert sum(traffic.buckets) == 4
        assert len(traffic.buckets) == len(BOUNDS_MS)
        assert traffic.bytes_out > 0
        assert (traffic.streams, traffic.streams_seen, traffic.dropped) == ((), 0, 0)

    async def test_an_app_that_was_not_asked_has_counters_too(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", *stage.peers))

        assert (await stage.edge.traffic())["shop"].requests == 0

    async def test_an_app_that_can_be_woken_is_waited_for_until_it_has_peers(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop", *stage.peers))
        await stage.edge.put(replace(route(stage, "shop"), wakes=True))
        assert await stage.edge.waiting() == frozenset()
        asking = asyncio.create_task(stage.visit("shop.lee.localhost"))

        async with asyncio.timeout(20):
            while await stage.edge.waiting() != {"shop"}:
                pass
        await stage.edge.put(replace(route(stage, "shop", stage.peers[1]), wakes=True))

        await asking
        assert await stage.visit("shop.lee.localhost") == (200, stage.peers[1])
        assert await stage.edge.waiting() == frozenset()

    async def test_an_app_that_nothing_may_wake_is_waited_for_by_nobody(self, stage: EdgeStage) -> None:
        await stage.edge.put(route(stage, "shop"))
        await stage.visit("shop.lee.localhost")

        assert await stage.edge.waiting() == frozenset()

    async def test_an_edge_that_is_away_is_unavailable(self, stage: EdgeStage) -> None:
        await stage.stop()

        with pytest.raises(Unavailable):
            await stage.edge.put(route(stage, "shop", *stage.peers))
        with pytest.raises(Unavailable):
            await stage.edge.traffic()
