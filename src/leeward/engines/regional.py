"""Run every workload in the region that it names: one engine for each region, seen as one.

A region that does not answer concerns only the apps that are known to run there.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from leeward.errors import Invalid, LeewardError, Problem, Unavailable
from leeward.model.region import LOCAL, Examined, Region
from leeward.model.run import Run, SeenRun, Timed, Wanted
from leeward.model.runtime import Instance, Observed, Usage, Workload
from leeward.model.volume import Volume
from leeward.ports import Engine, Examines, Keeps, Leaves, Renders, Say, Timer

log = logging.getLogger(__name__)

Regions = Callable[[], Awaitable[Sequence[Region]]]
Make = Callable[[Region], Engine]


class RegionalEngine:
    """The port `Engine` over several engines; `refresh` follows the regions that are wished for."""

    def __init__(self, local: Engine, regions: Regions, make: Make) -> None:
        self._engines: dict[str, Engine] = {LOCAL: local}
        self._known: dict[str, Region] = {}
        self._regions = regions
        self._make = make
        self._tasks: dict[str, tuple[asyncio.Task[None], asyncio.Task[None]]] = {}
        self._homes: dict[str, set[str]] = defaultdict(set)
        """App to the regions where it runs, as far as is known."""
        self._places: dict[str, str] = {}
        """Instance to region."""
        self._listeners: list[asyncio.Queue[str]] = []

    # --- regions ------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Start the engines of new and changed regions, stop those of removed ones, and start again what ended."""
        wished = {region.name: region for region in await self._regions()}
        for name in [name for name, region in self._known.items() if wished.get(name) != region]:
            await self._stop(name)
        for name, region in wished.items():
            if name not in self._known:
                try:
                    self._engines[name] = self._make(region)
                except LeewardError as error:
                    log.warning("region '%s' cannot be used: %s", name, error)
                    continue
                self._known[name] = region
        for name in self._known:
            self._start(name)

    def _start(self, name: str) -> None:
        tasks = self._tasks.get(name)
        if tasks is not None and not any(task.done() for task in tasks):
            return
        for task in tasks or ():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                log.warning("the engine of region '%s' ended and is started again", name, exc_info=error)
            task.cancel()
        engine = self._engines[name]
        self._tasks[name] = (asyncio.create_task(engine.run()), asyncio.create_task(self._tell(engine)))

    async def _stop(self, name: str) -> None:
        tasks = self._tasks.pop(name, ())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._known.pop(name)
        self._engines.pop(name, None)
        for homes in self._homes.values():
            homes.discard(name)

    async def _tell(self, engine: Engine) -> None:
        async for app in engine.changes():
            for listener in self._listeners:
                listener.put_nowait(app)

    # --- the port -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch this machine and every region until cancelled."""
        local = self._engines[LOCAL]
        telling = asyncio.create_task(self._tell(local))
        try:
            await local.run()
        finally:
            telling.cancel()
            for name in list(self._known):
                await self._stop(name)
            await asyncio.gather(telling, return_exceptions=True)

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        """Move toward `want` in its region; what runs of it elsewhere drains, as instances of an old generation do."""
        self._homes[want.app].add(want.region)
        await self._engine(want.region).apply(want, keep)
        for name in sorted(self._homes[want.app] - {want.region}):
            engine = self._engines.get(name)
            if engine is None:
                continue
            there = (await engine.observe(want.app)).of(want.process)
            # Those of the generations in `keep` are another workload's concern.
            if any(instance.generation not in keep for instance in there):
                await engine.apply(replace(want, region=name, instances=0), keep)

    async def remove(self, app: str, keep: frozenset[str] = frozenset()) -> None:
        """Stop what runs of `app` in every region where it is known to run."""
        for name in sorted({LOCAL, *self._homes.get(app, ())}):
            if name in self._engines:
                await self._engines[name].remove(app, keep)
        if not keep:
            self._homes.pop(app, None)

    async def observe(self, app: str) -> Observed:
        """What runs of an app, wherever. Raises Unavailable when a region where it runs does not answer."""
        homes = self._homes.get(app, set())
        found: list[Instance] = []
        for name, engine in list(self._engines.items()):
            try:
                seen = await engine.observe(app)
            except Unavailable:
                if name == LOCAL or name in homes:
                    raise
                continue
            if seen.instances:
                self._homes[app].add(name)
            found += seen.instances
            self._places.update((instance.id, name) for instance in seen.instances if name != LOCAL)
        return Observed(app, tuple(found))

    async def apps(self) -> frozenset[str]:
        """The apps of which anything runs, in the regions that answer."""
        found: set[str] = set()
        for name, engine in list(self._engines.items()):
            try:
                apps = await engine.apps()
            except Unavailable:
                if name == LOCAL:
                    raise
                continue
            found |= apps
            for app in apps:
                self._homes[app].add(name)
        return frozenset(found)

    async def changes(self) -> AsyncIterator[str]:
        """The name of an app, each time something about its instances changed anywhere."""
        mine: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.append(mine)
        try:
            while True:
                apps = {await mine.get()}
                while not mine.empty():
                    apps.add(mine.get_nowait())
                for app in sorted(apps):
                    yield app
        finally:
            self._listeners.remove(mine)

    async def usage(self) -> Sequence[Usage]:
        """CPU and memory of every instance in the regions that answer."""
        found: list[Usage] = []
        for name, engine in list(self._engines.items()):
            try:
                found += await engine.usage()
            except Unavailable:
                if name == LOCAL:
                    raise
        return tuple(found)

    async def exec(self, instance: str, command: Sequence[str]) -> tuple[int, bytes]:
        """Run a command in an instance, wherever it runs."""
        return await self._engine(self._places.get(instance, LOCAL)).exec(instance, command)

    async def run_once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """Run one command in a fresh instance, in the region of `want`."""
        return await self._engine(want.region).run_once(want, command, say, timeout_s)

    # --- by the clock -------------------------------------------------------------------------------------

    async def schedule(self, app: str, wants: Sequence[Timed]) -> bool:
        """Keep these schedules in their region, and none of the app anywhere else."""
        keeps_time = False
        regions = {want.want.region for want in wants}
        self._homes[app] |= regions
        for name in sorted({LOCAL, *self._homes[app]}):
            mine = [want for want in wants if want.want.region == name]
            if mine or isinstance(self._engines.get(name), Timer):
                keeps = await _timer(self._engine(name)).schedule(app, mine)
                keeps_time = keeps_time or (keeps and bool(mine))
        return keeps_time

    async def begin(self, want: Timed, run: Run) -> None:
        """Have this run, in the region of `want`."""
        await _timer(self._engine(want.want.region)).begin(want, run)

    async def runs(self, app: str) -> Sequence[SeenRun]:
        """Every run of an app, wherever it is known to run."""
        return [run for timer in self._where(app) for run in await timer.runs(app)]

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What an ended run printed last."""
        return [line for timer in self._where(app) for line in await timer.last_lines(app, run)]

    async def end(self, app: str, run: str) -> None:
        """Begin to end a run before its time."""
        for timer in self._where(app):
            await timer.end(app, run)

    async def forget(self, app: str, run: str) -> None:
        """Take away what is left of a run that has ended."""
        for timer in self._where(app):
            await timer.forget(app, run)

    def _where(self, app: str) -> Sequence[Timer]:
        there = [self._engine(name) for name in sorted({LOCAL, *self._homes.get(app, ())})]
        return [engine for engine in there if isinstance(engine, Timer)]

    # --- volumes ------------------------------------------------------------------------------------------

    async def volumes(self, app: str = "") -> Sequence[Volume]:
        """Every volume in the regions that answer; of one app also those that it left elsewhere."""
        found: list[Volume] = []
        for name, engine in list(self._engines.items()):
            if not isinstance(engine, Keeps):
                continue
            try:
                found += [replace(volume, region=name) for volume in await engine.volumes(app)]
            except Unavailable:
                if name == LOCAL or name in self._homes.get(app, ()):
                    raise
        return tuple(sorted(found, key=lambda each: (each.app, each.title, each.region)))

    async def delete_volume(self, volume: Volume) -> None:
        """Remove a volume that nobody uses, in its region."""
        await self._keeper(volume.region).delete_volume(volume)

    async def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """What of the volumes of these workloads cannot be had in their regions."""
        found: list[Problem] = []
        for region in sorted({want.region for want in wants if want.volumes}):
            found += await self._keeper(region).unfit([want for want in wants if want.region == region])
        return tuple(found)

    def _keeper(self, region: str) -> Keeps:
        engine = self._engine(region)
        if not isinstance(engine, Keeps):
            raise Unavailable(f"region '{region}' keeps no volumes")
        return engine

    def meets_edge(self, region: str) -> bool:
        """Whether requests for the apps of a region pass the platform's edge, which can wake one that is asleep."""
        return not getattr(self._engines.get(region), "own_way_in", False)

    def wakes(self, region: str) -> bool:
        """Whether what sleeps in a region can be woken, by the platform's edge or by the region's own parts."""
        return bool(getattr(self._engines.get(region), "wakes", True))

    # --- further abilities --------------------------------------------------------------------------------

    def render(self, wants: Iterable[Wanted]) -> Sequence[Mapping[str, Any]]:
        """The objects that workloads are in their region. Raises Invalid where the engine has no objects."""
        found: list[Mapping[str, Any]] = []
        for want in wants:
            region = want.want.region if isinstance(want, Timed) else want.region
            engine = self._engine(region)
            if not isinstance(engine, Renders):
                raise Invalid(
                    f"region '{region}' runs containers, which have no manifests to show",
                    hint="name a region with a cluster: see `lee regions list`",
                )
            found += [each for each in engine.render((want,)) if each not in found]
        return found

    async def examine(self, region: Region) -> Sequence[Examined]:
        """What is right and wrong with a region, whether or not it was added. Raises Invalid for unreadable ones."""
        local = self._engines[LOCAL]
        if region.name == LOCAL and isinstance(local, Examines):
            return await local.examine()
        if region.name == LOCAL:
            return (Examined("engine", True, "instances are containers of this machine; see `lee doctor`"),)
        engine = self._engines[region.name] if self._known.get(region.name) == region else self._make(region)
        return await engine.examine() if isinstance(engine, Examines) else ()

    async def leave(self, region: Region) -> None:
        """Take away what is the platform's own in a region that is removed. Raises Unavailable."""
        engine = self._engines[region.name] if self._known.get(region.name) == region else self._make(region)
        if isinstance(engine, Leaves):
            await engine.leave()

    def _engine(self, region: str) -> Engine:
        engine = self._engines.get(region)
        if engine is None:
            there = ", ".join(sorted(self._engines))
            raise Unavailable(
                f"region '{region}' is not there, but {there}", hint="see `lee doctor --region` and `lee regions list`"
            )
        return engine


def _timer(engine: Engine) -> Timer:
    """The engine, as one that runs what has a schedule."""
    if not isinstance(engine, Timer):
        raise Unavailable("this engine runs nothing by the clock")
    return engine
