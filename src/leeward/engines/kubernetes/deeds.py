"""Carry out steps: apply objects and take them away."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.failures import not_ours, still_deleted
from leeward.engines.kubernetes.informer import Key
from leeward.engines.kubernetes.kinds import (
    AUTOSCALER,
    BUDGET,
    DEPLOYMENT,
    GRANT,
    INTERCEPTED,
    NAMESPACE,
    POD,
    ROUTE,
    SCALED,
    SERVICE,
    VOLUME,
    Kind,
    kind_of,
)
from leeward.engines.kubernetes.names import COST, DISK, DRAINING, TAKES, group_name, namespace, service_name, stamped
from leeward.engines.kubernetes.objects import ours
from leeward.engines.kubernetes.pods import misplaced
from leeward.engines.kubernetes.project import project_objects
from leeward.engines.kubernetes.render import announcer, deployment, disruption_budget, environment, service
from leeward.engines.kubernetes.routing import way_in
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.scaling import autoscaler, let_in, sleeper, sleeps
from leeward.engines.kubernetes.sight import Sight
from leeward.errors import Forbidden, RolloutFailed
from leeward.model.runtime import Workload

# Lower than anybody's: of several instances, those that take no requests go first.
_FIRST_TO_GO = "-1000"
# Between asking for a new generation and making it lies nothing but other questions.
_FREE_S = 5.0


class Deeds:
    """The only place that changes anything in the cluster. Touches nothing without our home's label."""

    def __init__(self, cluster: Cluster, rules: Rules, sight: Sight) -> None:
        self._cluster = cluster
        self._rules = rules
        self._sight = sight
        self.interceptor = False
        self._begun = False
        self._free: dict[tuple[str, Key], float] = {}
        """Names that nobody had, and when that was."""
        self._project = lru_cache(256)(self._project_objects)

    def _project_objects(self, project: str) -> tuple[dict[str, Any], ...]:
        return tuple(stamped(made) for made in project_objects(project, self._rules))

    # --- objects ------------------------------------------------------------------------------------------

    async def have(self, made: Mapping[str, Any]) -> None:
        """Have an object as it is rendered; sends nothing when it is so already. Raises Conflict for a stranger's."""
        kind, meta = kind_of(made), made["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        seen = self._sight.find(kind, key)
        wished = meta["annotations"]["leeward.dev/applied"]
        if seen is not None and seen.deleted:
            shown = await self._cluster.get(kind, *key)
            raise still_deleted(kind.kind, meta["name"], shown or {})
        if seen is not None and seen.applied == wished and not self._sight.drifted(kind, key, seen):
            return
        if seen is None and not self._was_free(kind, key):
            await self._refuse_strangers(kind, key)
        self._sight.took(kind, await self._cluster.apply(made))

    async def _refuse_strangers(self, kind: Kind, key: Key) -> None:
        """Raises Conflict where somebody else's object has this name."""
        found = await self._cluster.get(kind, *key)
        if found is not None and not ours(found, self._rules.home):
            raise not_ours(kind.kind, key[1], key[0])

    def _was_free(self, kind: Kind, key: Key) -> bool:
        """Whether a name was found to be free just now: then it is not asked for twice. True once."""
        at = self._free.pop((kind.kind, key), None)
        return at is not None and asyncio.get_running_loop().time() - at < _FREE_S

    async def delete(self, kind: Kind, key: Key) -> None:
        """Have an object go; it is forgotten at once."""
        await self._cluster.delete(kind, *key)
        self._sight.gone(kind, key)

    async def have_project(self, project: str) -> None:
        """Have what all apps of a project share."""
        for made in self._project(project):
            await self.have(made)

    async def drop_namespace(self, name: str) -> None:
        """Have a whole namespace go, unless it holds data."""
        grant = (self._rules.interceptor.partition("/")[0], name)
        if self._sight.find(GRANT, grant) is not None:
            await self.delete(GRANT, grant)
        volumes = await self._cluster.ask("GET", VOLUME.path(name), what="volumes", params={"limit": "1"})
        if not volumes.get("items"):
            await self._cluster.delete(NAMESPACE, "", name)

    # --- steps --------------------------------------------------------------------------------------------

    async def serve(self, want: Workload, generation: int) -> None:
        """Let the name of the process stand for a generation."""
        await self.have_project(want.project)
        await self.have(stamped(service(want, self._rules, generation)))
        hosts = (f"{want.app}.{self._rules.domain}", *want.hosts)
        gateway = not self._sight.objects[ROUTE.kind].absent
        asleep = gateway and self.sleeps(want)
        leads = replace(want, generation=generation)
        # What wakes it is there before requests go that way, and goes when none do.
        if asleep:
            await self._sleep(leads, hosts)
        for made in way_in(want, hosts, self._rules, gateway_api=gateway, sleeps=asleep):
            await self.have(stamped(made))
        if not asleep:
            for kind in (SCALED, INTERCEPTED):
                await self._unless_absent(kind, want.project, service_name(want.app, want.process))

    def sleeps(self, want: Workload) -> bool:
        """Whether the cluster lets this process sleep, and wakes it."""
        return sleeps(want, self._rules, interceptor=self.interceptor)

    async def begin(self) -> None:
        """Have looked once: what sleeps must not lose its way in, nor what has a disk its node, because nobody has."""
        if self._begun:
            return
        if self._rules.gateway:
            await self.look_for_interceptor()
        await self.hold()
        self._begun = True

    async def look_for_interceptor(self) -> None:
        """See whether what wakes processes is there: its kinds, and the Service that holds requests."""
        kinds = not any(self._sight.objects[kind.kind].absent for kind in (SCALED, INTERCEPTED))
        space, _, name = self._rules.interceptor.partition("/")
        try:
            self.interceptor = kinds and await self._cluster.get(SERVICE, space, name) is not None
        except Forbidden:
            self.interceptor = False

    async def _sleep(self, want: Workload, hosts: tuple[str, ...]) -> None:
        """Have what puts a process to sleep and wakes it."""
        assert want.bounds is not None
        # KEDA scales nothing that another autoscaler does.
        await self._unless_absent(AUTOSCALER, want.project, group_name(want.app, want.process, want.generation))
        for made in (let_in(want.project, self._rules), *sleeper(want, want.bounds, hosts, self._rules)):
            await self.have(stamped(made))

    async def ask(self, want: Workload, replicas: int, *, serves: bool) -> None:
        """Ask whether the cluster takes a new generation, before any of it is made. Raises what it says."""
        await self.have_project(want.project)
        names = (stamped(service(want, self._rules, want.generation)),) if serves else ()
        free: list[tuple[str, Key]] = []
        for made in (*names, *self._generation(want, replicas)):
            kind, key = kind_of(made), (made["metadata"]["namespace"], made["metadata"]["name"])
            await self._refuse_strangers(kind, key)
            free.append((kind.kind, key))
            try:
                await self._cluster.apply(made, dry_run=True)
            except RolloutFailed as error:
                # A webhook with effects of its own cannot be asked beforehand.
                if "not support dry run" not in error.message:
                    raise
        self._free.update(dict.fromkeys(free, asyncio.get_running_loop().time()))

    def _generation(self, want: Workload, replicas: int) -> Iterator[dict[str, Any]]:
        yield stamped(announcer(want, self._rules))
        yield stamped(environment(want, self._rules))
        if (budget := disruption_budget(want, self._rules)) is not None:
            yield stamped(budget)
        yield stamped(deployment(want, self._rules, replicas))

    async def start(self, want: Workload, replicas: int) -> None:
        """Have so many instances of this generation."""
        await self.have_project(want.project)
        if disruption_budget(want, self._rules) is None:
            await self._unless_absent(BUDGET, want.project, group_name(want.app, want.process, want.generation))
        for made in self._generation(want, replicas):
            await self.have(made)
        scaler = autoscaler(want, want.bounds, self._rules) if want.bounds is not None else None
        # What scales down to nothing scales up as well: two of them would fight.
        if scaler is not None and not self.sleeps(want):
            await self.have(stamped(scaler))
        else:
            # The cluster would go on scaling what the platform scales now.
            await self._unless_absent(AUTOSCALER, want.project, group_name(want.app, want.process, want.generation))

    async def scale(self, want: Workload, generation: int, replicas: int) -> None:
        """Have so many instances of an older generation."""
        one = self._sight.of_process(want.app, want.process).get(generation)
        if one is None or one.replicas == replicas:
            return
        body = {"spec": {"replicas": replicas}}
        if (shown := await self._cluster.patch(DEPLOYMENT, one.namespace, one.name, body)) is not None:
            self._sight.groups.put(shown)

    async def mark(self, instance: str, since: float | None) -> None:
        """Let an instance take no more requests, and go before others."""
        pod = self._sight.named(instance)
        if pod is None or pod.deleted:
            return
        mark = "routed" if since is None else f"{since:.3f}"
        body: dict[str, Any] = {"metadata": {"annotations": {DRAINING: mark, COST: _FIRST_TO_GO}}}
        served = self._sight.find(SERVICE, (pod.namespace, service_name(pod.app, pod.process)))
        if served is not None and served.generation == pod.generation:
            # The name of the process leads here. One that has moved to another generation already lets go by itself:
            # the cluster might see a label change first, and lead nowhere for a moment.
            body["metadata"]["labels"] = {TAKES: "no"}
        if (shown := await self._cluster.patch(POD, pod.namespace, pod.name, body)) is not None:
            self._sight.pods.put(shown)

    async def hold(self) -> None:
        """Have what needs a disk start on the node that has it, and anywhere once that node is gone.

        The scheduler heeds also what only waits for the end of its node, and what it found no place for it leaves alone
        for minutes: the label has to go before another instance comes.
        """
        if self._rules.shared_volumes:
            return
        for pod in misplaced(self._sight.pods.items.values(), self._sight.silent):
            body = {"metadata": {"labels": {DISK: None if pod.holds else "here"}}}
            # One that may not be labelled concerns nobody but its own process.
            with suppress(Forbidden, RolloutFailed):
                if (shown := await self._cluster.patch(POD, pod.namespace, pod.name, body)) is not None:
                    self._sight.pods.put(shown)

    async def drop(self, app: str, process: str, generation: int) -> None:
        """Have a whole generation go, with its variables and its budget."""
        for kind, key, each in self._sight.of_app(app):
            name = key[1] == service_name(app, process) and kind is not DEPLOYMENT
            if (each.process, each.generation) == (process, generation) and not name:
                await self.delete(kind, key)

    async def _unless_absent(self, kind: Kind, project: str, name: str) -> None:
        key = (namespace(project), name)
        if self._sight.find(kind, key) is not None:
            await self.delete(kind, key)
