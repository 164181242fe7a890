"""Decisions of the Kubernetes engine: which generation has how many, and which instances may end."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubernetes_stage import WEB, WORKER

from leeward.engines.kubernetes.plan import Drop, Mark, Memory, Scale, Serve, next_steps
from leeward.model.runtime import Instance, InstanceState

NOW = 1000.0
OLD, NEW = 1, 2
WANT = replace(WEB, generation=NEW, instances=2)
READY, STARTING = InstanceState.READY, InstanceState.STARTING


def one(name: str, generation: int = NEW, state: InstanceState = READY, at: float = 900.0) -> Instance:
    return Instance(name, "shop", "web", 1, generation, state, host=f"10.0.0.{len(name)}", port=8080, started_at=at)


def marked(**since: float | None) -> Memory:
    return Memory(draining=since, serves=NEW)


def test_the_first_apply_serves_and_scales() -> None:
    assert next_steps(WANT, (), {}, NOW) == (Serve(NEW), Scale(NEW, 2))


def test_what_is_as_wished_is_only_held() -> None:
    seen = (one("a"), one("b"))

    assert next_steps(WANT, seen, {NEW: 2}, NOW, memory=Memory(serves=NEW)) == (Serve(NEW), Scale(NEW, 2))


def test_the_old_generation_is_left_alone_until_the_new_one_is_ready() -> None:
    seen = (one("o", OLD), one("a"), one("b", state=STARTING))

    steps = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, memory=Memory(serves=OLD))

    assert steps == (Serve(OLD), Scale(OLD, 1), Scale(NEW, 2))


def test_the_name_moves_before_the_old_instances_drain() -> None:
    seen = (one("o", OLD), one("a"), one("b"))

    steps = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, memory=Memory(serves=OLD))

    assert steps == (Serve(NEW), Mark("o", NOW), Scale(OLD, 1), Scale(NEW, 2))


def test_an_instance_in_the_routes_drains_without_its_time_running() -> None:
    want = replace(WANT, routed=frozenset({"o"}))
    seen = (one("o", OLD), one("a"), one("b"))

    steps = next_steps(want, seen, {OLD: 1, NEW: 2}, NOW, memory=Memory(serves=NEW))

    assert Mark("o", None) in steps
    assert Scale(OLD, 1) in steps


def test_time_runs_from_when_it_left_the_routes() -> None:
    seen = (one("o", OLD, InstanceState.DRAINING), one("a"), one("b"))

    assert Mark("o", NOW) in next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, memory=marked(o=None))


def test_an_old_generation_goes_whole_when_its_time_is_over() -> None:
    seen = (one("o", OLD, InstanceState.DRAINING), one("a"), one("b"))
    drain = WEB.health.drain if WEB.health else 0

    early = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW + drain - 1, memory=marked(o=NOW))
    over = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW + drain, memory=marked(o=NOW))

    assert early == (Serve(NEW), Scale(OLD, 1), Scale(NEW, 2))
    assert over == (Serve(NEW), Drop(OLD), Scale(NEW, 2))


def test_one_of_two_old_instances_may_end_before_the_other() -> None:
    want = replace(WANT, routed=frozenset({"p"}))
    seen = (one("o", OLD, InstanceState.DRAINING), one("p", OLD, InstanceState.DRAINING), one("a"), one("b"))

    steps = next_steps(want, seen, {OLD: 2, NEW: 2}, NOW + 60, memory=marked(o=NOW, p=None))

    assert Scale(OLD, 1, ("o",)) in steps


def test_a_generation_that_is_kept_is_not_touched() -> None:
    seen = (one("o", OLD), one("a"), one("b"))

    steps = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, frozenset({OLD}), Memory(serves=OLD))

    assert steps == (Serve(OLD), Scale(NEW, 2))


def test_a_candidate_that_never_served_ends_at_once() -> None:
    want = replace(WANT, generation=OLD, instances=1)
    seen = (one("o", OLD), one("a"))

    steps = next_steps(want, seen, {OLD: 1, NEW: 1}, NOW, memory=Memory(fresh=frozenset({"a"}), serves=OLD))

    assert steps == (Serve(OLD), Mark("a", NOW), Scale(OLD, 1), Drop(NEW))


def test_too_many_leave_by_draining_and_count_until_they_are_gone() -> None:
    want = replace(WANT, instances=1, routed=frozenset({"a"}))
    seen = (one("a"), one("b", at=950.0))

    first = next_steps(want, seen, {NEW: 2}, NOW, memory=Memory(serves=NEW))
    later = next_steps(
        want, (one("a"), one("b", state=InstanceState.DRAINING)), {NEW: 2}, NOW + 60, memory=marked(b=NOW)
    )

    assert first == (Serve(NEW), Mark("b", NOW), Scale(NEW, 2))
    assert later == (Serve(NEW), Scale(NEW, 1, ("b",)))


def test_more_are_started_beside_one_that_drains() -> None:
    seen = (one("a"), one("b", state=InstanceState.DRAINING))
    want = replace(WANT, routed=frozenset({"b"}))

    assert Scale(NEW, 3) in next_steps(want, seen, {NEW: 2}, NOW, memory=marked(b=None))


def test_nothing_is_made_for_nothing() -> None:
    assert next_steps(replace(WANT, instances=0), (), {}, NOW) == ()


def test_the_last_one_goes_with_its_generation() -> None:
    want = replace(WANT, instances=0)
    seen = (one("a", state=InstanceState.DRAINING),)

    assert Drop(NEW) in next_steps(want, seen, {NEW: 1}, NOW + 60, memory=marked(a=NOW))


def test_a_worker_ends_without_a_drain() -> None:
    want = replace(WORKER, generation=NEW, instances=1)
    seen = (
        Instance("o", "shop", "worker", 1, OLD, READY, started_at=1),
        Instance("n", "shop", "worker", 1, NEW, READY, started_at=2),
    )

    steps = next_steps(want, seen, {OLD: 1, NEW: 1}, NOW, memory=Memory(serves=NEW))

    assert steps == (Serve(NEW), Mark("o", NOW), Drop(OLD), Scale(NEW, 1))


def test_a_crashed_old_instance_needs_no_drain() -> None:
    seen = (one("o", OLD, InstanceState.CRASHED), one("a"), one("b"))

    assert Drop(OLD) in next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, memory=Memory(serves=NEW))


STATES = st.sampled_from([state for state in InstanceState if state is not InstanceState.DRAINING])


@given(
    old=st.lists(STATES, max_size=3),
    new=st.lists(STATES, max_size=4),
    instances=st.integers(1, 3),
    routed=st.sets(st.sampled_from(["o0", "o1", "o2", "n0", "n1"]), max_size=3),
    since=st.dictionaries(st.sampled_from(["o0", "o1", "n0"]), st.one_of(st.none(), st.floats(900, 1000))),
)
def test_what_serves_is_never_ended_before_its_successors_are_ready(
    old: list[InstanceState],
    new: list[InstanceState],
    instances: int,
    routed: set[str],
    since: Mapping[str, float | None],
) -> None:
    seen = tuple(one(f"o{i}", OLD, state) for i, state in enumerate(old)) + tuple(
        one(f"n{i}", NEW, state) for i, state in enumerate(new)
    )
    want = replace(WANT, instances=instances, routed=frozenset(routed))
    groups = {OLD: len(old), NEW: len(new)}

    steps = next_steps(want, seen, groups, NOW, memory=Memory(draining=since, serves=OLD))

    ready = sum(state is READY and f"n{i}" not in since for i, state in enumerate(new))
    dropped = {step.generation for step in steps if isinstance(step, Drop)}
    scaled = {step.generation: step for step in steps if isinstance(step, Scale)}
    for i, state in enumerate(old):
        if f"o{i}" in routed and state is not InstanceState.STOPPING:
            assert OLD not in dropped
            assert f"o{i}" not in scaled[OLD].gone
    if ready < instances and old:
        assert OLD not in dropped
        assert Serve(OLD) in steps
    assert scaled[NEW].replicas >= instances


def test_the_name_moves_only_when_the_cluster_itself_knows_the_new_instances() -> None:
    seen = (one("o", OLD), one("a"), one("b"))
    groups = {OLD: 1, NEW: 2}

    half = next_steps(WANT, seen, groups, NOW, memory=Memory(serves=OLD, announced=frozenset({"a"})))
    whole = next_steps(WANT, seen, groups, NOW, memory=Memory(serves=OLD, announced=frozenset({"a", "b"})))

    assert half == (Serve(OLD), Scale(OLD, 1), Scale(NEW, 2))
    assert whole == (Serve(NEW), Mark("o", NOW), Scale(OLD, 1), Scale(NEW, 2))


def test_once_it_has_moved_what_the_cluster_knows_no_longer_matters() -> None:
    seen = (one("o", OLD, InstanceState.DRAINING), one("a"), one("b"))
    memory = Memory(draining={"o": NOW}, serves=NEW, announced=frozenset())

    assert Drop(OLD) in next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW + 60, memory=memory)


def test_the_time_of_a_drain_does_not_run_while_the_name_leads_there() -> None:
    seen = (one("o", OLD, InstanceState.DRAINING), one("a"), one("b"))

    led = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, memory=Memory({"o": 900.0}, serves=NEW, named=frozenset({"o"})))
    left = next_steps(WANT, seen, {OLD: 1, NEW: 2}, NOW, memory=Memory({"o": None}, serves=NEW))

    assert Mark("o", None) in led
    assert Mark("o", NOW) in left


def test_of_two_that_are_ready_the_one_in_the_routes_stays() -> None:
    want = replace(WANT, instances=1, routed=frozenset({"b"}))
    seen = (one("a", at=900.0), one("b", at=950.0))

    assert Mark("a", NOW) in next_steps(want, seen, {NEW: 2}, NOW, memory=Memory(serves=NEW))
