"""The local engine's plan: what may start, drain and stop, and when."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from leeward.engines.local.plan import (
    Drain,
    Memory,
    Start,
    Step,
    Stop,
    Unboost,
    boosts,
    lowered,
    next_steps,
    routed,
)
from leeward.model.app import Health
from leeward.model.runtime import Instance, InstanceState, Workload

READY = InstanceState.READY
DRAIN_S = 30.0
WANT = Workload(
    app="shop",
    process="web",
    project="default",
    release=2,
    generation=2000,
    image="image",
    command=None,
    env=(),
    instances=2,
    millicpu=100,
    memory_mib=256,
    port=8080,
    health=Health(drain=DRAIN_S),
    routed=frozenset(),
)


def instance(id: str, generation: int = 2000, state: InstanceState = READY, **changes: object) -> Instance:
    number = int("".join(sign for sign in id if sign.isdigit()) or 0)
    base = Instance(id, "shop", "web", generation // 1000, generation, state, f"10.0.0.{number}", 8080, float(number))
    return replace(base, **changes)  # type: ignore[arg-type]


# --- tables ---------------------------------------------------------------------------------------------------


def test_what_is_missing_is_started_at_its_size() -> None:
    assert next_steps(WANT, (), 0) == (Start(100), Start(100))


def test_the_first_starts_are_boosted_while_there_are_boosts() -> None:
    assert next_steps(WANT, (), 0, boost=(1000,)) == (Start(1000), Start(100))


def test_nothing_is_done_when_all_is_as_wished() -> None:
    assert next_steps(WANT, (instance("a1"), instance("a2")), 0) == ()


@pytest.mark.parametrize("state", [InstanceState.STARTING, InstanceState.CRASHED, InstanceState.UNHEALTHY])
def test_an_instance_in_trouble_is_not_doubled(state: InstanceState) -> None:
    assert next_steps(WANT, (instance("a1"), instance("a2", state=state)), 0) == ()


def test_what_is_being_stopped_is_replaced() -> None:
    assert next_steps(WANT, (instance("a1"), instance("a2", state=InstanceState.STOPPING)), 0) == (Start(100),)


def test_what_ended_for_good_is_removed_and_replaced() -> None:
    seen = (instance("a1"), instance("a2", state=InstanceState.CRASHED))

    steps = next_steps(WANT, seen, 0, memory=Memory(ended=frozenset({"a2"})))

    assert steps == (Stop("a2"), Start(100))


def test_old_instances_wait_for_the_new_ones() -> None:
    seen = (instance("old1", 1000), instance("a2"), instance("a3", state=InstanceState.STARTING))

    assert next_steps(WANT, seen, 0) == ()


def test_old_instances_drain_when_the_new_ones_are_ready() -> None:
    seen = (instance("old1", 1000), instance("a2"), instance("a3"))

    assert next_steps(WANT, seen, 7) == (Drain("old1", 7),)


def test_an_old_instance_that_is_routed_is_marked_and_its_time_does_not_run() -> None:
    want = replace(WANT, routed=frozenset({"old1"}))
    seen = (instance("old1", 1000), instance("a2"), instance("a3"))

    assert next_steps(want, seen, 7) == (Drain("old1", None),)


def test_a_route_may_name_the_address() -> None:
    want = replace(WANT, routed=frozenset({"10.0.0.1:8080"}))

    assert routed(instance("old1", 1000), want)
    assert not routed(instance("old2", 1000), want)


@pytest.mark.parametrize(("since", "now", "steps"), [(0.0, 29.9, ()), (0.0, 30.0, (Stop("old1"),)), (None, 99.0, None)])
def test_an_instance_stops_when_its_drain_is_over(
    since: float | None, now: float, steps: tuple[Step, ...] | None
) -> None:
    seen = (instance("old1", 1000, InstanceState.DRAINING), instance("a2"), instance("a3"))

    found = next_steps(WANT, seen, now, memory=Memory(draining={"old1": since}))

    assert found == (steps if steps is not None else (Drain("old1", now),))


def test_a_drain_begins_anew_when_the_instance_gets_requests_again() -> None:
    want = replace(WANT, routed=frozenset({"old1"}))
    seen = (instance("old1", 1000, InstanceState.DRAINING), instance("a2"), instance("a3"))

    assert next_steps(want, seen, 99, memory=Memory(draining={"old1": 0.0})) == (Drain("old1", None),)


def test_kept_generations_are_left_alone() -> None:
    seen = (instance("old1", 1000), instance("new1", 3000), instance("a2"), instance("a3"))

    assert next_steps(WANT, seen, 0, keep=frozenset({1000, 3000})) == ()


def test_a_candidate_that_never_served_goes_at_once() -> None:
    seen = (instance("a1"), instance("new2", 3000), instance("new3", 3000, InstanceState.STARTING))

    steps = next_steps(replace(WANT, instances=1), seen, 0, memory=Memory(fresh=frozenset({"new2", "new3"})))

    assert steps == (Stop("new2"), Stop("new3"))


def test_a_worker_stops_without_drain() -> None:
    want = replace(WANT, process="worker", health=None, routed=None, instances=1)
    old, new = (replace(i, process="worker") for i in (instance("old1", 1000), instance("a2")))

    assert next_steps(want, (old, new), 0) == (Stop("old1"),)


def test_of_too_many_those_go_first_that_serve_nobody() -> None:
    seen = (
        instance("a1"),
        instance("a2", state=InstanceState.CRASHED),
        instance("a3"),
        instance("a4", state=InstanceState.STARTING),
    )
    want = replace(WANT, instances=1, routed=frozenset({"a3"}))

    steps = next_steps(want, seen, 0)

    assert {step.instance for step in steps if not isinstance(step, Start)} == {"a1", "a2", "a4"}


def test_of_equals_the_youngest_goes() -> None:
    steps = next_steps(replace(WANT, instances=1), (instance("a1"), instance("a2")), 5)

    assert steps == (Drain("a2", 5),)


def test_other_processes_and_apps_are_not_looked_at() -> None:
    stranger = replace(instance("x1", 1000), app="other")
    worker = replace(instance("x2", 1000), process="worker")

    assert next_steps(WANT, (stranger, worker, instance("a3"), instance("a4")), 0) == ()


@pytest.mark.parametrize(
    ("millicpu", "boosted", "most", "cores", "boost_s", "found"),
    [
        (100, 0, 2, 2.0, 60.0, (1000, 1000)),
        (100, 1, 2, 2.0, 60.0, (1000,)),
        (100, 2, 2, 2.0, 60.0, ()),
        (100, 0, 2, 0.5, 60.0, (500, 500)),
        (1000, 0, 2, 2.0, 60.0, ()),
        (100, 0, 0, 2.0, 60.0, ()),
        (100, 0, 2, 2.0, 0.0, ()),
    ],
)
def test_boosts_are_bounded(
    millicpu: int, boosted: int, most: int, cores: float, boost_s: float, found: tuple[int, ...]
) -> None:
    assert boosts(replace(WANT, millicpu=millicpu), boosted, most, cores, boost_s) == found


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({"state": InstanceState.STARTING}, False),
        ({"state": InstanceState.READY}, True),
        ({"state": InstanceState.STARTING, "restarts": 1}, True),
        ({"state": InstanceState.STARTING, "started_at": -60.0}, True),
        ({"state": InstanceState.READY, "boosted": False}, False),
        ({"state": InstanceState.STOPPING}, False),
    ],
)
def test_a_boost_ends_with_the_start_or_with_its_time(changes: dict[str, object], over: bool) -> None:
    seen = instance("a1", **{"boosted": True, "started_at": 0.0, **changes})  # type: ignore[arg-type]

    assert lowered((seen,), 0.0, 60.0) == ((Unboost("a1"),) if over else ())


# --- properties -----------------------------------------------------------------------------------------------


class World:
    """A machine and an edge without a machine and an edge."""

    def __init__(self, old: Iterable[InstanceState], drain_s: float) -> None:
        self.now = 0.0
        self.count = 0
        self.drain_s = drain_s
        self.seen: dict[str, Instance] = {}
        self.draining: dict[str, float | None] = {}
        self.fresh: set[str] = set()
        self.routed: frozenset[str] = frozenset()
        for state in old:
            self.add(1000, state)
        self.fresh.clear()

    def add(self, generation: int, state: InstanceState = InstanceState.STARTING) -> None:
        self.count += 1
        id = f"i{self.count}"
        self.seen[id] = instance(id, generation, state, started_at=self.now + self.count / 1000)
        self.fresh.add(id)

    def shown(self) -> tuple[Instance, ...]:
        return tuple(
            replace(i, state=InstanceState.DRAINING) if i.id in self.draining else i for i in self.seen.values()
        )

    def route(self, generation: int, wished: int = 1) -> None:
        """As a control loop does it: ready ones of this generation, else any ready, else draining ones."""
        shown = self.shown()
        choices = (
            [i.id for i in shown if i.generation == generation and i.state is READY],
            [i.id for i in shown if i.state is READY],
            [i.id for i in shown if i.state is InstanceState.DRAINING and self.seen[i.id].state is READY],
        )
        self.routed = frozenset(next((choice for choice in choices if choice and wished), ()))
        self.fresh -= self.routed

    def step(self, want: Workload, keep: frozenset[int] = frozenset()) -> tuple[Step, ...]:
        want = replace(want, routed=self.routed, health=Health(drain=self.drain_s))
        memory = Memory(dict(self.draining), frozenset(self.fresh))
        steps = next_steps(want, self.shown(), self.now, keep, memory)
        for step in steps:
            match step:
                case Start():
                    self.add(want.generation)
                case Drain(id, since):
                    self.draining[id] = since
                case Stop(id):
                    assert id not in self.routed, "what is routed was stopped"
                    del self.seen[id]
                    self.draining.pop(id, None)
                    self.fresh.discard(id)
                case Unboost():
                    pass
        return steps

    def serving(self, generation: int) -> int:
        """Ready instances that go on serving: of this generation, and others that have served."""
        return sum(i.state is READY and (i.generation == generation or i.id not in self.fresh) for i in self.shown())


STATES = st.sampled_from([InstanceState.STARTING, READY, READY, InstanceState.CRASHED, InstanceState.UNHEALTHY])
MOVES = st.lists(st.tuples(st.integers(0, 9), STATES, st.booleans(), st.floats(0, 20)), max_size=25)


@bounds(max_examples=150, deadline=None)
@given(old=st.lists(STATES, max_size=4), wished=st.integers(0, 4), drain_s=st.sampled_from([0.0, 10.0]), moves=MOVES)
def test_a_rollout_never_takes_traffic_away_and_never_runs_too_much(
    old: list[InstanceState], wished: int, drain_s: float, moves: list[tuple[int, InstanceState, bool, float]]
) -> None:
    world = World(old, drain_s)
    want = replace(WANT, instances=wished)
    world.route(1000)

    for chosen, state, reroutes, passed in moves:
        if world.seen:
            id = list(world.seen)[chosen % len(world.seen)]
            world.seen[id] = replace(world.seen[id], state=state)
        world.now += passed
        if reroutes:
            world.route(2000)
        before = world.serving(2000)
        world.step(want)

        assert world.serving(2000) >= min(before, wished)
        new = [i for i in world.shown() if i.generation == 2000 and i.state is not InstanceState.DRAINING]
        assert len(new) <= wished
        assert len([i for i in world.seen.values() if i.generation == 1000]) <= len(old)


@bounds(max_examples=100, deadline=None)
@given(
    old=st.lists(STATES, max_size=4),
    wishes=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=4),
    moves=MOVES,
)
def test_whatever_happened_it_ends_with_what_is_wished_for(
    old: list[InstanceState],
    wishes: list[tuple[int, int]],
    moves: list[tuple[int, InstanceState, bool, float]],
) -> None:
    world = World(old, 10.0)
    wished, generation = wishes[0]
    for number, (chosen, state, reroutes, passed) in enumerate(moves):
        wished, generation = wishes[number * len(wishes) // len(moves)]
        if world.seen:
            id = list(world.seen)[chosen % len(world.seen)]
            world.seen[id] = replace(world.seen[id], state=state)
        world.now += passed
        if reroutes:
            world.route(generation * 1000)
        world.step(replace(WANT, instances=wished, generation=generation * 1000))

    want = replace(WANT, instances=wished, generation=generation * 1000)
    for _ in range(12):
        world.seen = {id: replace(i, state=READY) for id, i in world.seen.items()}
        world.route(want.generation, wished)
        world.step(want)
        world.now += 6

    assert [(i.generation, i.state) for i in world.shown()] == [(want.generation, READY)] * wished
    assert world.step(want) == ()


@bounds(max_examples=100, deadline=None)
@given(live=st.integers(1, 3), candidates=st.integers(1, 3), moves=MOVES, wins=st.booleans())
def test_a_candidate_and_the_live_generation_do_not_touch_each_other(
    live: int, candidates: int, moves: list[tuple[int, InstanceState, bool, float]], wins: bool
) -> None:
    world = World([READY] * live, 10.0)
    old = replace(WANT, generation=1000, instances=live)
    new = replace(WANT, generation=2000, instances=candidates)
    world.route(1000)

    for chosen, state, _, passed in moves:
        mine = [i.id for i in world.seen.values() if i.generation == 2000]
        if mine:
            id = mine[chosen % len(mine)]
            world.seen[id] = replace(world.seen[id], state=state)
        world.now += passed
        world.step(old, keep=frozenset({2000}))
        world.step(new, keep=frozenset({1000}))

        assert len(world.routed & set(world.seen)) == live
        assert sum(i.generation == 2000 for i in world.seen.values()) == candidates

    if not wins:
        world.step(old)
        assert all(i.generation == 1000 for i in world.seen.values())
