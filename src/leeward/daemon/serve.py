"""Run the control plane: every adapter, service and loop in one process."""

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn

from leeward.api.app import create_api
from leeward.control.apps import Apps
from leeward.control.bases import Bases
from leeward.control.cron import Cron
from leeward.control.deploys import Deploys
from leeward.control.gc import Collector
from leeward.control.loop import Loop
from leeward.control.phases import Phases
from leeward.control.receipts import Receipts
from leeward.control.rollout import Rollout
from leeward.control.samples import Samples
from leeward.control.scale import Autoscaler
from leeward.control.sleep import Sleeper
from leeward.control.volumes import Volumes
from leeward.daemon.clock import SystemClock
from leeward.daemon.lines import Lines
from leeward.daemon.parts import parts
from leeward.daemon.regions import ENGINES
from leeward.daemon.room import free_room
from leeward.edges.embedded.agent import EmbeddedEdge
from leeward.engines.regional import RegionalEngine
from leeward.errors import LeewardError, Unavailable
from leeward.model.release import SourceKind
from leeward.plan.volumes import VolumeLimits
from leeward.ports import Source, Stores
from leeward.services.all import Services
from leeward.services.seen import Seen
from leeward.settings import MIB, Settings
from leeward.sources import bundles, upload
from leeward.sources.git import GitSource
from leeward.sources.githttp import GitHttp
from leeward.sources.pushed import PushedSource
from leeward.sources.sweep import forget, sweep
from leeward.sources.upload import UploadSource
from leeward.store import open_stores
from leeward.web.mount import mount_web

log = logging.getLogger(__name__)
Work = Callable[[], Coroutine[Any, Any, None]]


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. A named failure is one line on stderr, and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.umask(0o022)
    try:
        # A replica that still waits for its turn is told to stop by cancelling it.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(run_in_pod(settings) if settings.pod else run(settings))
    except LeewardError as error:
        sys.stderr.write(f"Error: {error}\n{f'  hint: {error.hint}' if error.hint else ''}\n")
        if settings.pod and isinstance(error, Unavailable):
            from leeward.daemon.pod import again

            again(settings, error)
        raise SystemExit(1) from error


async def run(settings: Settings, waits: Callable[[], None] = lambda: None, *more: Work) -> None:
    """The control plane, until it is told to stop; `more` runs beside it while it leads."""
    clock = SystemClock()
    opened = await open_stores(settings, clock, waits)
    async with opened as stores:
        plane = Plane(settings, clock, stores)
        await plane.run(opened.lost, *more)
        if opened.lost.is_set():
            raise _ended()


async def run_in_pod(settings: Settings) -> None:
    """The control plane as one replica of several in a cluster."""
    from leeward.daemon.pod import Replica

    replica = Replica(settings)
    await replica.open()
    # What an earlier process of this container left would look like an API that answers.
    settings.api_socket.unlink(missing_ok=True)
    try:
        while True:
            try:
                return await run(settings, replica.waits, replica.lead)
            except Unavailable as error:
                # What has led starts from nothing.
                if replica.led:
                    raise
                await replica.lacks(error)
    finally:
        await replica.close()


