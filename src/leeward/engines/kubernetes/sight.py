"""Know what runs in a cluster: instances, their generations, and every object that belongs to them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from leeward.engines.changes import Changes
from leeward.engines.kubernetes import observe
from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.index import Index
from leeward.engines.kubernetes.informer import Informer, Key
from leeward.engines.kubernetes.kinds import (
    CRON_JOB,
    DEPLOYMENT,
    ENDPOINTS,
    EVENT,
    JOB,
    NODE,
    OF_APPS,
    OF_PROJECTS,
    OPTIONAL,
    POD,
    Kind,
)
from leeward.engines.kubernetes.names import HOME, INSTANCE, RUN, group_name, service_name
from leeward.engines.kubernetes.nodes import Room, room
from leeward.engines.kubernetes.objects import Endpoints, Group, Known, endpoints, group, known
from leeward.engines.kubernetes.plan import Memory
from leeward.engines.kubernetes.pods import Pod, read, seconds
from leeward.engines.kubernetes.reasons import Largest
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.runs_seen import Job, job
from leeward.errors import Unavailable
from leeward.model.runtime import Instance, InstanceState, Observed, Workload

_SYNC_S = 10.0
# The cluster chooses what to end; if it chose another instance, this one is asked for again.
_LEAVING_S = 5.0


@dataclass(frozen=True, slots=True)
class _Check:
    """The node's word on a health check that failed."""

    uid: str
    at: float
    message: str


