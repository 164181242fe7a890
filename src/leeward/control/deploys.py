"""Carry deploys from wish to live, one phase after another."""

import asyncio
import contextlib
import functools
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from leeward.control.loop import named, pause
from leeward.control.phases import Phases
from leeward.errors import Barred, Cancelled, Conflict, LeewardError, Unavailable
from leeward.model.event import Event
from leeward.model.release import Deploy, DeployStatus, Phase, Step
from leeward.plan.deploy import remaining
from leeward.plan.jobs import failed
from leeward.ports import Clock, Stores

log = logging.getLogger(__name__)

# A part of the platform that does not answer is asked again after this long, and at most this often: 5 minutes.
RETRY_S = 2.0
ATTEMPTS = 150
# Where somebody else has to act: half a minute, as long as a restart of theirs takes.
FEW = 15
# Carried while what follows a failure runs: the error, as it will be told.
_FAILING = "failing"


class Deploys:
    """The queue's worker. Each phase may run again at any time: after a crash it starts from the stored phase."""

    def __init__(self, stores: Stores, phases: Phases, clock: Clock, at_once: int = 4, lease_s: float = 15.0) -> None:
        self._stores = stores
        self._phases = phases
        self._clock = clock
        self._at_once = at_once
        self._lease_s = lease_s
        self.owner = secrets.token_hex(8)
        self._running: dict[str, asyncio.Task[None]] = {}
        self.done: Callable[[str], None] = lambda app: None
        """Called with the app's name after each deploy that ended."""

    async def start(self) -> None:
        """Take over what an earlier control plane left (the home's lock is held)."""
        await self._stores.deploys.release_leases(self.owner)
        await self._phases.recall(await self._stores.deploys.active())

    async def tick(self) -> None:
        """Claim what may run; pass on cancellations."""
        for deploy in await self._stores.deploys.active():
            if deploy.cancel and (task := self._running.get(deploy.id)):
                task.cancel()
        while len(self._running) < self._at_once:
            claimed = await self._stores.deploys.claim(self.owner, self._clock.now(), self._lease_s)
            if claimed is None or claimed.id in self._running:
                return
            task = asyncio.create_task(self._work(claimed), name=f"deploy {claimed.id}")
            self._running[claimed.id] = task
            task.add_done_callback(functools.partial(self._ended, claimed.id, claimed.app))

    def _ended(self, id: str, app: str, _: asyncio.Task[None]) -> None:
        self._running.pop(id, None)
        self.done(app)

    async def stop(self) -> None:
        """Let go of everything, without ending it: the next control plane goes on."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel("stop")
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, deploy: Deploy) -> None:
        heart = asyncio.create_task(self._beat(deploy.id, asyncio.current_task()))
        try:
            await self._run(deploy)
        except asyncio.CancelledError as error:
            if error.args and error.args[0] in ("stop", "lost"):
                return
            await self._end_cancelled(deploy.id)
        except Conflict as error:
            # Fenced: somebody else holds the lease.
            log.warning("deploy %s: %s", deploy.id, error)
        finally:
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heart

    async def _end_cancelled(self, id: str) -> None:
        deploy = await self._stores.deploys.get(id)
        if deploy.status.final:
            return
        if deploy.phase is Phase.JOBS:
            # What was cancelled are its jobs: the release is live.
            await self._finish(deploy, DeployStatus.LIVE)
            return
        await self._phases.abandon(deploy)
        error = Cancelled("the deploy was cancelled")
        told = json.loads(deploy.carry[_FAILING]) if _FAILING in deploy.carry else None
        await self._finish(
            deploy, DeployStatus.FAILED if told else DeployStatus.CANCELLED, told or _told(deploy, error)
        )

    async def _beat(self, id: str, task: asyncio.Task[None] | None) -> None:
        never = asyncio.Event()
        while True:
            await pause(never, self._lease_s / 3)
            try:
                mine = await self._stores.deploys.renew(id, self.owner, self._clock.now(), self._lease_s)
            except Unavailable as error:
                log.warning("deploy %s: no heartbeat: %s", id, error)
                continue
            if not mine and task is not None:
                task.cancel("lost")
                return

    async def _run(self, deploy: Deploy) -> None:
        if _FAILING in deploy.carry:
            await self._failed(deploy, json.loads(deploy.carry[_FAILING]))
            return
        for phase in remaining(deploy.kind, self._phases.first(deploy)):
            if self._phases.skips(deploy, phase):
                continue
            deploy = replace(deploy, phase=phase)
            await self._save(deploy)
            try:
                async with self._timed(deploy) as detail:
                    deploy = await named(self._phases.run(deploy, self._save), phase.value)
                    detail += failed(deploy.carry) if phase is Phase.JOBS else ()
            except Unavailable as error:
                await self._again(deploy, error)
                return
            except LeewardError as error:
                await self._fail(deploy, error)
                return
            # What the phase found is written with the beginning of the next, or with the end: one flush, not two.
        await self._finish(deploy, DeployStatus.LIVE)

    @contextlib.asynccontextmanager
    async def _timed(self, deploy: Deploy) -> AsyncIterator[list[str]]:
        """Write the phase's line of the timeline: when it begins, and when it ends, with what to say of it."""
        detail: list[str] = []
        known = {step.phase: step for step in (await self._stores.deploys.get(deploy.id)).steps}
        step = known.get(deploy.phase) or Step(deploy.phase, self._clock.now())
        await self._stores.deploys.step(deploy.id, replace(step, ended_at=None))
        try:
            yield detail
        except Unavailable:
            raise
        except LeewardError:
            await self._stores.deploys.step(deploy.id, replace(step, ended_at=self._clock.now(), detail="failed"))
            raise
        ended = replace(step, ended_at=self._clock.now(), detail="; ".join(detail))
        await self._stores.deploys.step(deploy.id, ended)

    async def _again(self, deploy: Deploy, error: Unavailable) -> None:
        """Come back to this phase soon; give up after five minutes, or sooner where only others can help."""
        attempts = int(deploy.carry.get("attempts", "0")) + 1
        log.warning("deploy %s: %s: %s (attempt %d)", deploy.id, deploy.phase, error, attempts)
        if attempts >= (FEW if isinstance(error, Barred) else ATTEMPTS):
            await self._fail(deploy, error)
            return
        # What the phase wrote before it broke off holds: the next attempt goes on with the same instances.
        known = await self._stores.deploys.get(deploy.id)
        await self._save(replace(known, carry={**known.carry, "attempts": str(attempts)}))
        await self._stores.deploys.renew(deploy.id, self.owner, self._clock.now(), RETRY_S)

    async def _fail(self, deploy: Deploy, error: LeewardError) -> None:
        if deploy.phase is Phase.JOBS:
            # The release is live, whatever becomes of its jobs.
            await self._finish(deploy, DeployStatus.LIVE)
            return
        await self._phases.abandon(deploy)
        if isinstance(error, Cancelled):
            await self._finish(deploy, DeployStatus.CANCELLED, _told(deploy, error))
        else:
            await self._failed(deploy, _told(deploy, error))

    async def _failed(self, deploy: Deploy, told: Mapping[str, str]) -> None:
        """What is wished for after a failure runs once, also when another control plane has to go on with it."""
        deploy = replace(deploy, carry={**deploy.carry, _FAILING: json.dumps(dict(told))})
        deploy = await self._phases.failed(deploy, told, self._save)
        await self._finish(deploy, DeployStatus.FAILED, told)

    async def _finish(self, deploy: Deploy, status: DeployStatus, told: Mapping[str, str] | None = None) -> None:
        ended = replace(deploy, status=status, error=told, ended_at=self._clock.now())
        await self._save(ended)
        what = f"v{ended.release}" if ended.release else (ended.commit[:12] or ended.kind.value)
        reason = f" at {deploy.phase}: {told['message']}" if told else ""
        became = status.value if status is DeployStatus.FAILED else f"is {status.value}"
        await self._stores.events.add(
            Event(
                f"deploy.{status.value}",
                f"{ended.kind.value} deploy of '{ended.app}' ({what}) {became}{reason}",
                app=ended.app,
                actor=ended.actor or "platform",
                data={"deploy": ended.id},
            )
        )
        await self._phases.clean(ended)

    async def _save(self, deploy: Deploy) -> None:
        await self._stores.deploys.save(deploy, self.owner)
        self._stores.notices.publish(f"app/{deploy.app}")


def _told(deploy: Deploy, error: LeewardError) -> Mapping[str, str]:
    """The error of a deploy, as it is stored: its hint names this app and this deploy."""
    told = error.as_dict()
    # Builders know what went wrong, and not for whom.
    hint = told["hint"].replace("APP --build vN", f"{deploy.app} --build {deploy.id}")
    return {"step": deploy.phase.value, **told, "hint": re.sub(r"(`lee [a-z ]+ )APP\b", rf"\g<1>{deploy.app}", hint)}
