"""Read a node. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leeward.engines.kubernetes.pods import amount, millicpu

# How long a node may be silent, beside the time that the cluster takes to notice, before its instances are replaced.
# The cluster's own default is five minutes, which an app with one instance would be away.
GONE_AFTER_S = 30
_GONE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class Room:
    """What a node has for pods, and whether it answers."""

    millicpu: int = 0
    memory_mib: int = 0
    silent: bool = False


def room(shown: Mapping[str, Any]) -> Room:
    """A node from the API's answer."""
    status = shown.get("status") or {}
    most = status.get("allocatable") or {}
    conditions = status.get("conditions") or ()
    ready: Mapping[str, Any] = next((each for each in conditions if each.get("type") == "Ready"), {})
    return Room(
        millicpu(most.get("cpu", "0")),
        amount(most.get("memory", "0")) // 1024**2,
        # 'False' is a node that says itself that it is not ready.
        silent=ready.get("status") == "Unknown",
    )


def patience() -> list[dict[str, Any]]:
    """Tolerations by which an instance leaves a node that is gone."""
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": GONE_AFTER_S} for key in _GONE
    ]
