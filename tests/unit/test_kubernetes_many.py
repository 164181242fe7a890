"""What a large cluster costs the engine: counted in objects and calls, not in seconds."""

import gc
import json
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.tiny import WallClock
from tests.unit.kubernetes_stage import RULES, WEB, shown_pod

from leeward.engines.kubernetes.deeds import Deeds
from leeward.engines.kubernetes.informer import Informer, Key
from leeward.engines.kubernetes.kinds import NODE, POD, Kind
from leeward.engines.kubernetes.names import stamped
from leeward.engines.kubernetes.objects import known
from leeward.engines.kubernetes.pods import read
from leeward.engines.kubernetes.render import announcer, deployment, environment, service
from leeward.engines.kubernetes.sight import Sight

PAGES, ITEMS = 5, 10


class Item(dict[str, Any]):
    """An object of a page, of which one can know whether it is still held."""


class Paged:
    """An API server that answers lists in pages, and looks at what of them is still in memory."""

    region = "eu"

    def __init__(self) -> None:
        self.asked = 0
        self.held: list[int] = []
        self._given: list[weakref.ref[Item]] = []

    async def ask(self, method: str, path: str, **about: Any) -> Mapping[str, Any]:
        assert about["seconds"] >= 60, "a page that is given up costs the whole list"
        gc.collect()
        self.held.append(sum(given() is not None for given in self._given))
        page, self.asked = self.asked, self.asked + 1
        items = [Item(shown_pod(name=f"pod-{page}-{number}")) for number in range(ITEMS)]
        self._given += [weakref.ref(item) for item in items]
        more = {"continue": "more"} if self.asked < PAGES else {}
        return {"items": items, "metadata": {"resourceVersion": "100", **more}}


