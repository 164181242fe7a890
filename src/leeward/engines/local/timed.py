"""Write a run of a schedule on its container, and read back how far it is. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from leeward.engines.local.container import RUN_LABEL, Container
from leeward.model.run import Run, RunState, SeenRun, Timed, Trigger
from leeward.model.runtime import Workload
from leeward.plan.exits import why

_SIGKILL = 137
# The kernel's word on an out-of-memory kill may come after the exit that it caused.
_WORD_S = 1.0
# Longer than "at once": how soon a run ended says nothing.
_RAN_S = 60.0


@dataclass(frozen=True, slots=True)
class Label:
    """What must be known again of a run after a restart of the control plane."""

    id: str
    due: float
    trigger: Trigger
    timeout_s: int


def workload(want: Timed, run: Run) -> Workload:
    """What the container of a run is made from."""
    said = {"id": run.id, "due": run.scheduled_at.timestamp(), "trigger": run.trigger, "timeout_s": want.timeout_s}
    return replace(want.want, release=run.release, labels={**want.want.labels, RUN_LABEL: json.dumps(said)})


def label(container: Container) -> Label:
    """Which run a container is."""
    said = json.loads(container.run)
    return Label(said["id"], float(said["due"]), Trigger(said["trigger"]), int(said["timeout_s"]))


def suffix(run: Run, home: str) -> str:
    """The end of the container's name: the same run has the same name always."""
    return f"{run.id.removeprefix(f'{run.process}-')}-{home}"


def over(container: Container, now: float) -> bool:
    """Whether its time is over."""
    return not container.ended and now - container.created_at > label(container).timeout_s


def settled(container: Container, now: float, oom: bool) -> bool:
    """Whether it has ended, and all that will be known of it is."""
    if container.status not in ("exited", "dead"):
        return False
    return container.exit_code != _SIGKILL or oom or now - container.finished_at >= _WORD_S


def seen(container: Container, now: float, oom: bool, lines: Sequence[str] = ()) -> SeenRun:
    """A run, from its container."""
    said = label(container)
    state, reason, hint = _outcome(container, said, oom, lines)
    final = settled(container, now, oom)
    if not final:
        state = RunState.STARTING if container.status == "created" else RunState.RUNNING
    return SeenRun(
        id=said.id,
        app=container.app,
        process=container.process,
        release=container.release,
        trigger=said.trigger,
        scheduled_at=datetime.fromtimestamp(said.due, UTC),
        state=state,
        instance=container.name,
        # Docker says when the last attempt began; the first one begins as soon as its container is made.
        started_at=datetime.fromtimestamp(container.created_at, UTC),
        ended_at=datetime.fromtimestamp(container.finished_at, UTC) if final else None,
        attempts=container.restarts + 1,
        exit_code=container.exit_code if final else None,
        reason=reason if final else "",
        hint=hint if final else "",
    )


def _outcome(container: Container, said: Label, oom: bool, lines: Sequence[str]) -> tuple[RunState, str, str]:
    if container.finished_at - container.created_at > said.timeout_s:
        return (
            RunState.FAILED,
            f"took longer than {said.timeout_s} s",
            f"raise 'timeout_s' of '{container.process}', or let it do less",
        )
    if container.exit_code == 0 and not oom:
        return RunState.SUCCEEDED, "", ""
    reason, hint = why(
        container.app,
        container.process,
        container.memory_mib,
        code=container.exit_code,
        oom=oom,
        ran_s=_RAN_S,
        lines=lines,
    )
    return RunState.FAILED, reason, hint
