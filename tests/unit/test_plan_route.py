"""Where requests go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.model.app import AppSpec, EdgeSpec, ProcessSpec
from leeward.model.release import Release
from leeward.model.runtime import Instance, InstanceState, Observed
from leeward.model.wish import App
from leeward.plan.route import limit, route, serving

states = st.sampled_from(InstanceState)
instances = st.lists(st.tuples(st.integers(1, 3), states), max_size=8)


def observed(rows: list[tuple[int, InstanceState]]) -> Observed:
    return Observed(
        "shop",
        tuple(
            Instance(f"i{n}", "shop", "web", generation, generation, state, "10.0.0.1", 8000 + n, float(n))
            for n, (generation, state) in enumerate(rows)
        ),
    )


@given(rows=instances, live=st.integers(1, 3))
def test_requests_go_to_ready_instances_of_the_live_generation_where_there_are_any(
    rows: list[tuple[int, InstanceState]], live: int
) -> None:
    chosen = serving(observed(rows), live)

    ready = [n for n, (generation, state) in enumerate(rows) if generation == live and state is InstanceState.READY]
    if ready:
        assert [instance.id for instance in chosen] == [f"i{n}" for n in ready]


@given(rows=instances, live=st.integers(1, 3))
def test_an_app_with_anything_that_answers_always_has_a_peer(rows: list[tuple[int, InstanceState]], live: int) -> None:
    chosen = serving(observed(rows), live)

    answers = any(state in (InstanceState.READY, InstanceState.DRAINING) for _, state in rows)
    assert bool(chosen) or not answers


@given(rows=instances, live=st.integers(1, 3))
def test_nothing_that_starts_crashed_or_stops_gets_a_request(rows: list[tuple[int, InstanceState]], live: int) -> None:
    bad = {InstanceState.STARTING, InstanceState.CRASHED, InstanceState.STOPPING}

    assert not [instance for instance in serving(observed(rows), live) if instance.state in bad]


def test_a_route_has_the_own_name_first_and_each_domain_once() -> None:
    release = Release("shop", 1, "i", AppSpec(domains=("a.example.com", "b.example.com")), (), {})
    app = App("shop", live=1, domains=("b.example.com", "c.example.com"))

    made = route(app, release, Observed("shop"), "lee.localhost")

    assert made.hosts == ("shop.lee.localhost", "a.example.com", "b.example.com", "c.example.com")


def test_an_app_scaled_to_nothing_has_no_peers_so_that_its_last_instances_drain() -> None:
    release = Release("shop", 1, "i", AppSpec(processes={"web": ProcessSpec.model_validate({"instances": 0})}), (), {})

    assert route(App("shop", live=1), release, observed([(0, InstanceState.DRAINING)]), "lee.localhost").peers == ()


def test_an_app_without_a_release_has_a_route_without_peers() -> None:
    assert route(App("shop"), None, observed([(0, InstanceState.READY)]), "lee.localhost").peers == ()


@pytest.mark.parametrize(
    ("text", "wanted"), [(None, (0, 1)), ("100/s", (100, 1)), ("5/m", (5, 60)), ("7/h", (7, 3600))]
)
def test_a_rate_limit_is_a_count_and_a_window(text: str | None, wanted: tuple[int, int]) -> None:
    assert limit(text) == wanted


def test_a_worker_without_a_web_process_has_no_peers() -> None:
    release = Release("shop", 1, "i", AppSpec(processes={"worker": ProcessSpec()}), (), {})

    assert route(App("shop", live=1), release, observed([(0, InstanceState.READY)]), "lee.localhost").peers == ()


def test_the_edge_rules_of_the_release_are_in_the_route() -> None:
    spec = AppSpec(edge=EdgeSpec(firewall="block", cache="all", rate_limit="9/m", https_only=False))

    made = route(
        App("shop", live=1, cache_generation=4), Release("shop", 1, "i", spec, (), {}), Observed("shop"), "d.test"
    )

    assert (made.firewall, made.cache, made.rate, made.rate_window_s, made.https_only, made.generation) == (
        "block",
        "all",
        9,
        60,
        False,
        4,
    )