class Sight:
    """What the watches say of one platform in one cluster."""

    def __init__(self, cluster: Cluster, rules: Rules, now: Callable[[], float]) -> None:
        self._rules = rules
        self._now = now
        self._changes = Changes()
        self._moved: dict[str, asyncio.Event] = {}
        self._served: set[str] = set()
        self._fresh: set[str] = set()
        self._leaving: dict[str, float] = {}
        self._baselines: dict[tuple[str, Key, str], str] = {}
        self._checks: dict[str, _Check] = {}
        self._pods_by_app: Index[Key, Pod] = Index(lambda pod: pod.app)
        self._pods_by_name: Index[Key, Pod] = Index(lambda pod: pod.name)
        self._pods_by_uid: Index[Key, Pod] = Index(lambda pod: pod.uid)
        self._groups_by_app: Index[Key, Group] = Index(lambda one: one.known.app)
        self._jobs_by_app: Index[Key, Job] = Index(lambda one: one.known.app)
        self._objects_by_app: Index[tuple[str, Key], Known] = Index(lambda each: each.app)
        self._by_project: Index[tuple[str, Key], Known] = Index(lambda each: each.project)
        self._largest: Largest | None = None
        self.settle: Callable[[Pod | None, Pod | None], None] = lambda before, after: None
        """Called after each change of a pod, old and new."""
        mine = {"labelSelector": f"{HOME}={rules.home}"}
        self.pods: Informer[Pod] = Informer(cluster, POD, read, self._pod, match=mine, quiet=False)
        self.groups: Informer[Group] = Informer(cluster, DEPLOYMENT, group, self._group, match=mine)
        failed = {"fieldSelector": "involvedObject.kind=Pod,reason=Unhealthy"}
        self._events: Informer[_Check] = Informer(cluster, EVENT, _check, self._event, match=failed, optional=True)
        self._nodes: Informer[Room] = Informer(cluster, NODE, room, self._node, optional=True)
        self._endpoints_by_app: Index[Key, Endpoints] = Index(lambda each: each.app)
        self._endpoints: Informer[Endpoints] = Informer(
            cluster, ENDPOINTS, endpoints, self._led, match=mine, optional=True
        )
        self.objects: dict[str, Informer[Known]] = {
            kind.kind: Informer(
                cluster, kind, known, self._object(kind), match=mine, partial=True, optional=kind in OPTIONAL
            )
            for kind in (*OF_PROJECTS, *OF_APPS, *OPTIONAL)
            if kind is not JOB
        }
        self.jobs: Informer[Job] = Informer(cluster, JOB, job, self._job, match=mine)

    @property
    def home(self) -> str:
        """The platform whose objects these are."""
        return self._rules.home

    @property
    def watches(self) -> tuple[Informer[Any], ...]:
        """All of them, to be run."""
        return (self.groups, self.jobs, *self.objects.values(), self._nodes, self._events, self._endpoints, self.pods)

    async def ready(self) -> None:
        """Have looked at everything once. Raises what keeps us from it; later, what is known may be old, not wrong."""
        needed = [watch for watch in self.watches if not watch.synced.is_set() and watch is not self._events]
        if not needed:
            return
        try:
            async with asyncio.timeout(_SYNC_S):
                for watch in needed:
                    await watch.outcome.wait()
        except TimeoutError as error:
            raise Unavailable(f"region '{self._rules.region}' has not been looked at yet") from error
        for watch in needed:
            if watch.failed is not None and not watch.synced.is_set():
                raise watch.failed

    # --- hearing ------------------------------------------------------------------------------------------

    def _pod(self, key: Key, before: Pod | None, after: Pod | None) -> None:
        for index in (self._pods_by_app, self._pods_by_name, self._pods_by_uid):
            index.told(key, before, after)
        pod = after or before
        assert pod is not None
        if after is None:
            for names in (self._served, self._fresh):
                names.discard(pod.name)
            self._leaving.pop(pod.name, None)
            self._checks.pop(pod.uid, None)
        elif before is None and self.pods.synced.is_set() and pod.role == INSTANCE:
            self._fresh.add(pod.name)
        if after is not None and not after.path and after.ready and not (before and before.ready):
            # A worker is ready when it has lived for a while: somebody should look then.
            later = observe.next_look_s({pod.name: after}, self._now())
            if later is not None:
                asyncio.get_running_loop().call_later(later, self.changed, after.app)
        self.settle(before, after)
        self.changed(pod.app)

    def _group(self, key: Key, before: Group | None, after: Group | None) -> None:
        self._groups_by_app.told(key, before, after)
        self._known(DEPLOYMENT, key, before.known if before else None, after.known if after else None)
        one = after or before
        assert one is not None
        self.changed(one.known.app)

    def _job(self, key: Key, before: Job | None, after: Job | None) -> None:
        self._jobs_by_app.told(key, before, after)
        self._known(JOB, key, before.known if before else None, after.known if after else None)
        one = after or before
        assert one is not None
        self.changed(one.known.app)

    def _object(self, kind: Kind) -> Callable[[Key, Known | None, Known | None], None]:
        def told(key: Key, before: Known | None, after: Known | None) -> None:
            self._objects_by_app.told((kind.kind, key), before, after)
            self._known(kind, key, before, after)
            one = after or before
            assert one is not None
            if after is None or self.drifted(kind, key, after):
                # What all apps of a project share concerns each of them.
                for app in {one.app} if one.app else self._apps_of(one.project):
                    self.changed(app)

        return told

    def _led(self, key: Key, before: Endpoints | None, after: Endpoints | None) -> None:
        self._endpoints_by_app.told(key, before, after)
        one = after or before
        assert one is not None
        self.changed(one.app)

    def _leads(self, app: str, service: str) -> frozenset[str]:
        """The instances to which a Service leads."""
        parts = (each.ready for each in self._endpoints_by_app.of(app).values() if each.service == service)
        return frozenset().union(*parts)

    def _node(self, key: Key, before: Room | None, after: Room | None) -> None:
        # Counted when it is asked for: a thousand nodes that are seen for the first time are a thousand changes.
        self._largest = None

    def _known(self, kind: Kind, key: Key, before: Known | None, after: Known | None) -> None:
        self._by_project.told((kind.kind, key), before, after)
        if after is None:
            if before is not None:
                self._baselines.pop((kind.kind, key, before.uid), None)
        elif (kind.kind, key, after.uid) not in self._baselines:
            # At first sight what it is counts as what we made of it, unless somebody wrote to it later.
            self._baselines[kind.kind, key, after.uid] = "" if after.touched else after.owned

    def _event(self, key: Key, before: _Check | None, after: _Check | None) -> None:
        last = self._checks.get(after.uid) if after is not None else None
        if after is None or (last is not None and last.at > after.at):
            return
        pod = self._pods_by_uid.one(after.uid)
        if pod is not None or not self.pods.synced.is_set():
            self._checks[after.uid] = after
        if pod is not None and (last is None or last.message != after.message):
            self.changed(pod.app)

    # --- objects ------------------------------------------------------------------------------------------

    def find(self, kind: Kind, key: Key) -> Known | None:
        """An object of ours; None when it is not there."""
        if kind is DEPLOYMENT:
            found = self.groups.items.get(key)
            return found.known if found is not None else None
        if kind is JOB:
            one = self.jobs.items.get(key)
            return one.known if one is not None else None
        return self.objects[kind.kind].items.get(key) if kind.kind in self.objects else None

    def drifted(self, kind: Kind, key: Key, seen: Known) -> bool:
        """Whether somebody changed a field of ours."""
        return self._baselines.get((kind.kind, key, seen.uid)) != seen.owned

    def took(self, kind: Kind, shown: Mapping[str, Any]) -> None:
        """The server's answer to our apply: as it is now, it is right."""
        seen = known(shown)
        meta = shown["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        self._baselines[kind.kind, key, seen.uid] = seen.owned
        self._informer(kind).put(shown)

    def gone(self, kind: Kind, key: Key) -> None:
        """We have deleted it."""
        self._informer(kind).drop(key)

    def _informer(self, kind: Kind) -> Informer[Any]:
        if kind is DEPLOYMENT:
            return self.groups
        if kind is JOB:
            return self.jobs
        return self.pods if kind is POD else self.objects[kind.kind]

    def of_app(self, app: str) -> tuple[tuple[Kind, Key, Known], ...]:
        """Every object of an app but its pods; what makes others comes first, so that nothing is started again."""
        found = [(DEPLOYMENT, key, one.known) for key, one in self._groups_by_app.of(app).items()]
        others = [(self.objects[kind].kind, key, each) for (kind, key), each in self._objects_by_app.of(app).items()]
        found += sorted(others, key=lambda each: each[0] is not CRON_JOB)
        found += [(JOB, key, one.known) for key, one in self._jobs_by_app.of(app).items()]
        return tuple(found)

    def jobs_of(self, app: str) -> tuple[Job, ...]:
        """The runs of an app that are not being deleted."""
        return tuple(one for one in self._jobs_by_app.of(app).values() if one.role == RUN and not one.known.deleted)

    def pods_of_job(self, app: str, name: str) -> list[Pod]:
        """The pods that a job made: their names are its own and five letters."""
        return [pod for pod in self._pods_by_app.of(app).values() if pod.name.rpartition("-")[0] == name]

    def empty_projects(self) -> tuple[tuple[str, str], ...]:
        """Project and namespace of those in which nothing of an app is left."""
        spaces = self.objects["Namespace"].items
        return tuple(
            (each.project, name)
            for (_, name), each in spaces.items()
            if not each.deleted and not any(one.app for one in self._by_project.of(each.project).values())
        )

    # --- instances ----------------------------------------------------------------------------------------

    def observed(self, app: str) -> Observed:
        """What is known of an app."""
        found = [self._shown(pod) for pod in self._pods_by_app.of(app).values() if pod.role == INSTANCE]
        for one in self._groups_by_app.of(app).values():
            mine = one.known
            here = sum(i.process == mine.process and i.generation == mine.generation for i in found)
            if one.refused and here < one.replicas:
                at = seconds(one.created_at)
                found.append(observe.refused(app, mine.process, mine.project, mine.generation, one.refused, at))
        return Observed(app, tuple(found))

    def _shown(self, pod: Pod) -> Instance:
        check, one = self._checks.get(pod.uid), self._group_of(pod)
        shown = observe.instance(
            pod,
            self._now(),
            check=check.message if check is not None else "",
            largest=self.largest(),
            host=f"{pod.app}.{self._rules.domain}",
            disk_mib=self._rules.disk_mib,
            stuck="did not get ready within its deadline" if one is not None and one.late else "",
            lost=self.silent(pod.node),
        )
        leaves = self._leaving.get(pod.name)
        if one is None or (leaves is not None and self._now() - leaves < _LEAVING_S):
            return _stopping(shown)
        return shown

    def _group_of(self, pod: Pod) -> Group | None:
        same = (
            one
            for one in self._groups_by_app.of(pod.app).values()
            if (one.known.process, one.known.generation) == (pod.process, pod.generation)
        )
        return next(same, None)

    def silent(self, node: str) -> bool:
        """Whether a node does not answer; False as well when nodes may not be looked at."""
        return self._nodes.items.get(("", node), Room()).silent

    def largest(self) -> Largest | None:
        """The most that any one node has; None when nodes may not be looked at."""
        rooms = self._nodes.items.values()
        if self._largest is None and rooms:
            self._largest = Largest(max(each.millicpu for each in rooms), max(each.memory_mib for each in rooms))
        return self._largest

    def named(self, instance: str) -> Pod | None:
        """The pod of an instance."""
        return self._pods_by_name.one(instance)

    def starting_with(self, app: str, name: str) -> Pod | None:
        """A pod of an app whose name begins so."""
        return next((pod for pod in self._pods_by_app.of(app).values() if pod.name.startswith(name)), None)

    def of_process(self, app: str, process: str) -> dict[int, Group]:
        """The generations of a process."""
        return {
            one.known.generation: one
            for one in self._groups_by_app.of(app).values()
            if one.known.process == process and not one.known.deleted
        }

    def memory(self, want: Workload, serves: int | None) -> Memory:
        """What the plan cannot see in the instances."""
        pods = self._pods_by_app.of(want.app).values()
        draining = {pod.name: pod.since for pod in pods if pod.draining and pod.process == want.process}
        named = self._leads(want.app, service_name(want.app, want.process))
        # Whatever the name led to may have had requests.
        self._fresh -= named
        return Memory(
            draining,
            frozenset(pod.name for pod in pods if pod.name in self._fresh),
            serves,
            None
            if self._endpoints.absent
            else self._leads(want.app, group_name(want.app, want.process, want.generation)),
            named,
        )

    def served(self, app: str, process: str, routed: frozenset[str] | None) -> None:
        """Remember which instances have had requests."""
        for shown in self.observed(app).of(process):
            ready = routed is None and shown.state is InstanceState.READY
            if ready or (routed is not None and (shown.id in routed or shown.peer in routed)):
                self._fresh.discard(shown.id)

    def leave(self, instances: tuple[str, ...]) -> None:
        """These have just been told to go."""
        now = self._now()
        self._leaving.update((name, now) for name in instances if name not in self._leaving)
        for name in instances:
            if now - self._leaving[name] >= _LEAVING_S:
                self._leaving[name] = now

    # --- changes ------------------------------------------------------------------------------------------

    def changed(self, app: str) -> None:
        """Say that something of an app changed."""
        self._changes.put(app)
        if (moved := self._moved.pop(app, None)) is not None:
            moved.set()

    def moved(self, app: str) -> asyncio.Event:
        """Set at the next change of an app: whoever waits for one is not woken by all others."""
        return self._moved.setdefault(app, asyncio.Event())

    def changes(self) -> AsyncIterator[str]:
        """The apps of which something changed, from now on."""
        return self._changes.read()

    def apps(self) -> frozenset[str]:
        """The apps of which anything is there."""
        found = {*self._pods_by_app, *self._groups_by_app, *self._objects_by_app, *self._jobs_by_app}
        return frozenset(str(app) for app in found if app)

    def _apps_of(self, project: str) -> set[str]:
        return {each.app for each in self._by_project.of(project).values() if each.app}


def _stopping(shown: Instance) -> Instance:
    return Instance(
        shown.id,
        shown.app,
        shown.process,
        shown.release,
        shown.generation,
        InstanceState.STOPPING,
        shown.host,
        shown.port,
        shown.started_at,
        restarts=shown.restarts,
    )


def _check(shown: Mapping[str, Any]) -> _Check:
    at = shown.get("lastTimestamp") or (shown.get("series") or {}).get("lastObservedTime") or shown.get("eventTime")
    return _Check((shown.get("involvedObject") or {}).get("uid", ""), seconds(at), shown.get("message", ""))
