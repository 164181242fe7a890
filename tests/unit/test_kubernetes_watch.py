"""How a watch goes on: without kinds that a cluster does not have yet, and with what its readers trip over."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from tests.unit.kubernetes_stage import shown_pod
from tests.unit.test_kubernetes_signin import kubeconfig

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.informer import Informer, Key
from leeward.engines.kubernetes.kinds import POD
from leeward.engines.kubernetes.pods import Pod, read
from leeward.errors import NotFound, Unavailable


class Growing:
    """An API server to which a kind of object comes, and from which it goes."""

    region = "eu"

    def __init__(self) -> None:
        self.installed = False

    async def ask(self, method: str, path: str, **about: Any) -> Mapping[str, Any]:
        if not self.installed:
            raise NotFound("there is no such kind")
        return {"items": [shown_pod(name="one")], "metadata": {"resourceVersion": "100"}}

    @asynccontextmanager
    async def lines(self, path: str, what: str, params: Mapping[str, str], accept: str) -> AsyncIterator[Any]:
        if not self.installed:
            raise NotFound("there is no such kind")

        yield _none()


async def _none() -> AsyncIterator[str]:
    nothing: tuple[str, ...] = ()
    for line in nothing:
        yield line


async def test_a_kind_that_is_installed_later_is_found_and_one_that_is_taken_away_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("leeward.engines.kubernetes.informer._ABSENT_S", 0.0, raising=False)
    server, told = Growing(), list[tuple[Key, bool]]()
    informer: Informer[Pod] = Informer(
        server,  # type: ignore[arg-type]
        POD,
        read,
        lambda key, before, after: told.append((key, after is not None)),
        optional=True,
    )

    async with asyncio.timeout(5):
        await informer._follow()
        assert informer.absent and informer.synced.is_set()
        server.installed = True
        await informer._follow()
        assert not informer.absent and len(informer.items) == 1
        server.installed = False
        await informer._follow()

    assert informer.absent and not informer.items
    assert told == [(("leeward-store", "one"), True), (("leeward-store", "one"), False)]


def answering(text: str) -> Cluster:
    """A cluster whose every answer is this."""
    made = Cluster("eu", kubeconfig(), "")
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, text=text))
    made._made = httpx2.AsyncClient(base_url="https://10.0.0.1", transport=transport)
    return made


@pytest.mark.parametrize("error", [ValueError("no number"), KeyError("type"), OSError("the disk is full")])
async def test_what_a_reader_of_lines_trips_over_is_not_blamed_on_credentials(error: Exception) -> None:
    cluster = answering("one\ntwo\n")

    with pytest.raises(type(error)) as caught:
        async with cluster.lines("/log", "log", {}) as lines:
            async for _ in lines:
                raise error

    assert caught.value is error
    await cluster.close()


async def test_a_watch_that_breaks_off_in_a_line_says_so() -> None:
    cluster = answering('{"type": "ADD')
    informer = Informer(cluster, POD, read, lambda key, before, after: None)

    with pytest.raises(Unavailable, match="broke off in the middle of a line"):
        await informer._watch()
    await cluster.close()
