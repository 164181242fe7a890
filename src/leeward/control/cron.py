"""Begin what is due by the clock, and remember how it ended."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from leeward.errors import LeewardError, RolloutFailed, Unavailable
from leeward.model.event import Event
from leeward.model.region import LOCAL
from leeward.model.release import Release
from leeward.model.run import Run, RunState, Timed
from leeward.model.wish import App
from leeward.plan import timed as plan
from leeward.plan.timed import Begin, Count, End, Finish, Forget, Known, Note, Step
from leeward.ports import Clock, Registry, Stores, Timer

log = logging.getLogger(__name__)

# However quiet an app is, it is looked at so often.
_LOOK_S = 60.0
# Many schedules name the same minute.
_AT_ONCE = 8


@dataclass(slots=True)
class _Plan:
    """What is wished for one app."""

    wants: Sequence[Timed]
    keeps_time: bool
    look_at: datetime
    """When to look again, if nothing happens before."""


class Cron:
    """The processes with a schedule of all apps. What is remembered is all that a next control plane needs."""

    def __init__(self, stores: Stores, timer: Timer, registry: Registry, clock: Clock) -> None:
        self._stores = stores
        self._timer = timer
        self._registry = registry
        self._clock = clock
        self._plans: dict[str, _Plan] = {}
        self._names: dict[str, frozenset[str]] = {}
        """App to its processes with a schedule."""
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def settle(self, app: App, live: Release | None) -> None:
        """Take over what an app wishes now; called each time it is settled."""
        wants = plan.timed(app, live) if live is not None else ()
        await self._forget_marks(app.name, frozenset(want.want.process for want in wants))
        keeps_time = await self._timer.schedule(app.name, wants)
        if wants:
            self._plans[app.name] = _Plan(wants, keeps_time, self._clock.now())
        else:
            self._plans.pop(app.name, None)

    async def _forget_marks(self, app: str, names: frozenset[str]) -> None:
        """A schedule that comes back later, by a rollback, counts from then on."""
        if self._names.get(app) != names:
            for mark in await self._stores.runs.marks(app):
                if mark.process not in names:
                    await self._stores.runs.drop_mark(mark)
            self._names[app] = names

    def changed(self, app: str) -> None:
        """Look at an app at the next tick."""
        if app in self._plans:
            self._plans[app].look_at = self._clock.now()

    async def gone(self, app: str) -> bool:
        """Have every run of an app end that is being deleted; whether nothing of it is left."""
        self._plans.pop(app, None)
        self._names.pop(app, None)
        await self._timer.schedule(app, ())
        seen = await self._timer.runs(app)
        for run in seen:
            await (self._timer.forget if run.state.final else self._timer.end)(app, run.id)
        return not seen

    async def tick(self) -> None:
        """Look at every app of which a run goes on, is due, or was asked for."""
        now = self._clock.now()
        busy = await self._stores.runs.going_on()
        # Also after a clock was set back: then what was to be looked at is far ahead.
        far = now + timedelta(seconds=_LOOK_S + 1)
        names = busy | {name for name, each in self._plans.items() if not now < each.look_at < far}
        await asyncio.gather(*(self._try(name, now) for name in sorted(names)))

    async def _try(self, name: str, now: datetime) -> None:
        async with self._at_once:
            try:
                await self._look(name, now)
            except LeewardError as error:
                log.warning("runs of '%s': %s", name, error)

    async def _look(self, name: str, now: datetime) -> None:
        wished = self._plans.get(name) or await self._left(name)
        if wished is None:
            return
        runs = {run.id: run for run in await self._stores.runs.known(name)}
        marks = {mark.process: mark for mark in await self._stores.runs.marks(name)}
        seen = await self._timer.runs(name)
        for step in plan.steps(wished.wants, Known(runs, marks), seen, now, keeps_time=wished.keeps_time):
            await self._do(step, wished.wants)
        soon = now + timedelta(seconds=_LOOK_S)
        due = None if wished.keeps_time else plan.next_at(wished.wants, now)
        wished.look_at = min(soon, due) if due is not None else soon

    async def _left(self, name: str) -> _Plan | None:
        """An app without schedules now, of which a run goes on. None while it is not known what it wishes."""
        app = await self._stores.apps.find(name)
        if app is None or app.deleted or app.live is None:
            return None
        live = await self._stores.releases.get(name, app.live)
        return None if plan.timed(app, live) else _Plan((), False, self._clock.now())

    async def _do(self, step: Step, wants: Sequence[Timed]) -> None:
        match step:
            case Begin(run):
                await self._begin(run, next(want for want in wants if want.want.process == run.process))
            case Note(run):
                await self._stores.runs.put(run, plan.KEPT)
            case Finish(run):
                await self._finish(run)
            case End(run):
                await self._stores.runs.put(run, plan.KEPT)
                await self._timer.end(run.app, run.id)
            case Forget(run):
                await self._timer.forget(run.app, run.id)
            case Count(mark, missed):
                await self._stores.runs.put_mark(mark)
                if missed:
                    runs = "1 run" if missed == 1 else f"{missed} runs"
                    text = f"{runs} of {mark.process} of '{mark.app}' missed: too late to make good"
                    await self._stores.events.add(Event("run.missed", text, app=mark.app))
            case _:
                assert_never(step)

    async def _begin(self, run: Run, want: Timed) -> None:
        """First it is remembered, then it begins: a run that the engine does not have was never begun."""
        run = replace(run, release=want.want.release)
        await self._stores.runs.put(run, plan.KEPT)
        try:
            if want.want.region == LOCAL:
                await self._registry.ensure(want.want.image)
            await self._timer.begin(want, run)
        except Unavailable:
            raise
        except RolloutFailed as error:
            reason = f"could not begin: {error.message}"
            ended = replace(run, state=RunState.FAILED, ended_at=self._clock.now(), reason=reason, hint=error.hint)
            await self._finish(ended)

    async def _finish(self, run: Run) -> None:
        tail = tuple(await self._timer.last_lines(run.app, run.id))
        run = replace(run, tail=tail, ended_at=run.ended_at or self._clock.now())
        await self._stores.runs.put(run, plan.KEPT)
        await self._timer.forget(run.app, run.id)
        if run.state is RunState.FAILED:
            text = f"{run.process} of '{run.app}' failed: {run.reason}"
            await self._stores.events.add(Event("run.failed", text, app=run.app, data={"run": run.id}))