class Plane:
    """All parts, put together."""

    def __init__(self, settings: Settings, clock: SystemClock, stores: Stores) -> None:
        self.settings = settings
        self.stores = stores
        made = parts(settings, clock, stores)
        self.engine = RegionalEngine(
            made.engine,
            stores.regions.list,
            lambda region: ENGINES[region.engine](settings, stores.logs, clock, region),
        )
        self.edge = EmbeddedEdge(settings, clock)
        self.registry = made.registry
        self.lines = Lines(stores.logs)
        seen = Seen()
        gits = GitHttp(settings, stores.files)
        self.cron = Cron(stores, self.engine, self.registry, clock)
        self.apps = Apps(
            stores,
            self.engine,
            self.edge,
            self.registry,
            settings.domain,
            seen.put,
            self._forget_sources,
            self.cron,
        )
        receipts = Receipts(self.edge, stores.deploys, ("127.0.0.1", settings.https_port), settings.domain)
        rollout = Rollout(stores, self.engine, self.registry, self.apps, receipts, settings.quotas)
        limits = VolumeLimits(settings.volume_gib * 1024, settings.volumes_per_app)
        self.volumes = Volumes(stores, self.engine, limits)
        images = asyncio.Lock()
        uploads = UploadSource(settings, stores.files)
        sources: dict[SourceKind, Source] = {
            SourceKind.GIT: GitSource(settings),
            SourceKind.UPLOAD: uploads,
            SourceKind.PUSH: PushedSource(settings, stores.files),
        }
        self.trees = settings.home / "sources" / "trees"
        self.bases = Bases(stores, self.registry, made.bases, clock, checks=made.checks_bases)
        phases = Phases(
            stores,
            sources,
            made.builder,
            self.registry,
            rollout,
            self.trees,
            self.lines.put,
            images,
            settings.domain,
            self.bases,
            settings.quotas,
            self.volumes,
        )
        self.deploys = Deploys(stores, phases, clock, at_once=max(4, 2 * settings.builds), lease_s=settings.lease_s)
        self.deploys.done = lambda app: self.poke(f"app/{app}")
        self.samples = Samples(stores, self.engine, self.edge)
        self.scaler = Autoscaler(stores, self.apps, self.samples, settings.scale_down_s, free_room)
        self.sleeper = Sleeper(stores, self.apps, self.edge, self.engine.meets_edge, lambda: self.loops["apps"].poke())
        self.collector = Collector(
            stores,
            self.registry,
            settings.keep_releases,
            settings.logs_mib * MIB,
            self._sweep_sources,
            images,
            # A budget that was meant for a larger disk does not fill a small one.
            min(settings.images_mib * MIB, shutil.disk_usage(settings.home).total // 2),
            lambda text: seen.warn("images", text),
        )
        self.services = Services(
            stores, self.engine, self.engine, self.edge, settings, clock, self.poke, uploads, gits, seen
        )
        self.loops = {
            "deploys": Loop("deploys", self.deploys.tick, 1.0),
            "apps": Loop("apps", self.apps.tick, 1.0),
            "resync": Loop("resync", self._resync, 10.0),
            "runs": Loop("runs", self.cron.tick, 1.0),
            "samples": Loop("samples", self.samples.tick, min(10.0, settings.scale_s)),
            "scale": Loop("scale", self._scale, settings.scale_s),
            "wake": Loop("wake", self.sleeper.wake, 0.1),
            "volumes": Loop("volumes", self.volumes.tick, 60.0),
            "bases": Loop("bases", self.bases.tick, 3600.0),
            "collect": Loop("collect", self._collect, 600.0),
            "receipts": Loop("receipts", receipts.tick, 1.0),
            "regions": Loop("regions", self.engine.refresh, 15.0),
            "edge": Loop("edge", self._sync_edge, 60.0),
        }

    def poke(self, topic: str) -> None:
        """Wake the loops that a topic concerns, and tell whoever watches."""
        self.stores.notices.publish(topic)
        kind, _, name = topic.partition("/")
        if kind == "app":
            self.apps.changed(name)
            self.loops["apps"].poke()
        if kind in ("app", "deploy"):
            self.loops["deploys"].poke()
        if kind == "runs":
            self.cron.changed(name)
            self.loops["runs"].poke()
        if kind == "bases":
            self.loops["bases"].poke()

    async def run(self, lost: asyncio.Event, *more: Work) -> None:
        """Serve the API and run the loops until told to stop, or until another control plane may lead (`lost`).

        What deploys do is left to the next control plane; `more` runs beside it.
        """
        started = time.monotonic()
        await self.services.access.first_run(self.settings)
        self.trees.mkdir(parents=True, exist_ok=True)
        # Before anything is settled: an app's region must be known when its instances are looked for.
        await self.engine.refresh()
        server = self._server()
        background: list[Coroutine[Any, Any, None]] = [
            self.engine.run(),
            self._watch(),
            self.lines.run(),
            _end_when(lost),
            *(work() for work in more),
            *(self._loop(name) for name in self.loops),
        ]
        await self.deploys.start()
        tasks = [asyncio.create_task(work) for work in background]
        log.info("the control plane is up after %.2f s", time.monotonic() - started)
        try:
            await self._serve_until_done(server, tasks)
        finally:
            await self.deploys.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.lines.flush()

    async def _serve_until_done(self, server: uvicorn.Server, tasks: list[asyncio.Task[None]]) -> None:
        """Until the server ends by a signal; a part that ends by itself ends the whole, and the supervisor restarts."""
        serving = asyncio.create_task(server.serve())
        done, _ = await asyncio.wait([serving, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not serving and (error := task.exception()) is not None:
                log.error("a part of the control plane ended", exc_info=error)
        server.should_exit = True
        await serving

    def _server(self) -> uvicorn.Server:
        api = create_api(self.services)
        mount_web(api, self.services)
        socket = self.settings.api_socket
        socket.parent.mkdir(parents=True, exist_ok=True)
        socket.unlink(missing_ok=True)
        config = uvicorn.Config(
            api,
            uds=str(socket),
            log_level="warning",
            access_log=False,
            proxy_headers=True,
            forwarded_allow_ips="*",
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        return uvicorn.Server(config)

    async def _loop(self, name: str) -> None:
        await self.loops[name].run()

    async def _watch(self) -> None:
        """Engine changes go to the apps loop at once."""
        async for name in self.engine.changes():
            self.stores.notices.publish(f"app/{name}")
            self.apps.seen(name)
            self.loops["apps"].poke()

    async def _resync(self) -> None:
        """Until the whole table was given once, the edge answers unknown hosts that the platform is starting."""
        before = self.apps.routed
        await self.apps.resync()
        if self.apps.routed and not before:
            self.loops["edge"].poke()

    async def _sync_edge(self) -> None:
        if self.apps.routed:
            await self.apps.sync_edge()

    async def _forget_sources(self, app: str, uploads: frozenset[str]) -> None:
        await asyncio.to_thread(forget, self.settings, app, uploads)
        if self.stores.files is not None:
            for name in (bundles.name_of(app), *map(upload.name_of, uploads)):
                await self.stores.files.drop(name)

    async def _sweep_sources(self) -> None:
        active = await self.stores.deploys.active()
        busy = frozenset(name for deploy in active for name in (deploy.id, deploy.app, deploy.source.upload) if name)
        await asyncio.to_thread(sweep, self.settings, busy)
        if self.stores.files is not None:
            names = frozenset(name for one in busy for name in (bundles.name_of(one), upload.name_of(one)))
            await self.stores.files.sweep(self.settings.uploads_mib * MIB, names)

    async def _scale(self) -> None:
        await self.scaler.tick()
        await self.sleeper.tick()

    async def _collect(self) -> None:
        await self.collector.tick()
        await self.samples.sweep()


async def _end_when(lost: asyncio.Event) -> None:
    """Raises Unavailable once the stores are no longer ours: every part then ends, and the supervisor starts anew."""
    await lost.wait()
    raise _ended()


def _ended() -> Unavailable:
    return Unavailable("the database ended this control plane's lead", hint="it waits for its turn again")
