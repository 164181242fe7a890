"""Services over real stores, an engine in memory, and small twins of the rest."""

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher

from leeward.engines.regional import RegionalEngine
from leeward.errors import LeewardError, Unavailable
from leeward.fakes.cluster import FakeCluster
from leeward.fakes.edge import FakeEdge
from leeward.fakes.engine import FakeEngine
from leeward.model.access import Caller, Scope
from leeward.model.app import AppSpec, ProcessSpec
from leeward.model.region import Examined, Region
from leeward.model.release import Deploy, DeployStatus, Release, SourceKind, SourceRef
from leeward.model.runtime import Instance, InstanceState, Observed
from leeward.ports import Clock as AnyClock
from leeward.ports import GitAnswer, Stores, Upload
from leeward.services import Services
from leeward.settings import Settings
from leeward.store import open_stores

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ADMIN = Caller("ada", Scope.ADMIN)
DEPLOYER = Caller("dan", Scope.DEPLOY, "ci")
READER = Caller("rae", Scope.READ)
GIT = SourceRef(SourceKind.GIT, url="https://example.com/shop.git", ref="main")
IMAGE = SourceRef(SourceKind.IMAGE, image="registry.example/shop:1")
COMMIT = "a" * 40


@dataclass
class Clock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class StageEngine(FakeEngine):
    """Counts the looks, and can be away."""

    looks = 0
    away = False

    async def observe(self, app: str) -> Observed:
        self.looks += 1
        return await super().observe(app)

    async def apps(self) -> frozenset[str]:
        if self.away:
            raise Unavailable("dockerd does not answer")
        return await super().apps()


@dataclass
class TwinUploads:
    received: dict[str, bytes] = field(default_factory=dict)

    async def receive(self, app: str, chunks: AsyncIterator[bytes]) -> Upload:
        body = b"".join([chunk async for chunk in chunks])
        id = f"u{len(self.received)}"
        self.received[id] = body
        return Upload(id, "sha256:" + hashlib.sha256(body).hexdigest())


@dataclass
class TwinGits:
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    pushes: dict[str, str] = field(default_factory=dict)
    """What the next push moves: branch to commit."""
    asked: list[tuple[str, str, str, str, Mapping[str, str]]] = field(default_factory=list)

    async def serve(
        self, app: str, method: str, path: str, query: str, headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> GitAnswer:
        self.asked.append((app, method, path, query, headers))
        return GitAnswer(200, (("Content-Type", "application/x-git-result"),), self._body(app, path, body))

    async def _body(self, app: str, path: str, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for _ in body:
            pass
        if path == "/git-receive-pack":
            self.branches.setdefault(app, {}).update(self.pushes)
        yield b"0000"

    async def heads(self, app: str) -> Mapping[str, str]:
        return dict(self.branches.get(app, {}))


@dataclass
class Stage:
    services: Services
    stores: Stores
    clock: Clock
    engine: StageEngine
    uploads: TwinUploads
    gits: TwinGits
    settings: Settings
    pokes: list[str]
    found: list[Examined] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    away: list[LeewardError] = field(default_factory=list)
    """What is wrong with every cluster."""

    async def live(self, name: str, spec: AppSpec | None = None, **processes: str | None) -> int:
        """Do what the loops do: make the newest deploy of an app live with a new release."""
        if not (await self.stores.deploys.active()):
            await self.services.deploys.deploy(DEPLOYER, name, GIT)
        deploy = (await self.stores.deploys.list(name, limit=1)).items[0]
        spec = spec or AppSpec(processes={key: ProcessSpec() for key in processes or {"web": None}})
        release = await self.stores.releases.add(
            Release(
                name,
                0,
                "registry/shop@sha256:1",
                spec,
                await self.stores.apps.env(name),
                processes or {"web": "serve"},
                commit=COMMIT,
                deploy=deploy.id,
            )
        )
        await self.end(deploy, DeployStatus.LIVE, release.number)
        await self.stores.apps.update(name, lambda old: replace(old, live=release.number, generation=release.number))
        return release.number

    async def end(
        self, deploy: Deploy, status: DeployStatus, release: int | None = None, error: Mapping[str, str] | None = None
    ) -> None:
        claimed = await self.stores.deploys.claim("loop", self.clock.now(), 15)
        assert claimed is not None and claimed.id == deploy.id
        ended = replace(claimed, status=status, release=release, error=error, ended_at=self.clock.now())
        await self.stores.deploys.save(ended, "loop")

    def see(self, app: str, *states: InstanceState, process: str = "web", reason: str = "", hint: str = "") -> None:
        """Do what the loops do: keep a look at an app."""
        instances = tuple(
            Instance(f"i{n}", app, process, 1, 1, state, "10.0.0.2", 8080, NOW.timestamp(), reason, hint, n)
            for n, state in enumerate(states)
        )
        self.services.seen.put(app, Observed(app, instances))

    async def kinds(self) -> list[str]:
        """The kinds of all events, oldest first."""
        return [event.kind for event in reversed((await self.stores.events.list(limit=200)).items)]


_template: list[Path] = []


async def opened_before(home: Path, settings: Settings, clock: AnyClock) -> None:
    """Make `home` a copy of one that was opened once: the migrations are slow."""
    if not _template:
        folder = Path(tempfile.mkdtemp(prefix="leeward-unit-"))
        atexit.register(shutil.rmtree, folder, True)
        await (await open_stores(settings.model_copy(update={"home": folder}), clock)).close()
        _template.append(folder)
    shutil.copytree(_template[0], home, dirs_exist_ok=True)


@asynccontextmanager
async def stage(home: Path) -> AsyncIterator[Stage]:
    """Everything that a door needs, in a home of its own."""
    await opened_before(home, _settings(home), Clock())
    async with reopened(home) as st:
        yield st


def _settings(home: Path) -> Settings:
    return Settings(home=home, logs_mib=4, domain="lee.test", upload_max_mib=1)


@asynccontextmanager
async def reopened(home: Path) -> AsyncIterator[Stage]:
    """The same, in a home that is there."""
    clock, pokes, settings = Clock(), [], _settings(home)
    async with await open_stores(settings, clock) as stores:
        engine, uploads, gits = StageEngine(clock), TwinUploads(), TwinGits()

        def poke(topic: str) -> None:
            pokes.append(topic)
            stores.notices.publish(topic)

        cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        found: list[Examined] = []
        left: list[str] = []
        away: list[LeewardError] = []

        def cluster(region: Region) -> FakeCluster:
            return FakeCluster(clock, found=found, left=left, away=away)

        places = RegionalEngine(engine, stores.regions.list, cluster)
        services = Services(stores, engine, places, FakeEdge(), settings, clock, poke, uploads, gits, hasher=cheap)
        yield Stage(services, stores, clock, engine, uploads, gits, settings, pokes, found, left, away)
