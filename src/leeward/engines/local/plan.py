"""Decide the next safe steps from what should run to what does. Pure.

A rollout is not a script. Each call looks at the present only, so a crash, a
restart or a second rollout in the middle needs no code of its own.

    starting --healthy--> ready --replaced--> draining --unrouted for drain_s--> gone

An instance leaves when another generation is wished for and enough instances of that one
are ready, or when there are more than wished for. It first drains, so that the edge takes
it out of its routes; only then does its time run; only then is it stopped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from leeward.model.runtime import Instance, InstanceState, Workload

# A start takes about 0.6 s of a whole core for a small web app: with a tenth of a core it takes over 3 s.
BOOST_MILLICPU = 1000

_LAST_TO_GO = (
    InstanceState.CRASHED,
    InstanceState.UNHEALTHY,
    InstanceState.STARTING,
    InstanceState.READY,
)


@dataclass(frozen=True, slots=True)
class Start:
    """Start one more instance, at `millicpu`, which is above the size when it is boosted."""

    millicpu: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new work. Its time runs from `since`; None while the edge still sends it requests."""

    instance: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Stop:
    """End it: SIGTERM, ten seconds, SIGKILL, remove."""

    instance: str


@dataclass(frozen=True, slots=True)
class Unboost:
    """Lower its CPU to what its size allows, while it runs."""

    instance: str


Step = Start | Drain | Stop | Unboost


@dataclass(frozen=True, slots=True)
class Memory:
    """What cannot be seen from outside. All of it may be lost at any moment: things then take longer, no more."""

    draining: Mapping[str, float | None] = field(default_factory=dict)
    """Instance to the time since when the edge sends it nothing; None while it still does."""
    fresh: frozenset[str] = frozenset()
    """Instances that never got a request: started here, and never seen in a route."""
    ended: frozenset[str] = frozenset()
    """Instances whose container is there, but will not run again by itself."""


def next_steps(
    want: Workload,
    seen: tuple[Instance, ...],
    now: float,
    keep: frozenset[int] = frozenset(),
    memory: Memory = Memory(),
    boost: tuple[int, ...] = (),
) -> tuple[Step, ...]:
    """The steps that are safe now. `seen` is this process only; `boost` is one millicpu for each start that may
    be boosted (see `boosts`)."""
    mine = tuple(i for i in seen if i.app == want.app and i.process == want.process)
    alive = [i for i in mine if i.state is not InstanceState.STOPPING and i.id not in memory.ended]
    new = [i for i in alive if i.generation == want.generation and not _leaves(i, memory)]
    surplus = _surplus(new, want)
    stay = {i.id for i in new} - {i.id for i in surplus}
    covered = sum(i.state is InstanceState.READY for i in new if i.id in stay) >= want.instances
    steps: list[Step] = [Stop(i.id) for i in mine if i.id in memory.ended and i.state is not InstanceState.STOPPING]
    for instance in alive:
        if instance.id in stay or _kept(instance, want, keep):
            continue
        if instance.generation != want.generation and not covered and instance.id not in memory.fresh:
            continue
        steps.extend(_leave(instance, want, now, memory))
    missing = want.instances - len(stay)
    speeds = (*boost[: max(missing, 0)], *(want.millicpu for _ in range(missing)))
    steps.extend(Start(millicpu) for millicpu in speeds[: max(missing, 0)])
    return tuple(steps)


def boosts(want: Workload, boosted: int, most: int, cores: float, boost_s: float) -> tuple[int, ...]:
    """The millicpu of the starts that may be boosted, when `boosted` are already."""
    millicpu = min(BOOST_MILLICPU, int(cores * 1000))
    if boost_s <= 0 or want.millicpu >= millicpu:
        return ()
    return (millicpu,) * max(0, most - boosted)


def lowered(seen: tuple[Instance, ...], now: float, boost_s: float) -> tuple[Unboost, ...]:
    """The boosts that are over: the instance is ready, leaves, has crashed once, or its time is up."""
    return tuple(
        Unboost(i.id)
        for i in seen
        if i.boosted
        and (i.state is not InstanceState.STARTING or i.restarts > 0 or now - i.started_at >= boost_s)
        and i.state not in (InstanceState.STOPPING,)
    )


def routed(instance: Instance, want: Workload) -> bool:
    """Whether the edge sends requests to it."""
    return want.routed is not None and (instance.id in want.routed or instance.peer in want.routed)


def _kept(instance: Instance, want: Workload, keep: frozenset[int]) -> bool:
    return instance.generation != want.generation and instance.generation in keep


def _leaves(instance: Instance, memory: Memory) -> bool:
    return instance.state is InstanceState.DRAINING or instance.id in memory.draining


def _surplus(new: list[Instance], want: Workload) -> list[Instance]:
    """Those that are too many: first what does not serve, then what gets no requests, then the youngest."""
    order = sorted(new, key=lambda i: (_LAST_TO_GO.index(i.state), routed(i, want), -i.started_at, i.id))
    return order[: max(0, len(new) - want.instances)]


def _leave(instance: Instance, want: Workload, now: float, memory: Memory) -> Iterator[Step]:
    """One step on the way out."""
    known = instance.id in memory.draining
    since = memory.draining.get(instance.id)
    if routed(instance, want):
        if not known or since is not None:
            yield Drain(instance.id, None)
        return
    drain_s = want.health.drain if want.health is not None else 0.0
    serves_nobody = instance.id in memory.fresh or instance.state is InstanceState.CRASHED or drain_s == 0
    if serves_nobody or (since is not None and now - since >= drain_s):
        yield Stop(instance.id)
    elif since is None:
        yield Drain(instance.id, now)
