"""Turn jobs and their pods into runs of schedules. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from leeward.engines.kubernetes import reasons
from leeward.engines.kubernetes.jobs import BY_HAND
from leeward.engines.kubernetes.names import DUE, INSTANCE, RELEASE, ROLE, stem
from leeward.engines.kubernetes.objects import Known, known
from leeward.engines.kubernetes.pods import Exit, Pod, seconds
from leeward.engines.kubernetes.reasons import NONE, Largest, Reason
from leeward.model.run import RunState, SeenRun, Trigger
from leeward.plan.exits import why

_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# A job's end may be heard of before that of its pod.
_POD_LATE_S = 5.0
# Longer than "at once": how soon a run ended says nothing.
_RAN_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One Job of ours as the cluster reports it."""

    known: Known
    name: str
    namespace: str
    role: str
    release: int
    due: float
    manual: bool
    started_at: float
    ended_at: float
    active: int
    failed: int
    ended: str
    """`Complete` or `Failed`; '' while it goes on."""
    why: str
    """The cluster's word for why it failed."""
    timeout_s: int

    @property
    def run(self) -> str:
        """The id of the run that it is."""
        process = self.known.process
        return f"{process}-{self.name.removeprefix(f'{stem(self.known.app, process)}-')}"


def job(shown: Mapping[str, Any]) -> Job:
    """A Job from the API's answer."""
    meta, spec, status = shown["metadata"], shown.get("spec") or {}, shown.get("status") or {}
    notes: Mapping[str, str] = meta.get("annotations") or {}
    labels: Mapping[str, str] = meta.get("labels") or {}
    over = {each["type"]: each for each in status.get("conditions") or () if each.get("status") == "True"}
    ended = next((kind for kind in ("Complete", "Failed") if kind in over), "")
    created_at = seconds(meta.get("creationTimestamp"))
    end = over.get(ended) or {}
    return Job(
        known=known(shown),
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        role=labels.get(ROLE, INSTANCE),
        release=int(labels[RELEASE]) if labels.get(RELEASE, "").isdigit() else 0,
        due=_due(notes, meta["name"]) or created_at,
        manual=notes.get(BY_HAND) == "manual",
        started_at=seconds(status.get("startTime")) or created_at,
        ended_at=seconds(status.get("completionTime")) or seconds(end.get("lastTransitionTime")),
        active=int(status.get("active") or 0),
        failed=int(status.get("failed") or 0),
        ended=ended,
        why=end.get("reason", ""),
        timeout_s=int(spec.get("activeDeadlineSeconds") or 0),
    )


def _due(notes: Mapping[str, str], name: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", notes.get(DUE, "")):
        return float(notes[DUE])
    if notes.get(_SCHEDULED):
        return seconds(notes[_SCHEDULED])
    # Older clusters say it in the name alone.
    minute = name.rpartition("-")[2]
    return float(minute) * 60 if minute.isdigit() and len(minute) == 8 else 0.0


def seen(one: Job, pods: Sequence[Pod], now: float, largest: Largest | None = None) -> SeenRun:
    """A run, from its job and the pods of its attempts."""
    last = max(pods, key=lambda pod: (pod.created_at, pod.name), default=None)
    shown = SeenRun(
        id=one.run,
        app=one.known.app,
        process=one.known.process,
        release=one.release,
        trigger=Trigger.MANUAL if one.manual else Trigger.SCHEDULE,
        scheduled_at=datetime.fromtimestamp(one.due, UTC),
        state=RunState.RUNNING if last is not None and (last.running or last.ended) else RunState.STARTING,
        instance=last.name if last is not None else "",
        started_at=datetime.fromtimestamp(one.started_at, UTC),
        attempts=max(1, one.failed + (1 if one.active or one.ended == "Complete" else 0)),
    )
    exit = last.ended if last is not None and not last.running else None
    if not one.ended:
        reason, hint = _waits(last, largest)
        return replace(shown, reason=reason, hint=hint)
    late = now - one.ended_at < _POD_LATE_S
    if one.ended == "Failed" and one.why != "DeadlineExceeded" and last is not None and exit is None and late:
        return replace(shown, state=RunState.RUNNING)
    ended_at = datetime.fromtimestamp(one.ended_at, UTC)
    if one.ended == "Complete":
        return replace(shown, state=RunState.SUCCEEDED, ended_at=ended_at, exit_code=0)
    reason, hint = _failure(one, last, exit, largest)
    code = exit.code if exit is not None else None
    return replace(shown, state=RunState.FAILED, ended_at=ended_at, exit_code=code, reason=reason, hint=hint)


def _waits(pod: Pod | None, largest: Largest | None) -> Reason:
    """Why it does not run yet."""
    if pod is None or pod.running or pod.ended is not None:
        return NONE
    for found in (reasons.unscheduled(pod, largest) if not pod.node else NONE, reasons.pull(pod), reasons.create(pod)):
        if found[0]:
            return found
    return NONE


def _failure(one: Job, pod: Pod | None, exit: Exit | None, largest: Largest | None) -> Reason:
    process = one.known.process
    if one.why == "DeadlineExceeded":
        waited = _waits(pod, largest)
        if waited[0]:
            return f"did not begin within {one.timeout_s} s: {waited[0]}", waited[1]
        return f"took longer than {one.timeout_s} s", f"raise 'timeout_s' of '{process}', or let it do less"
    if pod is None or exit is None:
        return "ended badly, and the cluster does not know how", f"see `lee logs {one.known.app}`"
    if exit.reason in ("StartError", "ContainerCannotRun"):
        return reasons.crash(pod, exit)
    return why(
        pod.app,
        pod.process,
        pod.memory_mib,
        code=exit.code,
        oom=exit.reason == "OOMKilled",
        ran_s=_RAN_S,
        lines=exit.message.splitlines(),
    )
