"""Runs of processes with a schedule: see them, ask for one now, end one."""

from dataclasses import dataclass
from datetime import datetime

from leeward.errors import Conflict, Invalid, Problem
from leeward.model.access import Caller, Scope
from leeward.model.app import Overlap
from leeward.model.run import Run, RunState, Trigger
from leeward.plan.timed import KEPT, timed_names
from leeward.ports import Page
from leeward.services.context import Context, require


@dataclass(frozen=True, slots=True)
class RunView:
    """One run of a process with a schedule; `reason` and `hint` say why it failed."""

    id: str
    process: str
    release: str
    trigger: Trigger
    state: RunState
    scheduled_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    attempts: int
    exit_code: int | None
    reason: str
    hint: str
    instance: str
    """The source of its lines in the app's log."""
    tail: tuple[str, ...]
    """The last lines that it printed."""
    actor: str


def run_view(run: Run) -> RunView:
    """A run as it is shown."""
    spent = (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None
    return RunView(
        id=run.id,
        process=run.process,
        release=f"v{run.release}",
        trigger=run.trigger,
        state=run.state,
        scheduled_at=run.scheduled_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        duration_s=None if spent is None else round(spent, 3),
        attempts=run.attempts,
        exit_code=run.exit_code,
        reason=run.reason,
        hint=run.hint,
        instance=run.instance,
        tail=run.tail,
        actor=run.actor,
    )


class Runs:
    """What processes with a schedule did, and do now."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stores = context.stores

    async def list(self, app: str, process: str = "", after: str = "", limit: int = 50) -> Page[RunView]:
        """Newest first. Raises NotFound, Invalid for what is no cursor."""
        await self._stores.apps.get(app)
        try:
            before = float(after or 0)
        except ValueError as error:
            problem = Problem("after", f"'{after}' is not a cursor", "give the 'next' of the part before")
            raise Invalid([problem]) from error
        page = await self._stores.runs.list(app, process, before, limit)
        return Page(tuple(run_view(run) for run in page.items), page.next)

    async def show(self, app: str, id: str) -> RunView:
        """One run. Raises NotFound."""
        await self._stores.apps.get(app)
        return run_view(await self._stores.runs.get(app, id))

    async def run(self, caller: Caller, name: str, process: str) -> RunView:
        """Run a process with a schedule now. Raises NotFound, Invalid, Conflict while another one must end first."""
        require(caller, Scope.DEPLOY)
        app = await self._context.standing(name)
        if app.live is None:
            raise Conflict(f"app '{name}' has no release yet", hint="deploy it first", code="nothing-live")
        release = await self._stores.releases.get(name, app.live)
        names = timed_names(release)
        if process not in names:
            there = f"it has {', '.join(sorted(names))}" if names else "give it a 'schedule' in leeward.yaml"
            raise Invalid(f"app '{name}' has no process '{process}' with a schedule", hint=there, code="no-schedule")
        await self._make_room(caller, name, process, release.spec.processes[process].overlap)
        now = self._context.clock.now()
        id = f"{process}-m{int(now.timestamp() * 1000):x}"
        run = Run(id, name, process, release.number, Trigger.MANUAL, scheduled_at=now, actor=caller.name)
        await self._stores.runs.put(run, KEPT)
        await self._context.note(caller, "run.asked", f"{process} of '{name}' run by hand", name, {"run": id})
        self._context.poke(f"runs/{name}")
        return run_view(run)

    async def _make_room(self, caller: Caller, app: str, process: str, overlap: Overlap) -> None:
        known = await self._stores.runs.list(app, process, limit=KEPT)
        active = [run for run in known.items if not run.state.final]
        if not active or overlap is Overlap.ALLOW:
            return
        if overlap is Overlap.FORBID:
            raise Conflict(
                f"run '{active[0].id}' of {process} goes on",
                hint=f"wait for its end, or end it with `lee runs {app} --cancel {active[0].id}`",
                code="run-goes-on",
            )
        for run in active:
            await self._stores.runs.cancel(app, run.id, f"was replaced by a run of {caller.name}")

    async def cancel(self, caller: Caller, app: str, id: str) -> RunView:
        """Have a run end before its time; one that has ended stays as it is. Raises NotFound."""
        require(caller, Scope.DEPLOY)
        await self._stores.apps.get(app)
        before = await self._stores.runs.get(app, id)
        run = await self._stores.runs.cancel(app, id, f"was cancelled by {caller.name}")
        if not before.state.final:
            await self._context.note(caller, "run.cancelled", f"run '{id}' of '{app}' cancelled", app, {"run": id})
            self._context.poke(f"runs/{app}")
        return run_view(run)
