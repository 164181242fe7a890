"""Run the jobs of a deploy: before it, after its success, after its failure.

A job that ended is written into the deploy before the next begins, so that no control plane runs it twice for the
same deploy. One that was cut in the middle is run again from its beginning.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from leeward.errors import LeewardError, NotFound, RolloutFailed, Unavailable
from leeward.model.app import AppSpec, When
from leeward.model.event import Event
from leeward.model.region import LOCAL
from leeward.model.release import Deploy, DeployKind, Release
from leeward.model.wish import App
from leeward.plan import jobs as plan
from leeward.plan.jobs import Job
from leeward.ports import Engine, Registry, Say, Stores

log = logging.getLogger(__name__)

Save = Callable[[Deploy], Awaitable[None]]


class Jobs:
    """The jobs of deploys of new code."""

    def __init__(self, stores: Stores, engine: Engine, registry: Registry) -> None:
        self._stores = stores
        self._engine = engine
        self._registry = registry

    async def before(self, deploy: Deploy, app: App, release: Release, say: Say, save: Save) -> Deploy:
        """Run what must have ended well before the rollout. Raises RolloutFailed; nothing was switched then."""
        if deploy.kind is not DeployKind.CODE:
            return deploy
        for job in plan.jobs(release.spec, deploy.carry, When.BEFORE_DEPLOY):
            problem = await self._one(deploy, app, release, job, say, {})
            deploy = plan.marked(deploy, job, problem)
            if problem:
                what = "release command" if job.name == plan.RELEASE else f"job '{job.name}'"
                raise RolloutFailed(
                    f"the {what} '{job.spec.command}' {problem}", hint="see the build log; nothing was switched"
                )
            await save(deploy)
        return deploy

    def follow(self, deploy: Deploy) -> bool:
        """Whether jobs run after this deploy's success."""
        return plan.follow(deploy, _spec(deploy))

    async def after(self, deploy: Deploy, say: Say, save: Save) -> Deploy:
        """Run what follows a success. A job that fails is told, and changes nothing else."""
        return await self._follow(deploy, When.AFTER_SUCCESS, say, save, {"LEEWARD_DEPLOY_STATUS": "live"})

    async def after_failure(self, deploy: Deploy, error: Mapping[str, str], say: Say, save: Save) -> Deploy:
        """Run what follows a failure: in the release that failed, else in the one that is live."""
        if deploy.kind is not DeployKind.CODE or not deploy.carry.get("spec"):
            return deploy
        outcome = {
            "LEEWARD_DEPLOY_STATUS": "failed",
            "LEEWARD_DEPLOY_STEP": error.get("step", ""),
            "LEEWARD_DEPLOY_ERROR": error.get("message", ""),
        }
        try:
            return await self._follow(deploy, When.AFTER_FAILURE, say, save, outcome)
        except LeewardError as reason:
            # The deploy has failed already: what it wanted to say about that is not worth holding its app up.
            await self._tell(deploy, "job.failed", f"no job after the failed deploy {deploy.id}: {reason.message}")
            return deploy

    async def _follow(self, deploy: Deploy, when: When, say: Say, save: Save, outcome: Mapping[str, str]) -> Deploy:
        wanted = plan.jobs(_spec(deploy), deploy.carry, when)
        if not wanted:
            return deploy
        app = await self._stores.apps.get(deploy.app)
        release = await self._release(deploy, app)
        for job in wanted:
            if release is None:
                problem = "could not run: there is no image yet"
            else:
                problem = await self._one(deploy, app, release, job, say, outcome)
            deploy = plan.marked(deploy, job, problem)
            await save(deploy)
            if problem:
                await self._tell(deploy, "job.failed", f"job '{job.name}' of '{deploy.app}' {problem}")
        return deploy

    async def _release(self, deploy: Deploy, app: App) -> Release | None:
        for number in (deploy.release, app.live):
            if number is not None:
                try:
                    return await self._stores.releases.get(app.name, number)
                except NotFound:
                    continue
        return None

    async def _one(
        self, deploy: Deploy, app: App, release: Release, job: Job, say: Say, outcome: Mapping[str, str]
    ) -> str:
        """Run a job to its end; what went wrong, '' for nothing."""
        label = job.name if " " in job.name else f"job {job.name}"
        say(f"{label}: {job.spec.command}")
        began = time.monotonic()
        want = plan.instance(app, release, deploy, job, outcome)
        try:
            if release.spec.region == LOCAL:
                await self._registry.ensure(release.image)
            code = await self._engine.run_once(want, job.spec.command, say, job.spec.timeout_s)
        except Unavailable:
            raise
        except LeewardError as error:
            say(f"{label}: {error.message}")
            return f"could not run: {error.message}"
        problem = plan.hopeless(code, job.spec.timeout_s)
        say(f"{label} {problem or 'is done'} ({time.monotonic() - began:.1f} s)")
        return problem

    async def _tell(self, deploy: Deploy, kind: str, text: str) -> None:
        log.warning("deploy %s: %s", deploy.id, text)
        await self._stores.events.add(Event(kind, text, app=deploy.app, data={"deploy": deploy.id}))


def first(deploy: Deploy, app: App) -> Deploy:
    """The deploy that knows whether it is its app's first; what it knew before stays."""
    if plan.FIRST in deploy.carry:
        return deploy
    return replace(deploy, carry={**deploy.carry, plan.FIRST: "yes" if app.live is None else ""})


def _spec(deploy: Deploy) -> AppSpec:
    text = deploy.carry.get("spec")
    return AppSpec.model_validate_json(text) if text else AppSpec()
