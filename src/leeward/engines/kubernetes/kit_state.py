"""Read of a pod whether BuildKit can be used in it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

_KILLS = re.compile(r"^oom_kill (\d+)$", re.M)


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether it takes builds now."""
    status = pod.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


def waits(pod: Mapping[str, Any] | None) -> str:
    """Why it takes none; '' when it does."""
    if pod is None:
        return "it is being made"
    if ready(pod):
        return ""
    status = pod.get("status") or {}
    for each in status.get("containerStatuses") or ():
        waiting = (each.get("state") or {}).get("waiting") or {}
        ended = (each.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") == "CrashLoopBackOff":
            return f"it ended with exit code {ended.get('exitCode', '?')}: see its log"
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return _short(f"{waiting['reason']}: {waiting.get('message', '')}")
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] != "True":
            return _short(f"no node takes it: {each.get('message', '')}")
    return "it starts"


def life(pod: Mapping[str, Any] | None) -> tuple[str, int]:
    """What tells one life of its container from the next."""
    if pod is None:
        return "", 0
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return pod["metadata"].get("uid", ""), sum(int(each.get("restartCount", 0)) for each in statuses)


def ended_for_memory(pod: Mapping[str, Any] | None) -> bool:
    """Whether the container's life before this one ended for want of memory."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    ends = [(each.get(state) or {}).get("terminated") or {} for each in statuses for state in ("lastState", "state")]
    return any(end.get("reason") == "OOMKilled" for end in ends)


def evicted(pod: Mapping[str, Any] | None) -> bool:
    """Whether it was taken away for what it wrote itself, not for what its node lacked."""
    status = (pod or {}).get("status") or {}
    return status.get("reason") == "Evicted" and "exceeds the" in str(status.get("message", ""))


def kills(events: str) -> int:
    """How many processes the kernel ended for want of memory, as either kind of control group says it."""
    return sum(int(number) for number in _KILLS.findall(events))


def _short(text: str) -> str:
    return " ".join(text.split()).rstrip(": .")[:200]
