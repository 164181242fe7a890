"""Make what runs equal to what is wished, app by app."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from leeward.control.counts import Counts, awake
from leeward.control.cron import Cron
from leeward.control.turns import Turns
from leeward.errors import LeewardError, NotFound, RolloutFailed, Unavailable
from leeward.model.event import Event
from leeward.model.region import LOCAL
from leeward.model.release import Release
from leeward.model.route import Route
from leeward.model.runtime import InstanceState, Observed, Workload
from leeward.model.wish import App
from leeward.plan.release import WEB
from leeward.plan.route import route as route_of
from leeward.plan.settled import as_wished
from leeward.plan.sleep import eager
from leeward.plan.timed import no_longer, timed_names
from leeward.plan.workload import workloads
from leeward.ports import Edge, Engine, Registry, Stores, Wakes, every, every_app

log = logging.getLogger(__name__)

# Of the apps of which nothing changed, so many are looked at again in each resync, one after another.
QUIET_AT_A_TIME = 200


def _hastened(want: Workload, seen: Observed) -> Workload:
    """The workload as it starts while requests wait for it; a cluster's objects never change for that."""
    sleeps = want.bounds is not None and want.bounds.may_sleep
    serves = any(i.state is InstanceState.READY and i.generation == want.generation for i in seen.of(want.process))
    if not sleeps or serves or want.health is None or want.region != LOCAL:
        return want
    return replace(want, health=eager(want.health))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release that a running deploy wants to prove beside the live one."""

    release: Release
    generation: int


class Apps:
    """Settles apps. `settle` may be called by anyone at any time; one app is settled by one caller at a time."""

    def __init__(
        self,
        stores: Stores,
        engine: Engine,
        edge: Edge,
        registry: Registry,
        domain: str,
        on_seen: Callable[[str, Observed], None] = lambda app, seen: None,
        forget_sources: Callable[[str, frozenset[str]], Awaitable[None]] | None = None,
        cron: Cron | None = None,
    ) -> None:
        self._stores = stores
        self._engine = engine
        self._edge = edge
        self._registry = registry
        self._domain = domain
        self._on_seen = on_seen
        self._forget_sources = forget_sources
        self._cron = cron
        self._candidates: dict[str, Candidate] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._routes: dict[str, Route] = {}
        # A whole table that was read before a change must not arrive after it.
        self._telling = asyncio.Lock()
        self._releases: dict[str, dict[int, Release]] = defaultdict(dict)
        self._crashed: dict[str, dict[str, str]] = {}
        """App to instance to the reason that was told."""
        self.counts = Counts()
        self._turns = Turns()
        self._settled: dict[str, App] = {}
        """Each app as it was wished when it was settled last."""
        self._quiet: set[str] = set()
        """Those that were as wished then; only what is wished or seen anew can change that."""
        self._looked = ""
        """The last quiet app that was looked at again."""
        self._complete = False
        self.waiters: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set each time something about an app's instances changed."""

    # --- candidates ---------------------------------------------------------------------------------------

    def propose(self, app: str, candidate: Candidate) -> None:
        """Run this release beside the live one from now on."""
        self._candidates[app] = candidate

    def withdraw(self, app: str) -> None:
        """Forget the candidate: the next settle stops what runs of it, unless it is live now."""
        self._candidates.pop(app, None)

    def candidate(self, app: str) -> Candidate | None:
        """The release that is being proven."""
        return self._candidates.get(app)

    async def release(self, app: str, number: int) -> Release:
        """A release, from memory where it was read before: releases never change."""
        found = self._releases[app].get(number)
        if found is None:
            found = await self._stores.releases.get(app, number)
            self._releases[app][number] = found
        return found

    def settled(self, app: str) -> App | None:
        """The app as it was when it was settled last; None before that."""
        return self._settled.get(app)

    def changed(self, app: str) -> None:
        """Somebody wishes something of this app: settle it before all others, and wake whoever waits for it."""
        self._quiet.discard(app)
        self._turns.wish(app)
        self.waiters[app].set()

    def seen(self, app: str) -> None:
        """Something of this app's instances changed: settle it soon, and wake whoever waits for it."""
        self._quiet.discard(app)
        self._turns.see(app)
        self.waiters[app].set()

    # --- settling -----------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Settle what changed, and what changes meanwhile."""
        await self._turns.run(self._try)

    async def resync(self) -> None:
        """Settle every app that is not known to be as wished, and take down what belongs to none.

        Of the others some are looked at in turn: a change of which nobody told is found as well, at a bounded price.
        """
        wished = {app.name: app async for app in every_app(self._stores.apps)}
        known = set(wished)
        for name in sorted(await self._engine.apps() - known):
            if await self._stores.apps.find(name) is None:
                log.info("'%s' runs and belongs to no app: taken down", name)
                await self._engine.remove(name)
        again = self._in_turn()
        for name, app in wished.items():
            # Asked again for each: another may have settled it since.
            if name in again or name not in self._quiet or self._settled.get(name) != app:
                await self._try(name)
        for name in [name for name in self._routes if name not in known]:
            await self._drop_unknown(name)
        self._complete = known <= set(self._routes)

    def _in_turn(self) -> frozenset[str]:
        """The next of the quiet apps, from the first again after the last."""
        quiet = sorted(self._quiet)
        turn = [name for name in quiet if name > self._looked][:QUIET_AT_A_TIME] or quiet[:QUIET_AT_A_TIME]
        self._looked = turn[-1] if turn else ""
        return frozenset(turn)

    async def _drop_unknown(self, name: str) -> None:
        """Take away the route of no app; one that was made since the apps were listed keeps all that it has."""
        async with self._locks[name]:
            if await self._stores.apps.find(name) is None:
                await self._edge.drop(name)
                self._forget(name)

    async def _try(self, name: str) -> None:
        try:
            await self.settle(name)
        except NotFound:
            self._forget(name)
        except Unavailable as error:
            self._turns.later(name)
            log.warning("'%s' is not settled: %s", name, error)
        except LeewardError as error:
            log.warning("'%s' is not settled: %s", name, error)

    async def settle(self, name: str) -> Observed:
        """One look at one app, and one nudge toward its wish. What was seen."""
        async with self._locks[name]:
            # Before anything is looked at: what is told from here on takes it out again.
            self._quiet.add(name)
            quiet = False
            try:
                seen, quiet = await self._settle(name)
                return seen
            finally:
                if not quiet:
                    self._quiet.discard(name)

    async def _settle(self, name: str) -> tuple[Observed, bool]:
        """What was seen, and whether it is all that is wished for."""
        # Before the app is read: a candidate that goes live from here on is kept as one, or seen as the live one.
        candidate = self._candidates.get(name)
        app = await self._stores.apps.get(name)
        self._settled[name] = app
        seen = await self._engine.observe(name)
        self._on_seen(name, seen)
        if app.deleted:
            await self._take_down(app, seen)
            return seen, False
        live = await self.release(name, app.live) if app.live is not None else None
        if live is not None and name not in self._routes:
            self.counts.begin(app, live, seen, await self._edge.peers(name))
        self.counts.note(name, live, reached=self._reaches(live))
        routed = await self._route(app, live, seen)
        wants = await self._nudge(app, live, candidate, routed, seen)
        await self._report_crashes(name, seen)
        if self._cron is not None:
            await self._cron.settle(app, live)
        self._keep_releases(name, live, candidate)
        # Where nothing is seen the engine may be away, unless nothing is to be seen.
        sure = bool(seen.instances) or live is None or self.counts.asleep(name)
        return seen, candidate is None and sure and as_wished(wants, seen)

    def _reaches(self, live: Release | None) -> bool:
        """Whether our edge sees the requests for a release."""
        return live is None or not isinstance(self._engine, Wakes) or self._engine.meets_edge(live.spec.region)

    def _keep_releases(self, name: str, live: Release | None, candidate: Candidate | None) -> None:
        """Of the releases in memory, those that are needed at every look."""
        here = (live, candidate.release if candidate is not None else None)
        self._releases[name] = {release.number: release for release in here if release is not None}

    def count(self, name: str, process: str, instances: int) -> None:
        """Have so many instances of a process from now on; 0 lets a web process sleep that may."""
        self.counts.put(name, process, instances)
        self.changed(name)

    async def _route(self, app: App, live: Release | None, seen: Observed) -> frozenset[str]:
        """Send requests to what serves now; the ids of the instances that the edge sends them to."""
        asleep = self.counts.asleep(app.name)
        wanted = route_of(app, live, seen, self._domain, asleep)
        known = self._routes.get(app.name)
        if live is not None and not seen.instances and not asleep:
            # Nothing is seen at all: the engine is away, or just starts. What the edge routes to may well still run.
            wanted = replace(wanted, peers=tuple(sorted(await self._edge.peers(app.name))))
        if wanted != known:
            if known is None or known.hosts != wanted.hosts:
                await self._edge.certify(wanted.hosts)
            async with self._telling:
                await self._edge.put(wanted)
                self._routes[app.name] = wanted
            self.counts.served(app.name, known.peers if known is not None else (), wanted.peers, time.time())
        return frozenset(instance.id for instance in seen.of(WEB) if instance.peer in wanted.peers)

    async def _nudge(
        self, app: App, live: Release | None, candidate: Candidate | None, routed: frozenset[str], seen: Observed
    ) -> Sequence[Workload]:
        """One step toward what is wanted, and what that is."""
        wants: list[tuple[Workload, frozenset[int]]] = []
        counts = self.counts.get(app.name)
        if live is not None:
            keep = frozenset({candidate.generation}) if candidate else frozenset()
            found = workloads(app, live, app.generation, routed, counts)
            wants += [(_hastened(want, seen), keep) for want in found]
            wants += [(want, keep) for want in no_longer(app, live, seen)]
        if candidate is not None and candidate.generation != app.generation:
            keep = frozenset({app.generation}) if live is not None else frozenset()
            found = workloads(app, candidate.release, candidate.generation, routed, awake(counts))
            wants += [(want, keep) for want in found]
        for want, keep in wants:
            here = want.region == LOCAL
            if here and want.instances and not any(i.generation == want.generation for i in seen.of(want.process)):
                # After a restore, or somebody's `docker image prune`, the engine has to be given the image again.
                try:
                    await self._registry.ensure(want.image)
                except RolloutFailed as error:
                    log.warning("'%s' cannot start %s: %s", app.name, want.process, error)
                    continue
            await self._engine.apply(want, keep)
        timed = timed_names(live, candidate.release if candidate is not None else None)
        processes = frozenset(want.process for want, _ in wants) | timed
        # Removing nothing is not free: the engine looks through its networks then, for each app that runs nothing.
        if any(instance.process not in processes for instance in seen.instances):
            await self._engine.remove(app.name, keep=processes)
        return [want for want, _ in wants]

    async def _take_down(self, app: App, seen: Observed) -> None:
        if self._routes.pop(app.name, None) is not None or seen.instances:
            await self._edge.drop(app.name)
        await self._engine.remove(app.name)
        busy = any(deploy.app == app.name for deploy in await self._stores.deploys.active())
        quiet = self._cron is None or await self._cron.gone(app.name)
        if not busy and quiet and not (await self._engine.observe(app.name)).instances:
            # The name is free only when nothing of the old app can be taken for the new one's.
            await self._registry.forget(app.name)
            if self._forget_sources is not None:
                await self._forget_sources(app.name, await self._uploads(app.name))
            await self._stores.logs.forget(app.name)
            await self._stores.apps.delete(app.name)
            self._forget(app.name)
            await self._stores.events.add(Event("app.deleted", f"app '{app.name}' is gone", app=app.name))
        else:
            self._turns.later(app.name)

    async def _uploads(self, name: str) -> frozenset[str]:
        """The archives that were sent for an app."""
        deploys = every(lambda cursor: self._stores.deploys.list(name, cursor, 200))
        return frozenset({deploy.source.upload async for deploy in deploys if deploy.source.upload})

    async def _report_crashes(self, name: str, seen: Observed) -> None:
        """One event for each new reason why an instance crashed."""
        told = self._crashed.get(name, {})
        self._crashed[name] = {i.id: told[i.id] for i in seen.instances if i.id in told}
        for instance in seen.instances:
            # An end is seen before its reason is known.
            if instance.state is not InstanceState.CRASHED or instance.reason in ("", told.get(instance.id)):
                continue
            self._crashed[name][instance.id] = instance.reason
            await self._stores.events.add(
                Event("instance.crashed", f"{instance.process} of '{name}' {instance.reason}", app=name)
            )

    def _forget(self, name: str) -> None:
        self._routes.pop(name, None)
        self._candidates.pop(name, None)
        self.counts.forget(name)
        self._crashed.pop(name, None)
        self.waiters.pop(name, None)
        self._releases.pop(name, None)
        self._settled.pop(name, None)
        self._quiet.discard(name)

    # --- the edge -----------------------------------------------------------------------------------------

    async def sync_edge(self) -> None:
        """Give the edge the whole table, as it stands."""
        async with self._telling:
            await self._edge.sync(tuple(self._routes.values()), ())

    @property
    def routed(self) -> bool:
        """Whether the route of every app is known: a part of the table must never replace what the edge has saved."""
        return self._complete
