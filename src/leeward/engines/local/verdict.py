"""Decide from checks and exits what an instance does now. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from leeward.engines.local.container import Container
from leeward.model.app import Health
from leeward.model.runtime import InstanceState
from leeward.plan.exits import why

WORKER_READY_S = 2.0
# More failures than make it unhealthy; then it is started anew.
RESTART_AFTER = 3
# While nothing listens yet, asking costs one refused packet: look often, so that a fast start is seen at once.
_EAGER_S = 0.1
_EAGER_FOR_S = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found; `silent` when nothing listens."""

    passed: bool
    reason: str = ""
    hint: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an instance does, and the checks in a row that say so."""

    state: InstanceState = InstanceState.STARTING
    successes: int = 0
    failures: int = 0
    reason: str = ""
    hint: str = ""


def first(container: Container) -> Verdict:
    """The verdict on a container that is seen for the first time.

    One that has its name in the project was ready when the control plane last knew it; its traffic goes on.
    """
    if container.running and container.named:
        return Verdict(InstanceState.READY)
    return Verdict()


def checked(verdict: Verdict, outcome: Outcome, health: Health, age_s: float) -> Verdict:
    """The verdict after one more check of a running instance that is `age_s` seconds old."""
    if outcome.passed:
        successes = verdict.successes + 1
        if verdict.state is InstanceState.READY or successes >= health.successes:
            return Verdict(InstanceState.READY, successes=successes)
        return replace(verdict, successes=successes, failures=0)
    failed = replace(verdict, successes=0, failures=verdict.failures + 1)
    if verdict.state is InstanceState.READY:
        if failed.failures < health.failures:
            return failed
        return replace(failed, state=InstanceState.UNHEALTHY, reason=outcome.reason, hint=outcome.hint)
    if verdict.state is not InstanceState.UNHEALTHY:
        late = age_s > health.deadline
        failed = replace(failed, failures=failed.failures if late else 0)
        if failed.failures >= health.failures:
            failed = replace(failed, state=InstanceState.UNHEALTHY)
    if failed.state is InstanceState.CRASHED:
        return failed
    return replace(failed, reason=outcome.reason, hint=outcome.hint)


def lives(verdict: Verdict, age_s: float) -> Verdict:
    """The verdict on a worker that has run for `age_s` seconds."""
    return Verdict(InstanceState.READY) if age_s >= WORKER_READY_S else verdict


def must_restart(verdict: Verdict, health: Health) -> bool:
    """Whether it has been unhealthy for so long that only a new start may help."""
    return verdict.state is InstanceState.UNHEALTHY and verdict.failures >= health.failures + RESTART_AFTER


def restarted(verdict: Verdict) -> Verdict:
    """The verdict after we started it anew; the reason stays until it is ready."""
    return Verdict(InstanceState.STARTING, reason=verdict.reason, hint=verdict.hint)


def exited(container: Container, *, code: int, oom: bool, ran_s: float, lines: Sequence[str]) -> Verdict:
    """The verdict after its process ended by itself."""
    reason, hint = why(
        container.app, container.process, container.memory_mib, code=code, oom=oom, ran_s=ran_s, lines=lines
    )
    return Verdict(InstanceState.CRASHED, reason=reason, hint=hint)


def next_check_s(verdict: Verdict, outcome: Outcome | None, health: Health, age_s: float) -> float:
    """Seconds until the next check."""
    if verdict.state in (InstanceState.READY, InstanceState.UNHEALTHY):
        return health.interval
    if outcome is not None and outcome.silent and age_s < _EAGER_FOR_S:
        return min(_EAGER_S, health.rollout_interval)
    return health.rollout_interval
