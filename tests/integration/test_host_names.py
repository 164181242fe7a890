"""A host name is one app's: on the real edge and the real store, also when two ask for it at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.edge_stage import App as Backend
from tests.edge_stage import RealEdge, app, why_not
from tests.unit.services_stage import TwinGits, TwinUploads

from leeward.control.apps import Apps
from leeward.engines.regional import RegionalEngine
from leeward.errors import Conflict
from leeward.fakes.cluster import FakeCluster
from leeward.fakes.engine import FakeEngine
from leeward.fakes.registry import FakeRegistry
from leeward.model.access import Caller, Scope
from leeward.model.app import AppSpec, ProcessSpec
from leeward.model.release import Deploy, DeployKind, Release, SourceKind, SourceRef
from leeward.model.runtime import Instance, InstanceState, Observed
from leeward.model.wish import App
from leeward.ports import Stores
from leeward.services import Services
from leeward.store import open_stores

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

WHO = Caller("ada", Scope.DEPLOY)
IMAGE = SourceRef(SourceKind.IMAGE, image="registry.example/shop:1")
DOMAIN = "lee.localhost"


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Here(FakeEngine):
    """Each app has one instance, which is ready and answers."""

    backends: dict[str, Backend] = {}

    async def observe(self, app: str) -> Observed:
        host, _, port = self.backends[app].peer.partition(":")
        return Observed(app, (Instance(f"i-{app}", app, "web", 1, 1, InstanceState.READY, host, int(port)),))


@dataclass
class World:
    real: RealEdge
    stores: Stores
    doors: tuple[Services, Services]
    """Two of them, which know nothing of each other: only the store can keep them apart."""
    apps: Apps
    backends: dict[str, Backend] = field(default_factory=dict)

    async def live(self, name: str, number: int, *domains: str) -> None:
        """Do what the loops do: a release with these hosts is the live one."""
        spec = AppSpec(domains=domains, processes={"web": ProcessSpec()})
        if number:
            release = Release(name, 0, "registry/x@sha256:1", spec, (), {"web": "serve"}, deploy=f"{name}-{number}")
            deploy = Deploy(f"{name}-{number}", name, DeployKind.CODE, IMAGE)
            await self.stores.deploys.create(deploy)
            assert (await self.stores.releases.add(release)).number == number
        await self.stores.apps.update(name, lambda old: replace(old, spec=spec, live=number or None, generation=1))

    async def answers(self, host: str) -> str:
        """Which app answers at a host, when all is settled; '' when it is nobody's."""
        await self.apps.resync()
        answer = await self.real.ask(host, "/status/200")
        if answer.headers["content-type"] != "application/json":
            return ""
        return next(name for name, backend in self.backends.items() if backend.peer == answer.json["peer"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    real = RealEdge()
    clock, engine = Clock(), Here(Clock())
    async with app("one") as one, app("two") as two, contextlib.AsyncExitStack() as after:
        after.push_async_callback(real.remove)
        await real.start()
        stores = await after.enter_async_context(
            await open_stores(real.settings.model_copy(update={"home": tmp_path}), clock)
        )
        engine.backends = {"one": one, "two": two}
        places = RegionalEngine(engine, stores.regions.list, lambda region: FakeCluster(clock))
        doors = tuple(
            Services(
                stores,
                engine,
                places,
                real.edge,
                real.settings,
                clock,
                stores.notices.publish,
                TwinUploads(),
                TwinGits(),
            )
            for _ in range(2)
        )
        for name in engine.backends:
            await stores.apps.create(App(name))
        loops = Apps(stores, engine, real.edge, FakeRegistry(), DOMAIN)
        made = World(real, stores, (doors[0], doors[1]), loops, engine.backends)
        await made.live("one", 1)
        await made.live("two", 1)
        yield made


def refusals(results: list[object]) -> list[str]:
    """The codes of what was refused; anything else that broke fails the test."""
    broken = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, Conflict) for each in broken), broken
    return [each.code for each in broken if isinstance(each, Conflict)]


