"""Run workloads on a Kubernetes cluster."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, assert_never

from leeward.engines.kubernetes.builds import take_away
from leeward.engines.kubernetes.capabilities import Doctor
from leeward.engines.kubernetes.claims import Claims
from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.deeds import Deeds
from leeward.engines.kubernetes.follow import Follower
from leeward.engines.kubernetes.kinds import DEPLOYMENT, SERVICE
from leeward.engines.kubernetes.manifests import manifests
from leeward.engines.kubernetes.names import INSTANCE, RUN, namespace, service_name
from leeward.engines.kubernetes.plan import Drop, Mark, Scale, Serve, Step, next_steps, own
from leeward.engines.kubernetes.pods import Pod
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.runs import Runs
from leeward.engines.kubernetes.scaling import chosen, kept
from leeward.engines.kubernetes.sight import Sight
from leeward.engines.kubernetes.timers import Timers
from leeward.engines.kubernetes.usage import Meter
from leeward.engines.loglines import LogSink
from leeward.engines.loop import Tasks, every
from leeward.errors import Problem
from leeward.model.region import Examined
from leeward.model.run import Run, SeenRun, Timed, Wanted
from leeward.model.runtime import Observed, Usage, Workload
from leeward.model.volume import Volume
from leeward.ports.world import Clock, Say

_SWEEP_S = 60.0
_AGAIN_S = 1.0
# Well within the time for which a node may be silent before the cluster replaces what ran there.
_DISKS_S = 5.0
# Its node does not answer: nor would it give a log.
_SILENT_S = 15.0
_LOG_END_S = 5.0
# Until the cluster has made the pods that a Deployment asks for: tens of milliseconds, when it makes them at all.
_APPEAR_S = 2.0


class KubernetesEngine:
    """The port `Engine` on one cluster. What runs outlives this object, and is found again by its labels."""

    def __init__(self, rules: Rules, kubeconfig: str, context: str, logs: LogSink, clock: Clock) -> None:
        self._clock = clock
        self.cluster = Cluster(rules.region, kubeconfig, context)
        self.rules = rules
        self._tasks = Tasks()
        self.sight = Sight(self.cluster, rules, self._now)
        self._deeds = Deeds(self.cluster, rules, self.sight)
        self._follower = Follower(self.cluster, logs)
        self._runs = Runs(self.cluster, rules, self.sight, self._deeds)
        self._timers = Timers(self.cluster, rules, self.sight, self._deeds, self._now)
        self._meter = Meter(self.cluster, self.sight, self._now)
        self._doctor = Doctor(self.cluster, rules)
        self._claims = Claims(self.cluster, rules, self.sight)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._empty: frozenset[str] = frozenset()
        self._running = False
        self.sight.settle = self._settle

    @property
    def own_way_in(self) -> bool:
        """Whether requests reach apps by the cluster's own gateway, which the platform's edge does not see."""
        return bool(self.rules.gateway or self.rules.gateway_class)

    @property
    def wakes(self) -> bool:
        """Whether something holds requests for an app that is asleep."""
        return not self.own_way_in or (bool(self.rules.gateway) and self._deeds.interceptor)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    # --- watching -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch what runs until cancelled; the cluster may come and go."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as group:
                for watch in (*self.sight.watches, self._claims.watch):
                    group.create_task(watch.run())
                group.create_task(every(_SWEEP_S, "sweep", self.sweep))
                group.create_task(every(_DISKS_S, "disks", self.hold))
        finally:
            self._running = False
            await self.close()

    async def close(self) -> None:
        """Let go of the cluster. What runs goes on."""
        await self._tasks.close()
        await self.cluster.close()

    def _settle(self, before: Pod | None, after: Pod | None) -> None:
        """Follow what a new process prints."""
        if after is None:
            return
        # A run may have ended before anybody saw it running.
        ended = after.role == RUN and after.ended is not None
        if not (after.role in (INSTANCE, RUN) and (after.running or ended)):
            return
        if before is None or (before.container, before.running) != (after.container, after.running):
            self._follow(after)

    def _follow(self, pod: Pod) -> str:
        def again() -> None:
            now = self.sight.pods.items.get((pod.namespace, pod.name))
            if now is not None and now.running and now.container == pod.container:
                # Not at once: a log that ends while its process still runs must not become a busy loop.
                after = _SILENT_S if self.sight.silent(pod.node) else _AGAIN_S
                asyncio.get_running_loop().call_later(after, self._settle, None, now)

        key = f"{pod.uid}/{pod.container}"
        self._tasks.start("log", key, lambda: self._follower.follow(pod), again)
        return key

    async def sweep(self) -> None:
        """Remove the namespaces of projects that have been empty for two looks, and what single runs left."""
        await self.sight.ready()
        empty = frozenset(name for _, name in self.sight.empty_projects())
        for name in sorted(empty & self._empty):
            await self._deeds.drop_namespace(name)
        self._empty = empty
        if self.own_way_in:
            await self._deeds.look_for_interceptor()
        await self._runs.sweep()

    async def hold(self) -> None:
        """Keep what has a disk together, on a node that answers."""
        await self.sight.ready()
        await self._deeds.hold()

    # --- the port -----------------------------------------------------------------------------------------

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        """Move toward `want` as far as is safe now."""
        async with self._locks[want.app]:
            await self.sight.ready()
            self.sight.served(want.app, want.process, want.routed)
            groups = self.sight.of_process(want.app, want.process)
            mine = groups.get(want.generation)
            await self._deeds.begin()
            asleep = self._deeds.sleeps(want)
            want = chosen(want, mine.replicas if mine is not None else None, self.rules, asleep=asleep)
            service = self.sight.find(SERVICE, (namespace(want.project), service_name(want.app, want.process)))
            steps = next_steps(
                want,
                self.sight.observed(want.app).of(want.process),
                {generation: one.replicas for generation, one in groups.items()},
                self._now(),
                keep,
                self.sight.memory(want, service.generation if service is not None else None),
            )
            steps = kept(steps, want) if asleep else steps
            if mine is None:
                serves = any(isinstance(step, Serve) for step in steps)
                for step in steps:
                    if isinstance(step, Scale) and step.generation == want.generation:
                        await self._deeds.ask(want, step.replicas, serves=serves)
            await self._volumes_of(want)
            for step in own(steps, want, keep):
                await self._do(step, want)
            if any(isinstance(step, Scale) for step in steps):
                await self._appeared(want)

    async def _volumes_of(self, want: Workload) -> None:
        if want.volumes and want.instances:
            await self._deeds.have_project(want.project)
            await self._claims.ensure(want)

    async def _do(self, step: Step, want: Workload) -> None:
        match step:
            case Serve(generation):
                await self._deeds.serve(want, generation)
            case Mark(instance, since):
                await self._deeds.mark(instance, since)
                if since is not None and want.health is not None:
                    # The caller looks again when its time is over.
                    loop = asyncio.get_running_loop()
                    loop.call_later(want.health.drain + 0.01, self.sight.changed, want.app)
            case Scale(generation, replicas, gone):
                if generation == want.generation:
                    await self._deeds.start(want, replicas)
                else:
                    await self._deeds.scale(want, generation, replicas)
                self.sight.leave(gone)
            case Drop(generation):
                await self._deeds.drop(want.app, want.process, generation)
            case _:
                assert_never(step)

    async def _appeared(self, want: Workload) -> None:
        """Wait a moment for the pods that were asked for, so that whoever looks next sees them."""
        try:
            async with asyncio.timeout(_APPEAR_S):
                while True:
                    moved = self.sight.moved(want.app)
                    one = self.sight.of_process(want.app, want.process).get(want.generation)
                    seen = self.sight.observed(want.app).of(want.process)
                    here = sum(i.generation == want.generation for i in seen)
                    if one is None or one.refused or here >= one.replicas:
                        return
                    await moved.wait()
        except TimeoutError:
            return

    async def remove(self, app: str, keep: frozenset[str] = frozenset()) -> None:
        """Stop what runs of `app`, but for the processes in `keep`; everything that belongs to it goes."""
        async with self._locks[app]:
            await self.sight.ready()
            gone = [(kind, key) for kind, key, each in self.sight.of_app(app) if each.process not in keep]
            for kind, key in gone:
                await self._deeds.delete(kind, key)
            if any(kind is DEPLOYMENT for kind, _ in gone):
                self.sight.changed(app)

    async def observe(self, app: str) -> Observed:
        """Report what runs, whoever started it."""
        await self.sight.ready()
        return self.sight.observed(app)

    async def apps(self) -> frozenset[str]:
        """The apps of which anything is there."""
        await self.sight.ready()
        return self.sight.apps()

    def changes(self) -> AsyncIterator[str]:
        """The name of an app, each time something about its instances changed."""
        return self.sight.changes()

    async def usage(self) -> Sequence[Usage]:
        """CPU and memory of every instance, as the nodes counted them last."""
        return await self._meter.usage()

    async def exec(self, instance: str, command: Sequence[str]) -> tuple[int, bytes]:
        """Run a command in an instance: exit code and output."""
        await self.sight.ready()
        return await self._runs.exec(instance, command)

    async def run_once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """Run one command in a fresh instance of `want`, to its end; its exit code."""
        await self.sight.ready()
        await self._volumes_of(want)
        return await self._runs.once(want, command, say, timeout_s)

    # --- by the clock -------------------------------------------------------------------------------------

    async def schedule(self, app: str, wants: Sequence[Timed]) -> bool:
        """Have a CronJob for each: the cluster begins what is due."""
        async with self._locks[app]:
            await self.sight.ready()
            await self._timers.schedule(app, wants)
        return True

    async def begin(self, want: Timed, run: Run) -> None:
        """Have a job for a run that somebody asked for."""
        async with self._locks[run.app]:
            await self.sight.ready()
            await self._timers.begin(want, run)

    async def runs(self, app: str) -> Sequence[SeenRun]:
        """Every run whose job is there."""
        await self.sight.ready()
        return self._timers.seen(app)

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What an ended run printed last; all that it printed is in the log then."""
        pod = self._timers.last_pod(app, run)
        if pod is not None and pod.container:
            await self._tasks.wait("log", self._follow(pod), _LOG_END_S)
        return await self._timers.last_lines(app, run)

    async def end(self, app: str, run: str) -> None:
        """Begin to end a run before its time."""
        await self._timers.end(app, run)

    async def forget(self, app: str, run: str) -> None:
        """Take away what is left of a run that has ended."""
        await self._timers.forget(app, run)

    # --- volumes ------------------------------------------------------------------------------------------

    async def volumes(self, app: str = "") -> Sequence[Volume]:
        """Every volume, of one app or of all."""
        await self.sight.ready()
        return await self._claims.list(app)

    async def delete_volume(self, volume: Volume) -> None:
        """Have a volume go that nobody uses, with all that is in it."""
        await self.sight.ready()
        await self._claims.delete(volume)

    async def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """What of the volumes of these workloads this cluster cannot do."""
        return await self._claims.unfit(wants)

    # --- further abilities --------------------------------------------------------------------------------

    def render(self, wants: Iterable[Wanted]) -> Sequence[Mapping[str, Any]]:
        """The objects that workloads become, secrets as stars, in the order in which they are applied."""
        return manifests(wants, self.rules)

    async def examine(self) -> Sequence[Examined]:
        """What is right and wrong with the cluster; also asked of one that is not added yet."""
        try:
            found = await self._doctor.examine()
            if len(found) < 2:
                # It does not answer.
                return found
            return (*found, await self._claims.examine())
        finally:
            if not self._running:
                await self.cluster.close()

    async def leave(self) -> None:
        """Take away what is the platform's own in the cluster: the pool that builds. Raises Unavailable."""
        try:
            await take_away(self.cluster, self.rules)
        finally:
            if not self._running:
                await self.cluster.close()
