"""A control plane over real stores and twins in memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.services_stage import opened_before

from leeward.control.apps import Apps
from leeward.control.bases import Bases
from leeward.control.deploys import Deploys
from leeward.control.gc import Collector
from leeward.control.loop import pause
from leeward.control.phases import Phases
from leeward.control.receipts import Receipts
from leeward.control.rollout import Rollout
from leeward.control.volumes import Volumes
from leeward.fakes.bases import FakeBaseImages
from leeward.fakes.builder import FakeBuilder
from leeward.fakes.edge import FakeEdge
from leeward.fakes.engine import FakeEngine
from leeward.fakes.registry import FakeRegistry
from leeward.fakes.source import FakeSource
from leeward.model.quota import parse_quotas
from leeward.model.release import Deploy, DeployKind, DeployStatus, SourceKind, SourceRef
from leeward.model.runtime import LogLine
from leeward.model.wish import App
from leeward.plan.volumes import VolumeLimits
from leeward.ports import Stores
from leeward.settings import Settings
from leeward.store import open_stores

MANIFEST = "name: shop\nprocesses: {web: {command: serve, size: nano, health: {deadline: 1, drain: 0}}}\n"


class Clock:
    """The real time: what is tested here waits for events, not for hours."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Stage:
    """Everything of one control plane; `again()` is the next one after a crash."""

    stores: Stores
    home: Path
    engine: FakeEngine
    edge: FakeEdge
    builder: FakeBuilder
    registry: FakeRegistry
    source: FakeSource
    lines: list[LogLine]
    apps: Apps = None  # type: ignore[assignment]
    deploys: Deploys = None  # type: ignore[assignment]
    collector: Collector = None  # type: ignore[assignment]
    receipts: Receipts = None  # type: ignore[assignment]
    bases: Bases = None  # type: ignore[assignment]
    volumes: Volumes = None  # type: ignore[assignment]
    images: FakeBaseImages = field(default_factory=FakeBaseImages)
    budget: int = 10_500_000
    keep: int = 10
    quota: str = ""
    watching: list[asyncio.Task[None]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set each time a deploy ended."""

    def again(self) -> "Stage":
        """A new control plane on the same world."""
        fresh = replace(self)
        fresh.apps = Apps(self.stores, self.engine, self.edge, self.registry, "lee.localhost")
        self.watching.append(asyncio.create_task(_watch(self.engine, fresh.apps)))
        receipts = Receipts(self.edge, self.stores.deploys, ("127.0.0.1", 9), "lee.localhost", after_s=0.0)
        fresh.receipts = receipts
        rollout = Rollout(self.stores, self.engine, self.registry, fresh.apps, receipts, parse_quotas(self.quota))
        images = asyncio.Lock()
        fresh.bases = Bases(self.stores, self.registry, self.images, Clock())
        sources = dict.fromkeys((SourceKind.GIT, SourceKind.UPLOAD, SourceKind.PUSH), self.source)
        fresh.volumes = Volumes(self.stores, self.engine, VolumeLimits(2048, 3))
        phases = Phases(
            self.stores,
            sources,
            self.builder,
            self.registry,
            rollout,
            self.home / "trees",
            lambda app, line: self.lines.append(line),
            images,
            "lee.localhost",
            fresh.bases,
            parse_quotas(self.quota),
            fresh.volumes,
        )
        fresh.deploys = Deploys(self.stores, phases, Clock(), lease_s=60)
        fresh.deploys.done = lambda app: self.ended.set()
        fresh.collector = Collector(self.stores, self.registry, self.keep, 1_000_000, _nothing, images, self.budget)
        return fresh

    async def wish(
        self, kind: DeployKind = DeployKind.CODE, release: int = 0, tree: Mapping[str, str] | None = None, id: str = ""
    ) -> Deploy:
        """Queue a deploy of the app 'shop'."""
        name = id or f"d{len((await self.stores.deploys.list()).items)}"
        if tree is not None:
            self.source.trees[name] = {"leeward.yaml": MANIFEST, **tree}
        source = (
            SourceRef(SourceKind.UPLOAD, upload=name)
            if kind is DeployKind.CODE
            else SourceRef(SourceKind.NONE, release=release)
        )
        return await self.stores.deploys.create(
            Deploy(name, "shop", kind, source, actor="tests", created_at=Clock().now())
        )

    async def finish(self, deploy: Deploy, seconds: float = 30) -> Deploy:
        """Tick until the deploy is final."""
        async with asyncio.timeout(seconds):
            while not (found := await self.stores.deploys.get(deploy.id)).status.final:
                self.ended.clear()
                await self.deploys.tick()
                await self.apps.tick()
                await pause(self.ended, 0.05)
        return found

    async def live(self, **files: str) -> Deploy:
        """Deploy a tree and see it live."""
        done = await self.finish(await self.wish(tree={"main.py": "1", **files}))
        assert done.status is DeployStatus.LIVE, done.error
        return done


async def _nothing() -> None:
    return None


async def _watch(engine: FakeEngine, apps: Apps) -> None:
    """Pass on what the engine says, as the daemon does."""
    async for name in engine.changes():
        apps.seen(name)


@asynccontextmanager
async def stage(home: Path) -> AsyncIterator[Stage]:
    """A control plane with the app 'shop', which has nothing yet."""
    settings = Settings(home=home)
    await opened_before(home, settings, Clock())
    async with await open_stores(settings, Clock()) as stores:
        builder = FakeBuilder()
        registry = FakeRegistry()
        registry.local = builder.images
        made = Stage(stores, home, FakeEngine(Clock()), FakeEdge(), builder, registry, FakeSource(), []).again()
        await stores.apps.create(App("shop", created_at=Clock().now()))
        yield made
        await made.deploys.stop()
        for task in made.watching:
            task.cancel()
        await asyncio.gather(*made.watching, return_exceptions=True)
