"""Decide which runs of processes with a schedule begin, end and are remembered. Pure.

Each call looks at the present only: what is remembered, what the engine sees, and the time. So a crash in the middle
needs no code of its own: a run that is remembered and not seen was not begun, and one that is seen is taken over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from leeward.model.app import Overlap, ProcessSpec
from leeward.model.release import Release
from leeward.model.run import Mark, Run, RunState, SeenRun, Timed, Trigger, run_id
from leeward.model.runtime import Observed, Workload
from leeward.model.schedule import Schedule, schedule
from leeward.model.wish import App
from leeward.plan.workload import workload

LATE_S = 600
"""A run that could not begin in time begins up to so much later; it is missed after that."""
KEPT = 100
"""So many runs of a process are remembered."""

_NO_MORE = "its process is no more"


@dataclass(frozen=True, slots=True)
class Begin:
    """Remember a run, and begin it."""

    run: Run


@dataclass(frozen=True, slots=True)
class Note:
    """Remember how far a run is."""

    run: Run


@dataclass(frozen=True, slots=True)
class Finish:
    """Remember how a run ended, with what it printed last."""

    run: Run


@dataclass(frozen=True, slots=True)
class End:
    """Have a run end before its time; `cancel` of the run says why."""

    run: Run


@dataclass(frozen=True, slots=True)
class Forget:
    """Take away what is left of a run that is remembered with its end."""

    run: Run


@dataclass(frozen=True, slots=True)
class Count:
    """Count a schedule from here on; `missed` times before were too long ago to be made up for."""

    mark: Mark
    missed: int = 0


Step = Begin | Note | Finish | End | Forget | Count


@dataclass(frozen=True, slots=True)
class Known:
    """All that is remembered of one app."""

    runs: Mapping[str, Run]
    marks: Mapping[str, Mark]


@dataclass(frozen=True, slots=True)
class Due:
    """Which time of a schedule is to be made good now, and how many were missed for good."""

    at: datetime | None = None
    missed: int = 0


def timed(app: App, release: Release) -> tuple[Timed, ...]:
    """The processes with a schedule of a release, as an engine is given them."""
    idle = suspended(release.spec.processes, app.spec.processes)
    found = []
    for name, process in sorted(release.spec.processes.items()):
        if process.schedule is None:
            continue
        want = replace(workload(app, release, app.generation, name, process), instances=1, bounds=None)
        found.append(
            Timed(
                want,
                process.schedule,
                process.timezone,
                process.overlap,
                process.timeout_s,
                process.retries,
                suspended=idle or process.instances.max == 0,
            )
        )
    return tuple(found)


def timed_names(*releases: Release | None) -> frozenset[str]:
    """The names of the processes with a schedule of these releases."""
    found = (release.spec.processes.items() for release in releases if release is not None)
    return frozenset(name for processes in found for name, process in processes if process.timed)


def no_longer(app: App, live: Release, seen: Observed) -> tuple[Workload, ...]:
    """What ran always before its process got a schedule, as workloads of which nothing should run."""
    return tuple(
        replace(workload(app, live, app.generation, name, live.spec.processes[name]), instances=0)
        for name in sorted(timed_names(live))
        if seen.of(name)
    )


def suspended(processes: Mapping[str, ProcessSpec], wished: Mapping[str, ProcessSpec]) -> bool:
    """Whether the whole app was stopped: then nothing runs by the clock either.

    An app whose own manifest (`wished`) lets nothing run always is one of schedules alone, and not stopped.
    """
    others = [name for name, process in processes.items() if not process.timed]
    if any(processes[name].instances.max for name in others):
        return False
    return any(wished.get(name, ProcessSpec()).instances.max for name in others)


def due(times: Schedule, since: datetime, now: datetime, late_s: float = LATE_S) -> Due:
    """What of a schedule is due. However long nobody looked, at most one run begins: the latest one.

    `since` is the last time that began, or when the schedule began to count. It may lie ahead, where a clock was set
    back: then what lies shortly before counts, and whoever knows that run begins it no second time.
    """
    oldest = now - timedelta(seconds=late_s)
    if since > now:
        return Due(times.latest(oldest, now))
    at = times.latest(max(since, oldest), now)
    missed = times.count(since, oldest) if since < oldest else 0
    return Due(at, missed)


def mark_of(want: Timed, now: datetime) -> Mark:
    """A schedule that counts from now on."""
    text = f"{want.schedule} {want.timezone}" + (" suspended" if want.suspended else "")
    return Mark(want.want.app, want.want.process, text, now)


def steps(
    wants: Sequence[Timed], known: Known, seen: Sequence[SeenRun], now: datetime, *, keeps_time: bool
) -> tuple[Step, ...]:
    """What to do for one app now. An engine that `keeps_time` begins what is due by itself."""
    by_process = {want.want.process: want for want in wants}
    found: list[Step] = []
    for run in sorted(known.runs.values(), key=lambda run: run.scheduled_at):
        shown = next((each for each in seen if each.id == run.id), None)
        if run.state.final:
            found += [Forget(run)] if shown is not None and shown.state.final else []
        elif shown is not None:
            found += _seen(run, shown, by_process)
        else:
            found += _unseen(run, by_process, now, keeps_time)
    found += [step for shown in seen if shown.id not in known.runs for step in _stranger(shown, known)]
    if not keeps_time:
        for want in wants:
            found += _by_the_clock(want, known, now)
    return tuple(found)


def next_at(wants: Sequence[Timed], now: datetime) -> datetime | None:
    """When the clock begins a run next."""
    times = [schedule(want.schedule, want.timezone).after(now) for want in wants if not want.suspended]
    return min((at for at in times if at is not None), default=None)


def _seen(run: Run, shown: SeenRun, wants: Mapping[str, Timed]) -> Sequence[Step]:
    if run.process not in wants and not run.cancel:
        run = replace(run, cancel=_NO_MORE)
    taken = _taken(run, shown)
    if shown.state.final:
        return [Finish(taken)]
    if run.cancel:
        return [End(taken)]
    return [Note(taken)] if taken != run else []


def _taken(run: Run, shown: SeenRun) -> Run:
    """A run with what is seen of it; one that was being ended is cancelled, however it ended."""
    cancelled = bool(run.cancel) and shown.state.final
    return replace(
        run,
        state=RunState.CANCELLED if cancelled else shown.state,
        instance=shown.instance or run.instance,
        started_at=shown.started_at or run.started_at,
        ended_at=shown.ended_at,
        attempts=shown.attempts,
        exit_code=shown.exit_code,
        reason=run.cancel if cancelled else shown.reason,
        hint="" if cancelled else shown.hint,
    )


def _unseen(run: Run, wants: Mapping[str, Timed], now: datetime, keeps_time: bool) -> Sequence[Step]:
    """A run that should go on, and that the engine does not have."""

    def ended(state: RunState, reason: str) -> Sequence[Step]:
        return [Finish(replace(run, state=state, ended_at=now, reason=reason))]

    if run.cancel:
        return ended(RunState.CANCELLED, run.cancel)
    if run.process not in wants:
        return ended(RunState.CANCELLED, _NO_MORE)
    if run.state is RunState.RUNNING or (keeps_time and run.trigger is Trigger.SCHEDULE):
        return ended(RunState.FAILED, "was taken away before it ended")
    if now - run.scheduled_at > timedelta(seconds=LATE_S):
        return ended(RunState.FAILED, "could not begin in time")
    return [Begin(run)]


def _stranger(shown: SeenRun, known: Known) -> Sequence[Step]:
    """A run that nobody remembers: the cluster's clock began it. Those that were forgotten for their age stay so."""
    mine = sorted(run.scheduled_at for run in known.runs.values() if run.process == shown.process)
    if len(mine) >= KEPT and shown.scheduled_at <= mine[0]:
        return []
    run = Run(shown.id, shown.app, shown.process, shown.release, shown.trigger, shown.scheduled_at)
    taken = _taken(run, shown)
    return [Finish(taken)] if shown.state.final else [Note(taken)]