class Forgetful(Paged):
    """An API server that has forgotten, at each watch, what there was to be told since."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[str] = []

    @asynccontextmanager
    async def lines(self, path: str, what: str, params: Mapping[str, str], accept: str) -> AsyncIterator[Any]:
        self.watched.append(params["resourceVersion"])

        async def told() -> AsyncIterator[str]:
            error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (2)"}
            yield json.dumps({"type": "ERROR", "object": error})

        yield told()


def sight() -> Sight:
    return Sight(Paged(), RULES, lambda: WallClock().now().timestamp())  # type: ignore[arg-type]


async def test_a_list_never_holds_more_than_a_page_of_what_the_server_sent() -> None:
    server = Paged()
    told: list[Key] = []
    informer = Informer(server, POD, read, lambda key, before, after: told.append(key))  # type: ignore[arg-type]

    await informer._list()

    assert server.asked == PAGES
    assert len(informer.items) == len(told) == PAGES * ITEMS
    assert max(server.held) <= ITEMS


async def test_what_is_on_no_page_any_more_is_forgotten() -> None:
    server = Paged()
    informer = Informer(server, POD, read, lambda key, before, after: None)  # type: ignore[arg-type]
    informer.put(shown_pod(name="gone"))

    await informer._list()

    assert ("leeward-store", "gone") not in informer.items
    assert len(informer.items) == PAGES * ITEMS


async def test_a_watch_that_is_too_old_lists_once_more_and_tells_of_nothing_that_stayed_the_same() -> None:
    server = Forgetful()
    told: list[Key] = []
    informer = Informer(server, POD, read, lambda key, before, after: told.append(key))  # type: ignore[arg-type]

    await informer._follow()
    server.asked = 0
    await informer._follow()

    assert informer.lists == 2
    assert server.watched == ["100", "100"]
    assert len(told) == PAGES * ITEMS


async def test_one_list_and_one_watch_follow_a_kind_however_many_apps_there_are() -> None:
    kinds = [watch.kind.kind for watch in sight().watches]

    assert len(kinds) == len(set(kinds))


async def test_who_waits_for_an_app_is_not_woken_by_all_others() -> None:
    one = sight()
    mine, other = one.moved("shop"), one.moved("blog")

    one.changed("shop")

    assert mine.is_set()
    assert not other.is_set()
    assert not one.moved("shop").is_set()


async def test_a_thousand_nodes_are_compared_when_it_is_asked_and_not_at_each_of_them() -> None:
    one = sight()
    looks = 0

    class Rooms(dict[Key, Any]):
        def values(self) -> Any:
            nonlocal looks
            looks += 1
            return super().values()

    one._nodes.items = Rooms()
    for number in range(1000):
        room = {"cpu": str(number % 32 + 1), "memory": "4Gi"}
        meta = {"name": f"node-{number}", "resourceVersion": "1"}
        one._nodes.put({"kind": NODE.kind, "metadata": meta, "status": {"allocatable": room}})

    largest = one.largest()

    assert largest is not None
    assert largest.millicpu == 32_000
    assert looks <= 1


class Counted:
    """An API server that has nothing yet, and counts what it is asked."""

    region = "eu"

    def __init__(self) -> None:
        self.gets: list[tuple[str, str]] = []
        self.applied: list[str] = []

    async def get(self, kind: Kind, namespace: str, name: str) -> None:
        self.gets.append((kind.kind, name))

    async def apply(self, made: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        if not dry_run:
            self.applied.append(made["metadata"]["name"])
        meta = {"uid": made["metadata"]["name"], "resourceVersion": str(len(self.applied)), **made["metadata"]}
        return {**made, "metadata": meta}


async def test_a_new_generation_asks_once_for_each_name_whether_a_stranger_has_it() -> None:
    server, one = Counted(), sight()
    deeds = Deeds(server, RULES, one)  # type: ignore[arg-type]
    await deeds.have_project(WEB.project)
    server.gets.clear()
    server.applied.clear()

    await deeds.ask(WEB, 2, serves=True)
    await deeds.start(WEB, 2)
    await deeds.serve(WEB, WEB.generation)

    assert len(server.applied) >= 5
    assert len(server.gets) == len(set(server.gets)) <= len(server.applied)


def shown_objects(number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the cluster has of one app with one instance: kind and object."""
    want = replace(WEB, app=f"shop{number:04}", instances=1)
    made = (deployment(want, RULES, 1), service(want, RULES, 1), announcer(want, RULES), environment(want, RULES))
    fields = [{"manager": "leeward", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f": {}}}]
    for index, each in enumerate(map(stamped, made)):
        more = {"uid": f"{number:08}-{index:027}", "resourceVersion": "7", "managedFields": fields}
        yield each["kind"], {**each, "metadata": {**each["metadata"], **more}}
    pod = shown_pod(want, f"shop{number:04}-web-g1795507200000-6c9fb7c6b-abcde")
    yield "Pod", pod
    labels = {**pod["metadata"]["labels"], "kubernetes.io/service-name": want.app}
    meta = {"name": f"shop{number:04}-x7k2p", "namespace": "leeward-store", "labels": labels}
    yield "EndpointSlice", {"metadata": meta, "endpoints": [{"targetRef": {"name": pod["metadata"]["name"]}}]}


async def test_what_is_kept_of_an_app_is_less_than_ten_kilobytes() -> None:
    one, apps = sight(), 100
    informers = {watch.kind.kind: watch for watch in one.watches}
    answers = [(kind, json.dumps(shown)) for number in range(apps) for kind, shown in shown_objects(number)]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for kind, text in answers:
            informers[kind].put(json.loads(text))
        gc.collect()
        held = (tracemalloc.get_traced_memory()[0] - before) / apps
    finally:
        tracemalloc.stop()

    assert len(one.apps()) == apps
    assert 1000 < held < 10_000


@pytest.fixture
def shown() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Two pods of one app, as they come in two answers: no text of one is that of the other."""
    pair = [json.loads(json.dumps(shown_pod(name=name))) for name in ("one", "two")]
    yield pair[0], pair[1]


def test_what_many_objects_say_alike_is_kept_once(shown: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, two = read(shown[0]), read(shown[1])

    for part in ("app", "process", "project", "namespace", "role", "phase", "node", "image"):
        assert getattr(one, part) is getattr(two, part), part
    assert known(shown[0]).app is known(shown[1]).app is one.app
    assert one.app == WEB.app
