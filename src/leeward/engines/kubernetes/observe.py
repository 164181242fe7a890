"""Turn pods into instances. Pure."""

from collections.abc import Mapping

from leeward.engines.kubernetes import reasons
from leeward.engines.kubernetes.pods import Pod
from leeward.engines.kubernetes.reasons import NONE, Largest, Reason
from leeward.model.runtime import Instance, InstanceState

# A node says when a process started in whole seconds, rounded down: two full seconds have passed after three.
WORKER_READY_S = 3.0
# As many ends as make a deploy give up.
_GIVE_UP = 2


def instance(
    pod: Pod,
    now: float,
    *,
    check: str = "",
    largest: Largest | None = None,
    host: str = "",
    disk_mib: int = 0,
    stuck: str = "",
    lost: bool = False,
) -> Instance:
    """A pod as an instance. `check` is the node's word on its last health check that failed; `stuck` says why the
    others of its generation are late; `lost` that its node does not answer."""
    state = _state(pod, now)
    reason, hint = (
        NONE if state is InstanceState.READY else _reason(pod, state, check, largest, host or pod.app, disk_mib)
    )
    if lost and state is not InstanceState.READY:
        reason, hint = reasons.lost(pod)
    if not reason and stuck and state is InstanceState.STARTING:
        reason = stuck
    never = reasons.hopeless(pod) and state is InstanceState.CRASHED
    return Instance(
        id=pod.name,
        app=pod.app,
        process=pod.process,
        release=pod.release,
        generation=pod.generation,
        state=_left(pod) or state,
        host=pod.host,
        port=pod.port,
        started_at=pod.started_at or pod.created_at,
        reason=reason,
        hint=hint,
        restarts=max(pod.restarts, _GIVE_UP) if never else pod.restarts,
    )


def _left(pod: Pod) -> InstanceState | None:
    if pod.deleted:
        return InstanceState.STOPPING
    return InstanceState.DRAINING if pod.draining else None


def _state(pod: Pod, now: float) -> InstanceState:
    if pod.phase in ("Failed", "Succeeded") or reasons.hopeless(pod):
        return InstanceState.CRASHED
    if not pod.running:
        return InstanceState.CRASHED if pod.ended is not None else InstanceState.STARTING
    if pod.ready and (pod.path or now - pod.started_at >= WORKER_READY_S):
        return InstanceState.READY
    # It was ready once: that changed after its present process started.
    if not pod.ready and pod.ready_at > pod.started_at + 1:
        return InstanceState.UNHEALTHY
    return InstanceState.CRASHED if pod.ended is not None else InstanceState.STARTING


def _reason(pod: Pod, state: InstanceState, check: str, largest: Largest | None, host: str, disk_mib: int) -> Reason:
    for found in (
        reasons.evicted(pod, disk_mib),
        reasons.unscheduled(pod, largest) if not pod.node else NONE,
        reasons.pull(pod),
        reasons.create(pod),
    ):
        if found[0]:
            return found
    if state is InstanceState.CRASHED and pod.ended is not None:
        return reasons.crash(pod, pod.ended)
    return reasons.checked(pod, check, host)


def refused(app: str, process: str, project: str, generation: int, message: str, at: float) -> Instance:
    """What stands for the instances that the cluster does not even make."""
    reason, hint = reasons.refused(project, message)
    return Instance(
        id=f"{app}-{process}-g{generation}-refused",
        app=app,
        process=process,
        release=0,
        generation=generation,
        state=InstanceState.STARTING,
        started_at=at,
        reason=reason,
        hint=hint,
    )


def next_look_s(pods: Mapping[str, Pod], now: float) -> float | None:
    """Seconds until a worker among them becomes ready by having lived; None when none will."""
    left = [
        pod.started_at + WORKER_READY_S - now
        for pod in pods.values()
        if not pod.path and pod.ready and pod.running and now - pod.started_at < WORKER_READY_S
    ]
    return max(0.05, min(left)) if left else None