def _by_the_clock(want: Timed, known: Known, now: datetime) -> Sequence[Step]:
    process = want.want.process
    mark, fresh = known.marks.get(process), mark_of(want, now)
    if mark is None or mark.text != fresh.text:
        # Also when it goes on: what was due while it was suspended is not made good.
        return [Count(fresh)]
    if want.suspended:
        return []
    mine = [run for run in known.runs.values() if run.process == process and run.trigger is Trigger.SCHEDULE]
    since = max([mark.since, *(run.scheduled_at for run in mine)])
    wanted = due(schedule(want.schedule, want.timezone), since, now)
    found: list[Step] = []
    if wanted.missed:
        found.append(Count(replace(fresh, since=now - timedelta(seconds=LATE_S)), wanted.missed))
    if wanted.at is None or run_id(process, wanted.at) in known.runs:
        return found
    active = [run for run in mine if not run.state.final]
    if active and want.overlap is Overlap.FORBID:
        # As soon as the earlier one has ended, unless that is too late.
        return found
    if want.overlap is Overlap.REPLACE:
        found += [End(replace(run, cancel=run.cancel or "was replaced by the next run")) for run in active]
    run = Run(
        run_id(process, wanted.at), want.want.app, process, want.want.release, Trigger.SCHEDULE, scheduled_at=wanted.at
    )
    return [*found, Begin(run)]
