"""Bring a release to live beside the old one, and count what it cost."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import Enum, auto

from leeward.control.apps import Apps, Candidate
from leeward.control.counts import awake
from leeward.control.jobs import Jobs, first
from leeward.control.loop import pause
from leeward.control.receipts import Counted, Receipts
from leeward.errors import Conflict, NotFound, RolloutFailed
from leeward.model.quota import NO_QUOTAS, Quotas
from leeward.model.region import LOCAL
from leeward.model.release import Deploy, DeployKind, Phase, Receipt, Release
from leeward.model.wish import App
from leeward.plan.deploy import Hopeless, Proven, verdict
from leeward.plan.release import WEB, overrides_of, renewed, wished_env
from leeward.plan.sleep import may_sleep
from leeward.plan.workload import same_instances, workloads
from leeward.ports import Engine, Registry, Say, Stores, Wakes
from leeward.ports.projects import refuse_over_quota

log = logging.getLogger(__name__)

# While a release starts its app is looked at this often at least; changes of instances wake it sooner.
LOOK_S = 0.25

Save = Callable[[Deploy], Awaitable[None]]


class _Sleeps(Enum):
    """Whose word it is that nothing of a release runs."""

    AS_WISHED = auto()
    BY_REGION = auto()
    NEVER = auto()


class Rollout:
    """The last phase of every deploy."""

    def __init__(
        self,
        stores: Stores,
        engine: Engine,
        registry: Registry,
        apps: Apps,
        receipts: Receipts,
        quotas: Quotas = NO_QUOTAS,
    ) -> None:
        self._stores = stores
        self._engine = engine
        self._registry = registry
        self._apps = apps
        self._receipts = receipts
        self._quotas = quotas
        self.jobs = Jobs(stores, engine, registry)

    async def run(self, deploy: Deploy, say: Say, save: Save) -> Deploy:
        """Start the release beside the live one, wait until it is proven, move traffic. Raises RolloutFailed."""
        app = await self._stores.apps.get(deploy.app)
        if app.deleted:
            raise Conflict(f"app '{app.name}' is being deleted")
        release = await self._release(deploy, app)
        live = await self._apps.release(app.name, app.live) if app.live is not None else None
        await self._refuse_over_quota(app, release)
        if release.spec.region == LOCAL:
            await self._registry.ensure(release.image)
        in_place = live is not None and deploy.kind is not DeployKind.RESTART and same_instances(live, release)
        if app.live == release.number and str(app.generation) == deploy.carry.get("generation"):
            # An earlier control plane moved the traffic and ended before it could say so.
            in_place = True
        generation = app.generation if in_place else int(deploy.carry.get("generation") or time.time() * 1000)
        carry = {**first(deploy, app).carry, "generation": str(generation)}
        await save(deploy := replace(deploy, release=release.number, carry=carry))
        say(f"rolling out {release.version}")
        async with self._receipts.count(app.name, release) as counted:
            if in_place:
                await self._switch(deploy, app, release, generation)
            else:
                deploy = await self.jobs.before(deploy, app, release, say, save)
                self._apps.propose(app.name, Candidate(release, generation))
            await self._prove(app, release, generation, say)
            if not in_place:
                await self._switch(deploy, app, release, generation)
            self._apps.withdraw(app.name)
            await self._apps.settle(app.name)
            self._apps.changed(app.name)
            count = await counted()
        say(f"{release.version} is live")
        return replace(deploy, receipt=self._told(deploy, live, count))

    async def _refuse_over_quota(self, app: App, release: Release) -> None:
        """Asked before anything of the release is made, on whatever engine. Raises RolloutFailed."""
        try:
            await refuse_over_quota(self._stores, self._quotas, app, release.spec)
        except Conflict as error:
            raise RolloutFailed(error.message, hint=error.hint, code=error.code) from error

    def _told(self, deploy: Deploy, live: Release | None, count: Counted | None) -> Receipt | None:
        """The receipt as it stands now; streams that are open on the old instances are looked after."""
        web = live.spec.processes.get(WEB) if live is not None else None
        if count is not None and web is not None:
            self._receipts.follow(deploy.id, deploy.app, count, web.health.drain)
        return count.receipt if count else None

    async def recall(self, deploys: Sequence[Deploy]) -> None:
        """After a restart: keep what was already started for these deploys."""
        for deploy in deploys:
            if deploy.phase is Phase.ROLLOUT and deploy.release and (generation := deploy.carry.get("generation")):
                release = await self._apps.release(deploy.app, deploy.release)
                self._apps.propose(deploy.app, Candidate(release, int(generation)))

    async def abandon(self, deploy: Deploy) -> None:
        """Take back what was started for this deploy; the live release was never touched."""
        candidate = self._apps.candidate(deploy.app)
        if candidate is not None and candidate.release.number == deploy.release:
            self._apps.withdraw(deploy.app)
        self._apps.changed(deploy.app)

    async def _release(self, deploy: Deploy, app: App) -> Release:
        """The release to bring to live: the deploy's own, or a new one with the same image."""
        if deploy.kind in (DeployKind.CODE, DeployKind.REBASE):
            if deploy.release is None:
                raise RolloutFailed("the deploy has no release", hint="deploy again")
            return await self._apps.release(app.name, deploy.release)
        if deploy.kind is DeployKind.ROLLBACK:
            try:
                return await self._apps.release(app.name, deploy.source.release)
            except NotFound as error:
                raise RolloutFailed(error.message, hint=error.hint) from error
        if app.live is None:
            raise RolloutFailed(f"app '{app.name}' has no live release", hint="deploy it first")
        live = await self._apps.release(app.name, app.live)
        if deploy.kind is DeployKind.RESTART:
            return live
        env = await self._stores.apps.env(app.name)
        return await self._stores.releases.add(renewed(live, app, env, deploy.id, deploy.message or deploy.kind.value))

    async def _prove(self, app: App, release: Release, generation: int, say: Say) -> None:
        """Wait until every process has its instances ready. Raises RolloutFailed with the reason."""
        counts = self._apps.counts.get(app.name)
        counts = counts if generation == app.generation else awake(counts)
        wants = workloads(app, release, generation, frozenset(), counts)
        started = time.time()
        poked = self._apps.waiters[app.name]
        told = ""
        while True:
            poked.clear()
            seen = await self._apps.settle(app.name)
            if not told and self._sleeps(release) is _Sleeps.NEVER:
                say(f"nothing in region '{release.spec.region}' could wake it: one instance stays, as with `min: 1`")
            if generation == app.generation and self._sleeps(release) is _Sleeps.BY_REGION:
                # Its instances were proven before, and whether any of them runs now is not ours to say.
                wants = tuple(want for want in wants if want.process != WEB)
            match verdict(wants, seen, started, time.time()):
                case Proven():
                    return
                case Hopeless(message, hint):
                    raise RolloutFailed(message, hint=hint)
                case waiting:
                    if waiting.text != told:
                        told = waiting.text
                        say(f"waiting: {told}")
            await pause(poked, LOOK_S)

    def _sleeps(self, release: Release) -> _Sleeps:
        region = release.spec.region
        if not isinstance(self._engine, Wakes) or may_sleep(release) is None:
            return _Sleeps.AS_WISHED
        if not self._engine.wakes(region):
            return _Sleeps.NEVER
        return _Sleeps.AS_WISHED if self._engine.meets_edge(region) else _Sleeps.BY_REGION

    async def _switch(self, deploy: Deploy, app: App, release: Release, generation: int) -> None:
        """Make the release the live one, with all that belongs to it: one write."""
        if generation != app.generation and self._apps.counts.asleep(app.name):
            self._apps.count(app.name, WEB, 1)
        rollback = deploy.kind is DeployKind.ROLLBACK
        if rollback:
            await self._stores.apps.set_env(app.name, wished_env(release), replace=True)

        def change(now: App) -> App:
            # Another release may have other assets under the same names.
            cache = now.cache_generation + (now.live != release.number)
            then = replace(now, live=release.number, generation=generation, cache_generation=cache)
            return replace(then, overrides=overrides_of(release, now)) if rollback else then

        await self._stores.apps.update(app.name, change)
