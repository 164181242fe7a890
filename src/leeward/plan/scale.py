"""Decide how many instances of a process should run, by their CPU. Pure."""

import math

from leeward.model.app import Instances

# Within a tenth of the target nothing changes, as Kubernetes' autoscaler has it.
TOLERANCE = 0.1
# Down only after five quiet minutes, so that a pause between two waves does not stop what the second one needs.
QUIET_S = 300.0


def wished(bounds: Instances, running: int, cpu_percent: float, quiet_s: float) -> int:
    """Instances that should run: `cpu_percent` is their mean use of the size's CPU, `quiet_s` the seconds since
    more were needed than would be now."""
    least = max(bounds.min, min(1, bounds.max))
    if running == 0:
        return least
    ratio = cpu_percent / bounds.cpu_percent
    target = running if abs(ratio - 1) <= TOLERANCE else math.ceil(running * ratio)
    if target < running and quiet_s < QUIET_S:
        target = running
    return max(least, min(bounds.max, target))
