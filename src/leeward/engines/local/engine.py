"""Run workloads on this machine's Docker Engine."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import assert_never

from leeward.engines.local import firewall
from leeward.engines.local.cgroup import Cgroups
from leeward.engines.local.container import INSTANCE, MIB, ONCE, RUN, home_id
from leeward.engines.local.deeds import Deeds
from leeward.engines.local.disks import Disks
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.follow import Follower
from leeward.engines.local.plan import Drain, Start, Step, Stop, Unboost, boosts, lowered, next_steps
from leeward.engines.local.runs import Runs
from leeward.engines.local.sight import REFRESH_S, Sight
from leeward.engines.local.timers import Timers
from leeward.engines.local.volumes import Volumes
from leeward.engines.local.watch import Watch
from leeward.engines.loglines import LogSink
from leeward.engines.loop import Tasks, every, forever
from leeward.errors import LeewardError, Problem
from leeward.model.run import Run, SeenRun, Timed
from leeward.model.runtime import InstanceState, Observed, Usage, Workload
from leeward.model.volume import Volume
from leeward.ports.world import Clock, Say
from leeward.settings import Settings

_FIREWALL_S = 30.0
_DISKS_S = 60.0
_BOOST_S = 0.5
_TIMED_S = 1.0


class LocalEngine:
    """The port `Engine` on Docker. What runs outlives this object, and is found again by its labels."""

    def __init__(self, settings: Settings, logs: LogSink, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.home = home_id(str(settings.home.resolve()))
        self._dockerd = Dockerd(settings.docker_socket)
        self._tasks = Tasks()
        self._sight = Sight(self._dockerd, self.home, self._now)
        follower = Follower(self._dockerd, logs)
        self._watch = Watch(self._dockerd, self.home, self._sight, follower, self._tasks, self._now, settings.domain)
        self._volumes = Volumes(self._dockerd, self.home, settings.home / "volumes", self._sight)
        self._deeds = Deeds(
            self._dockerd, self.home, settings.network_pool, self._sight, follower, self._tasks, self._volumes
        )
        self._runs = Runs(self._dockerd, self._sight, self._deeds)
        self._timers = Timers(
            self._dockerd,
            self.home,
            self._sight,
            self._deeds,
            follower,
            self._tasks,
            self._now,
            self._watch.out_of_memory,
        )
        self._disks = Disks(self._dockerd, self._sight, self._deeds, follower, settings.instance_disk_mib)
        self._cgroups = Cgroups()
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._boosting = 0
        self._sight.settle = self._watch.settle

    def _now(self) -> float:
        return self._clock.now().timestamp()

    # --- watching -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch what runs until cancelled; dockerd may come and go."""
        self._watch.on = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(forever("docker events", self._watch.events))
                group.create_task(every(REFRESH_S, "full list", self._sight.refresh))
                group.create_task(every(_FIREWALL_S, "firewall", self._hold_firewall))
                group.create_task(every(_BOOST_S, "boost", self._lower))
                group.create_task(every(_DISKS_S, "disks", self.bound_disks))
                group.create_task(every(_DISKS_S, "volumes", self.measure_volumes))
                group.create_task(every(_TIMED_S, "time of runs", self._timers.bound))
                group.create_task(forever("leftovers", self._sweep_leftovers))
        finally:
            self._watch.on = False
            await self.close()

    async def close(self) -> None:
        """Let go of Docker. What runs goes on."""
        await self._tasks.close()
        await self._dockerd.close()

    async def bound_disks(self) -> None:
        """End instances that wrote more than they may."""
        await self._disks.bound(self._now())

    async def _hold_firewall(self) -> None:
        if self._sight.containers:
            await firewall.hold()

    async def _lower(self) -> None:
        containers = self._sight.instances()
        seen = tuple(self._sight.shown(c) for c in containers if c.boosted and c.running)
        for step in lowered(seen, self._now(), self._settings.boost_s):
            await self._do(step, None)

    async def _sweep_leftovers(self) -> None:
        """Remove one-time containers of a control plane that is no more."""
        await self._sight.fresh_enough()
        for container in tuple(self._sight.containers.values()):
            if container.role == ONCE and container.name not in self._runs.own:
                self._deeds.stop(container)
        await asyncio.sleep(3600)

    # --- the port -----------------------------------------------------------------------------------------

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        """Move toward `want` as far as is safe now."""
        async with self._locks[want.app]:
            await self._sight.fresh_enough()
            self._sight.served(want.app, want.process, want.routed)
            host = await self._deeds.host()
            boosted = self._boosting + sum(container.boosted for container in self._sight.instances())
            settings = self._settings
            steps = next_steps(
                want,
                self._sight.observed(want.app).of(want.process),
                self._now(),
                keep,
                self._sight.memory(),
                boosts(want, boosted, settings.boost_instances, host.cores, settings.boost_s),
            )
            starts = [step for step in steps if isinstance(step, Start)]
            pending = sum(step.millicpu > want.millicpu for step in starts)
            self._boosting += pending
            try:
                for step in steps:
                    if not isinstance(step, Start):
                        await self._do(step, want)
                await self._all_started(want, starts)
            finally:
                self._boosting -= pending

    async def _all_started(self, want: Workload, starts: Sequence[Start]) -> None:
        results = await asyncio.gather(*(self._do(step, want) for step in starts), return_exceptions=True)
        for failure in (result for result in results if isinstance(result, BaseException)):
            raise failure

    async def _do(self, step: Step, want: Workload | None) -> None:
        match step:
            case Start(millicpu):
                assert want is not None
                await self._deeds.start(want, millicpu)
            case Drain(instance, since):
                self._drain(instance, since, want)
            case Stop(instance):
                if (container := self._sight.named(instance)) is not None:
                    self._deeds.stop(container)
            case Unboost(instance):
                if (container := self._sight.named(instance)) is not None:
                    await self._deeds.unboost(container)
            case _:
                assert_never(step)

    def _drain(self, instance: str, since: float | None, want: Workload | None) -> None:
        container = self._sight.named(instance)
        if container is None:
            return
        self._sight.draining[instance] = since
        self._sight.changed(container.app)
        self._watch.settle(container)
        if since is not None and want is not None and want.health is not None:
            # The caller looks again when its time is over.
            asyncio.get_running_loop().call_later(want.health.drain + 0.01, self._sight.changed, container.app)

    async def remove(self, app: str, keep: frozenset[str] = frozenset()) -> None:
        """Stop what runs of `app`, but for the processes in `keep`; with none kept its networks go too."""
        async with self._locks[app]:
            await self._sight.fresh_enough()
            mine = (*self._sight.instances(), *self._timers.containers(app))
            gone = [c for c in mine if c.app == app and c.process not in keep]
            for container in gone:
                self._deeds.stop(container)
        if not keep:
            ids = frozenset(container.id for container in gone)
            self._tasks.start("sweep", app, lambda: self._sweep_networks(ids))

    async def _sweep_networks(self, ids: frozenset[str]) -> None:
        for id in ids:
            await self._tasks.wait("stop", id, 80)
        await self.sweep()

    async def sweep(self) -> None:
        """Remove the networks of projects in which nothing is left."""
        await self._deeds.sweep_networks()

    async def observe(self, app: str) -> Observed:
        """Report what runs, whoever started it."""
        await self._looked()
        return self._sight.observed(app)

    async def apps(self) -> frozenset[str]:
        """The apps of which anything runs."""
        await self._looked()
        return frozenset(c.app for c in self._sight.containers.values() if c.role in (INSTANCE, RUN))

    async def _looked(self) -> None:
        """Have looked once; later a dockerd that does not answer makes what we know old, not wrong."""
        try:
            await self._sight.fresh_enough()
        except LeewardError:
            if not self._sight.looked:
                raise

    def changes(self) -> AsyncIterator[str]:
        """The name of an app, each time something about its instances changed."""
        return self._sight.changes()

    async def usage(self) -> Sequence[Usage]:
        """CPU and memory of every instance, from the kernel's files."""
        found = []
        for container in self._sight.instances():
            used = self._cgroups.used(container.id, container.pid) if container.pid else None
            if used is not None:
                found.append(
                    Usage(
                        container.name,
                        container.app,
                        container.process,
                        used.cpu_s,
                        used.memory_bytes,
                        container.nano_cpus // 1_000_000,
                        container.memory_mib * MIB,
                        used.throttled_s,
                        self._sight.shown(container).state is InstanceState.READY and not container.boosted,
                    )
                )
        self._cgroups.forget(frozenset(self._sight.containers))
        return tuple(found)

    async def exec(self, instance: str, command: Sequence[str]) -> tuple[int, bytes]:
        """Run a command in an instance: exit code and output."""
        await self._looked()
        return await self._runs.exec(instance, command)

    async def run_once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """Run one command in a fresh instance of `want`, to its end; its exit code."""
        return await self._runs.once(want, command, say, timeout_s)

    # --- by the clock -------------------------------------------------------------------------------------

    async def schedule(self, app: str, wants: Sequence[Timed]) -> bool:
        """Docker has no clock: the caller begins what is due."""
        return False

    async def begin(self, want: Timed, run: Run) -> None:
        """Have this run in a container of its own, which has the run's name: there is never a second one."""
        await self._looked()
        async with self._locks[run.app]:
            await self._timers.begin(want, run)

    async def runs(self, app: str) -> Sequence[SeenRun]:
        """Every run whose container is there."""
        await self._looked()
        return await self._timers.seen(app)

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What an ended run printed last; all that it printed is in the log then."""
        return await self._timers.last_lines(app, run)

    async def end(self, app: str, run: str) -> None:
        """Begin to end a run before its time."""
        self._timers.end(app, run)

    async def forget(self, app: str, run: str) -> None:
        """Remove the container of a run that has ended."""
        await self._timers.forget(app, run)

    # --- volumes ------------------------------------------------------------------------------------------

    async def volumes(self, app: str = "") -> Sequence[Volume]:
        """Every volume, of one app or of all."""
        await self._looked()
        return await self._volumes.list(app)

    async def measure_volumes(self) -> None:
        """Count what is in each volume, where that was not done lately."""
        await self._volumes.measure()

    async def delete_volume(self, volume: Volume) -> None:
        """Remove a volume that nobody uses, with all that is in it."""
        await self._volumes.delete(volume)

    async def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """Every instance of this machine can share a volume."""
        return ()
