"""Decide when an app that nobody asks goes to sleep. Pure."""

from dataclasses import dataclass

from leeward.model.app import Health, Instances
from leeward.model.release import Release
from leeward.model.route import Traffic
from leeward.model.runtime import InstanceState, Observed
from leeward.plan.release import WEB

# Between two checks of an instance that requests wait for. One good answer is enough: its release was proven.
EAGER_S = 0.1
_LEAVING = (InstanceState.DRAINING, InstanceState.STOPPING)


@dataclass(frozen=True, slots=True)
class Activity:
    """When an app was last asked, as far as the edge's counters say; `requests` are all that were counted then."""

    at: float
    requests: int = 0
    streams_seen: int = 0


def may_sleep(release: Release | None) -> Instances | None:
    """The bounds of the web process, where none of it need run while nobody asks."""
    web = release.spec.processes.get(WEB) if release is not None else None
    return web.instances if web is not None and web.instances.may_sleep else None


def noticed(before: Activity | None, traffic: Traffic, now: float) -> Activity:
    """What is known after one more look. Whatever is open is activity, however long and however silent it is."""
    busy = bool(traffic.streams) or traffic.open > 0
    if before is not None:
        busy |= (traffic.requests, traffic.streams_seen) != (before.requests, before.streams_seen)
    return Activity(now if before is None or busy else before.at, traffic.requests, traffic.streams_seen)


def falls_asleep(bounds: Instances, activity: Activity, now: float) -> bool:
    """Whether nobody has asked for long enough."""
    return bounds.may_sleep and now - activity.at >= bounds.sleep_after_s


def counts_seen(release: Release, seen: Observed, generation: int) -> dict[str, int]:
    """How many instances of each process that scales run already: what an earlier control plane chose.

    A web process that may sleep, of which nothing runs, sleeps.
    """
    found: dict[str, int] = {}
    for name, process in release.spec.processes.items():
        bounds = process.instances
        if process.timed or bounds.min == bounds.max:
            continue
        mine = sum(i.generation == generation and i.state not in _LEAVING for i in seen.of(name))
        if mine or (name == WEB and bounds.may_sleep):
            found[name] = mine
    return found


def eager(health: Health) -> Health:
    """How an instance is checked that requests wait for."""
    return health.model_copy(update={"successes": 1, "rollout_interval": min(EAGER_S, health.rollout_interval)})
