"""Runs in memory: they begin, print, fail and end by the clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from leeward.model.run import Run, RunState, SeenRun, Timed


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What becomes of a run: how long each attempt takes, its exit code and what it prints."""

    seconds: float = 0.1
    code: int = 0
    lines: tuple[str, ...] = ()
    reason: str = ""


ENDLESS = RunOutcome(seconds=1e9)


@dataclass(slots=True)
class _Going:
    want: Timed
    run: Run
    began: datetime
    outcome: RunOutcome
    ended: datetime | None = None


@dataclass(slots=True)
class FakeTimer:
    """The port `Timer` without a world. `outcomes` says by command what becomes of a run."""

    now: Callable[[], float]
    outcomes: dict[str, RunOutcome] = field(default_factory=dict)
    keeps_time: bool = False
    schedules: dict[str, tuple[Timed, ...]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    """The ids of all runs that began, each as often as it did."""
    _going: dict[tuple[str, str], _Going] = field(default_factory=dict)

    async def schedule(self, app: str, wants: Sequence[Timed]) -> bool:
        """Keep these schedules of an app, and no others of it."""
        self.schedules[app] = tuple(wants)
        return self.keeps_time

    async def begin(self, want: Timed, run: Run) -> None:
        """Have this run."""
        if (run.app, run.id) not in self._going:
            outcome = self.outcomes.get(want.want.command or "", RunOutcome())
            self._going[run.app, run.id] = _Going(want, run, self._at(), outcome)
            self.begun.append(run.id)

    async def runs(self, app: str) -> Sequence[SeenRun]:
        """Every run that was not forgotten."""
        return [self._seen(going) for (name, _), going in self._going.items() if name == app]

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What its outcome says."""
        going = self._going.get((app, run))
        return going.outcome.lines if going is not None else ()

    async def end(self, app: str, run: str) -> None:
        """End a run at once."""
        going = self._going.get((app, run))
        if going is not None and not self._seen(going).state.final:
            going.ended = self._at()

    async def forget(self, app: str, run: str) -> None:
        """Forget a run that has ended."""
        going = self._going.get((app, run))
        if going is not None and self._seen(going).state.final:
            del self._going[app, run]

    def lose(self, app: str, run: str) -> None:
        """Take a run away, as an operator's `docker rm -f` would."""
        self._going.pop((app, run), None)

    def drop(self, app: str, keep: frozenset[str]) -> None:
        """Take away all of an app, but for the processes in `keep`."""
        for key, going in list(self._going.items()):
            if key[0] == app and going.run.process not in keep:
                del self._going[key]

    def _at(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def _seen(self, going: _Going) -> SeenRun:
        outcome, want, run = going.outcome, going.want, going.run
        attempts = 1 + (want.retries if outcome.code else 0)
        spent = (self._at() - going.began).total_seconds()
        seen = SeenRun(
            run.id,
            run.app,
            run.process,
            run.release,
            run.trigger,
            run.scheduled_at,
            RunState.RUNNING,
            instance=f"lee-{run.app}-{run.id}",
            started_at=going.began,
            attempts=min(attempts, 1 + int(spent / max(outcome.seconds, 0.001))),
        )
        if going.ended is not None:
            reason = "was ended by SIGTERM (code 143)"
            return replace(seen, state=RunState.FAILED, ended_at=going.ended, exit_code=143, reason=reason)
        if min(attempts * outcome.seconds, spent) > want.timeout_s:
            ended = going.began + timedelta(seconds=want.timeout_s)
            reason = f"took longer than {want.timeout_s} s"
            return replace(seen, state=RunState.FAILED, ended_at=ended, exit_code=143, reason=reason)
        if spent < attempts * outcome.seconds:
            return seen
        ended = going.began + timedelta(seconds=attempts * outcome.seconds)
        if outcome.code == 0:
            return replace(seen, state=RunState.SUCCEEDED, ended_at=ended, exit_code=0)
        last = f": '{outcome.lines[-1]}'" if outcome.lines else ""
        reason = outcome.reason or f"exited with code {outcome.code}{last}"
        return replace(seen, state=RunState.FAILED, ended_at=ended, exit_code=outcome.code, reason=reason)
