"""Decide whether a release that starts is proven, must be waited for, or has failed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from leeward.model.release import PHASES, DeployKind, Phase
from leeward.model.runtime import Instance, InstanceState, Observed, Workload

# A crash can be a race with something that is still starting; the third one is not.
CRASHES = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """Some instances are not ready yet; `text` says which."""

    text: str


@dataclass(frozen=True, slots=True)
class Proven:
    """Every process has all its instances ready: traffic may move."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """The release will not become ready; the reason and what to do."""

    message: str
    hint: str


Verdict = Waiting | Proven | Hopeless


def verdict(wants: Sequence[Workload], seen: Observed, started: float, now: float) -> Verdict:
    """Judge a release by what is seen of it; `started` and `now` are Unix seconds."""
    waiting: list[str] = []
    deadline = max((want.health.deadline for want in wants if want.health), default=300.0)
    worst: Instance | None = None
    for want in wants:
        mine = [i for i in seen.of(want.process) if i.generation == want.generation]
        ready = sum(1 for i in mine if i.state is InstanceState.READY)
        if ready >= want.instances:
            continue
        waiting.append(f"{want.process} {ready} of {want.instances} ready")
        for instance in mine:
            if instance.state is InstanceState.CRASHED and instance.restarts + 1 >= CRASHES:
                return _hopeless(instance)
            if instance.reason and instance.state is not InstanceState.READY:
                worst = instance
    if not waiting:
        return Proven()
    if now - started > deadline:
        if worst is not None:
            found = _hopeless(worst)
            return Hopeless(f"not healthy after {deadline:g} s: {found.message}", found.hint)
        return Hopeless(f"not healthy after {deadline:g} s: {', '.join(waiting)}", "see `lee logs` of the app")
    return Waiting(", ".join(waiting))


def _hopeless(instance: Instance) -> Hopeless:
    reason = instance.reason or f"{instance.process} ended again and again"
    return Hopeless(f"{instance.process}: {reason}", instance.hint or "see `lee logs` of the app")


def phases(kind: DeployKind) -> tuple[Phase, ...]:
    """The steps of a deploy of this kind: only new code is fetched, and only a rebase makes an image without it."""
    if kind is DeployKind.REBASE:
        return (Phase.BUILD, Phase.PUSH, Phase.ROLLOUT)
    return PHASES if kind is DeployKind.CODE else (Phase.ROLLOUT,)


def remaining(kind: DeployKind, phase: Phase) -> tuple[Phase, ...]:
    """The steps from `phase` on; a phase that the kind does not have means from the beginning."""
    steps = phases(kind)
    return steps[steps.index(phase) :] if phase in steps else steps
