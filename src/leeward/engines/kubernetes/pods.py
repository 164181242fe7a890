"""Read a pod. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

from leeward.engines.kubernetes.names import APP, DISK, DRAINING, GENERATION, INSTANCE, PROCESS, PROJECT, RELEASE, ROLE

_UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}


@dataclass(frozen=True, slots=True)
class Exit:
    """The last end of a pod's process."""

    code: int
    reason: str
    message: str
    started_at: float
    finished_at: float


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of ours as the cluster reports it."""

    uid: str
    version: str
    name: str
    namespace: str
    app: str
    process: str
    project: str
    release: int
    generation: int
    role: str
    node: str
    host: str
    port: int
    phase: str
    deleted: bool
    draining: str
    """Its mark: '' when it has none."""
    image: str
    millicpu: int
    reserved_millicpu: int
    memory_mib: int
    path: str
    """What its health check asks for; '' for a worker."""
    check_s: float
    created_at: float
    running: bool
    ready: bool
    ready_at: float
    """When its being ready changed last."""
    started_at: float
    restarts: int
    container: str
    waiting: str
    waiting_message: str
    ended: Exit | None
    unscheduled: str
    """Why no node takes it; '' when one has."""
    status_reason: str
    status_message: str
    claims: tuple[str, ...] = ()
    """The claims that it has, by name."""
    holds: bool = False
    """Whether others that have its disk must be on its node."""

    @property
    def since(self) -> float | None:
        """Since when the edge sends it nothing; None while it still does, or when it has no mark."""
        return float(self.draining) if re.fullmatch(r"\d+(\.\d+)?", self.draining) else None


def read(shown: Mapping[str, Any]) -> Pod:
    """A pod from the API's answer."""
    meta, spec, status = shown["metadata"], shown.get("spec") or {}, shown.get("status") or {}
    labels: Mapping[str, str] = meta.get("labels") or {}
    container = (spec.get("containers") or [{}])[0]
    containers = status.get("containerStatuses") or [{}]
    now = containers[0]
    state = now.get("state") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready") or {}, conditions.get("PodScheduled") or {}
    limits = (container.get("resources") or {}).get("limits") or {}
    reserved = (container.get("resources") or {}).get("requests") or {}
    check = container.get("readinessProbe") or {}
    return Pod(
        uid=meta.get("uid", ""),
        version=meta.get("resourceVersion", ""),
        name=meta["name"],
        namespace=intern(meta.get("namespace", "")),
        app=intern(labels.get(APP, "")),
        process=intern(labels.get(PROCESS, "")),
        project=intern(labels.get(PROJECT, "")),
        release=_number(labels.get(RELEASE, "")),
        generation=_number(labels.get(GENERATION, "")),
        role=intern(labels.get(ROLE, INSTANCE)),
        node=intern(spec.get("nodeName", "")),
        host=status.get("podIP", ""),
        port=int((container.get("ports") or [{}])[0].get("containerPort") or 0),
        phase=intern(status.get("phase", "")),
        deleted="deletionTimestamp" in meta,
        draining=(meta.get("annotations") or {}).get(DRAINING, ""),
        image=intern(container.get("image", "")),
        millicpu=millicpu(limits.get("cpu", "0")),
        reserved_millicpu=millicpu(reserved.get("cpu", "0")),
        memory_mib=amount(limits.get("memory", "0")) // 1024**2,
        path=intern((check.get("httpGet") or {}).get("path", "")),
        check_s=float(check.get("timeoutSeconds") or 1),
        created_at=seconds(meta.get("creationTimestamp")),
        running="running" in state,
        ready=ready.get("status") == "True",
        ready_at=seconds(ready.get("lastTransitionTime")),
        started_at=seconds((state.get("running") or {}).get("startedAt")),
        restarts=int(now.get("restartCount") or 0),
        container=now.get("containerID") or "",
        waiting=(state.get("waiting") or {}).get("reason", ""),
        waiting_message=(state.get("waiting") or {}).get("message", ""),
        ended=_exit(state.get("terminated")) or _exit((now.get("lastState") or {}).get("terminated")),
        unscheduled=scheduled.get("message", "unschedulable") if scheduled.get("status") == "False" else "",
        status_reason=status.get("reason", ""),
        status_message=status.get("message", ""),
        claims=tuple(
            each["persistentVolumeClaim"]["claimName"]
            for each in spec.get("volumes") or ()
            if "persistentVolumeClaim" in each
        ),
        holds=DISK in labels,
    )


def misplaced(pods: Iterable[Pod], silent: Callable[[str], bool]) -> tuple[Pod, ...]:
    """Those with a disk that hold others to a node which does not answer, or do not hold them to one that does."""
    return tuple(
        pod
        for pod in pods
        if pod.app and pod.claims and pod.node and pod.holds == silent(pod.node) and (pod.holds or not pod.deleted)
    )


def _exit(shown: Mapping[str, Any] | None) -> Exit | None:
    if not shown:
        return None
    return Exit(
        int(shown.get("exitCode") or 0),
        reason=shown.get("reason", ""),
        message=shown.get("message", ""),
        started_at=seconds(shown.get("startedAt")),
        finished_at=seconds(shown.get("finishedAt")),
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def seconds(text: str | None) -> float:
    """Unix seconds of a time stamp ('2026-01-02T03:04:05Z'); 0.0 for none."""
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def millicpu(text: str) -> int:
    """Thousandths of a core in a quantity: '250m', '2', '1500000n'."""
    for unit, divisor in (("m", 1), ("u", 1000), ("n", 1_000_000)):
        if text.endswith(unit):
            return round(float(text[:-1]) / divisor)
    return round(float(text or 0) * 1000)


def amount(text: str) -> int:
    """Bytes in a quantity: '512Mi', '1G', '1024'."""
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return round(float(text[: -len(unit)]) * factor)
    if text.endswith("m"):
        return round(float(text[:-1]) / 1000)
    return round(float(text or 0))
