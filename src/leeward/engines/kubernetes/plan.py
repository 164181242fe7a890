"""Decide the next safe steps for one process from what should run to what does. Pure.

Each call looks at the present only. The cluster starts and heals instances; what is decided here is which generation
has how many, which instances take no more requests, and when those may end.

    starting --healthy--> ready --replaced--> draining --unrouted for drain_s--> gone
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from leeward.model.runtime import Instance, InstanceState, Workload

_LAST_TO_GO = (InstanceState.CRASHED, InstanceState.UNHEALTHY, InstanceState.STARTING, InstanceState.READY)


@dataclass(frozen=True, slots=True)
class Serve:
    """The name of the process stands for this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Take no new work. Its time runs from `since`; None while the edge still sends it requests."""

    instance: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Scale:
    """A generation has this many instances; those that are marked go first."""

    generation: int
    replicas: int
    gone: tuple[str, ...] = ()
    """The instances that this ends."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Take a whole generation away."""

    generation: int


Step = Serve | Mark | Scale | Drop


@dataclass(frozen=True, slots=True)
class Memory:
    """What stands beside the instances."""

    draining: Mapping[str, float | None] = field(default_factory=dict)
    """Instance to the time since when the edge sends it nothing; None while it still does."""
    fresh: frozenset[str] = frozenset()
    """Instances that never got a request: seen to come, and never seen in a route."""
    serves: int | None = None
    """The generation that the name of the process stands for."""
    announced: frozenset[str] | None = None
    """Instances that the cluster's own routes know to be ready; None where that cannot be seen."""
    named: frozenset[str] = frozenset()
    """Instances to which the name of the process leads now."""


def next_steps(
    want: Workload,
    seen: tuple[Instance, ...],
    groups: Mapping[int, int],
    now: float,
    keep: frozenset[int] = frozenset(),
    memory: Memory = Memory(),
) -> tuple[Step, ...]:
    """The steps that are safe now. `seen` is this process only; `groups` is generation to wished instances."""
    alive = [i for i in seen if i.state is not InstanceState.STOPPING]
    new = [i for i in alive if i.generation == want.generation and i.id not in memory.draining]
    surplus = {i.id for i in _surplus(new, want)}
    stay = [i for i in new if i.id not in surplus]
    covered = _covered(want, stay, memory)
    marks: list[Mark] = []
    over: list[Instance] = []
    busy: list[Instance] = []
    for instance in alive:
        old = instance.generation != want.generation
        if instance in stay or (old and instance.generation in keep):
            continue
        if old and not covered and instance.id not in memory.fresh:
            continue
        mark, ended = _leave(instance, want, now, memory)
        marks += [mark] if mark is not None else []
        (over if ended else busy).append(instance)
    return (
        *_serve(want, groups, keep, memory, covered),
        *marks,
        *_scale(want, groups, keep, covered, over, busy),
    )


def own(steps: tuple[Step, ...], want: Workload, keep: frozenset[int]) -> tuple[Step, ...]:
    """The same steps without those of others: the name of a generation that is kept, with its hosts, its port and its
    sleep, is as its own release wants it."""
    return tuple(
        step
        for step in steps
        if not (isinstance(step, Serve) and step.generation != want.generation and step.generation in keep)
    )


def _covered(want: Workload, stay: list[Instance], memory: Memory) -> bool:
    """Whether the generation may take over. What we know to be ready the cluster's own routes may learn later: a name
    that moved too early would lead nowhere for a moment."""
    ready = [i.id for i in stay if i.state is InstanceState.READY]
    if memory.announced is not None and memory.serves not in (None, want.generation):
        ready = [id for id in ready if id in memory.announced]
    return len(ready) >= want.instances


def _serve(
    want: Workload, groups: Mapping[int, int], keep: frozenset[int], memory: Memory, covered: bool
) -> tuple[Serve, ...]:
    now = memory.serves
    moves = now is None or now == want.generation or (now not in keep and (covered or now not in groups))
    if want.instances == 0 and now is None:
        return ()
    return (Serve(want.generation if moves or now is None else now),)


def _scale(
    want: Workload,
    groups: Mapping[int, int],
    keep: frozenset[int],
    covered: bool,
    over: list[Instance],
    busy: list[Instance],
) -> tuple[Step, ...]:
    steps: list[Step] = []
    leaving = Counter(i.generation for i in busy)
    for generation in sorted({*groups, want.generation}):
        gone = tuple(i.id for i in over if i.generation == generation)
        has = groups.get(generation)
        if generation == want.generation:
            replicas = want.instances + leaving[generation]
        elif generation in keep or has is None:
            continue
        elif covered:
            replicas = leaving[generation]
        else:
            replicas = max(0, has - len(gone))
        if replicas:
            steps.append(Scale(generation, replicas, gone))
        elif has is not None:
            steps.append(Drop(generation))
    return tuple(steps)


def _surplus(new: list[Instance], want: Workload) -> list[Instance]:
    """Those that are too many: first what does not serve, then what gets no requests, then the youngest."""
    order = sorted(
        new,
        key=lambda i: (
            _LAST_TO_GO.index(i.state) if i.state in _LAST_TO_GO else 0,
            routed(i, want),
            -i.started_at,
            i.id,
        ),
    )
    return order[: max(0, len(new) - want.instances)]


def routed(instance: Instance, want: Workload) -> bool:
    """Whether the edge sends requests to it."""
    return want.routed is not None and (instance.id in want.routed or instance.peer in want.routed)


def _leave(instance: Instance, want: Workload, now: float, memory: Memory) -> tuple[Mark | None, bool]:
    """One step on the way out, and whether it may end now."""
    known = instance.id in memory.draining
    since = memory.draining.get(instance.id)
    if routed(instance, want) or (want.routed is not None and instance.id in memory.named):
        return (None if known and since is None else Mark(instance.id, None)), False
    drain_s = want.health.drain if want.health is not None else 0.0
    if instance.id in memory.fresh or instance.state is InstanceState.CRASHED or drain_s == 0:
        # Marked all the same, so that it is this one that goes.
        return (None if known and since is not None else Mark(instance.id, now)), True
    if since is None:
        return Mark(instance.id, now), False
    return None, now - since >= drain_s