async def test_a_domain_that_two_apps_ask_for_at_once_goes_to_one(world: World) -> None:
    one, two = world.doors
    winners = set()
    for number in range(12):
        host = f"www{number}.example.com"
        asked = [one.domains.add(WHO, "one", host), two.domains.add(WHO, "two", host)]

        results = await asyncio.gather(*(asked if number % 2 else reversed(asked)), return_exceptions=True)

        assert refusals(list(results)) == ["taken"]
        owners = [item.name for item in (await world.stores.apps.list()).items if host in item.domains]
        assert len(owners) == 1
        if number % 4 == 0:
            assert await world.answers(host) == owners[0]
        winners.add(owners[0])
    assert winners == {"one", "two"}


async def test_a_domain_in_the_manifests_of_two_deploys_at_once_goes_to_one(world: World) -> None:
    one, two = world.doors
    for number in range(6):
        host = f"shop{number}.example.com"
        spec = AppSpec(domains=(host,))

        results = await asyncio.gather(
            one.deploys.deploy(WHO, "one", IMAGE, spec),
            two.deploys.deploy(WHO, "two", IMAGE, spec),
            two.deploys.deploy(WHO, f"new{number}", IMAGE, spec),
            one.apps.create(WHO, f"made{number}", spec),
            two.domains.add(WHO, "two", host),
            return_exceptions=True,
        )

        refused = refusals(list(results))
        owners = [
            item.name for item in (await world.stores.apps.list()).items if host in (*item.spec.domains, *item.domains)
        ]
        assert len(owners) == 1
        # App 'two' asks twice, and one of its two ways does not hinder the other.
        assert set(refused) == {"taken"} and len(refused) in (3, 4)


async def test_a_domain_that_is_served_is_no_other_apps_whatever_the_next_manifest_says(world: World) -> None:
    await world.live("one", 2, "www.example.com")
    # A deploy without the domain has begun, and is not live yet.
    await world.stores.apps.update("one", lambda old: replace(old, spec=AppSpec()))

    with pytest.raises(Conflict, match=r"domain 'www\.example\.com' belongs to app 'one'"):
        await world.doors[0].domains.add(WHO, "two", "www.example.com")

    assert await world.answers("www.example.com") == "one"


async def test_a_rollback_takes_no_domain_back_from_another_app(world: World) -> None:
    await world.live("one", 2, "www.example.com")
    await world.live("one", 3)
    await world.doors[0].domains.add(WHO, "two", "www.example.com")
    before = await world.answers("www.example.com")

    with pytest.raises(Conflict, match="belongs to app 'two'"):
        await world.doors[1].deploys.rollback(WHO, "one", 2)
    # As it would go on if the domain had moved while the rollback was under way.
    with pytest.raises(Conflict, match="belongs to app 'two'"):
        await world.stores.apps.update("one", lambda old: replace(old, live=2))

    assert (before, await world.answers("www.example.com")) == ("two", "two")


async def test_the_address_of_an_app_is_no_other_apps_domain(world: World) -> None:
    await world.answers(f"two.{DOMAIN}")

    for host in (f"two.{DOMAIN}", f"TWO.{DOMAIN}.", f"console.{DOMAIN}", DOMAIN, f"later.{DOMAIN}"):
        with pytest.raises(Conflict, match="belongs to the platform"):
            await world.doors[0].domains.add(WHO, "one", host)

    assert await world.answers(f"two.{DOMAIN}") == "two"
    assert await world.answers(f"one.{DOMAIN}") == "one"


async def test_a_domain_moves_from_app_to_app_when_the_first_lets_go(world: World) -> None:
    services = world.doors[0]
    await services.domains.add(WHO, "one", "www.example.com")
    first = await world.answers("www.example.com")
    await services.domains.remove(WHO, "one", "www.example.com")
    nobodys = await world.answers("www.example.com")

    await services.domains.add(WHO, "two", "www.example.com")

    assert (first, nobodys, await world.answers("www.example.com")) == ("one", "", "two")
