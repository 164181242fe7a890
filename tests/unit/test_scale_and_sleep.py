"""How many instances run by what they use, and when an app that nobody asks sleeps and wakes."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.control_stage import Stage, stage

from leeward.control.samples import Samples
from leeward.control.scale import Autoscaler
from leeward.control.sleep import Sleeper
from leeward.fakes.edge import FakeEdge
from leeward.fakes.engine import Outcome
from leeward.model.app import AppSpec, Health, Instances, ProcessSpec
from leeward.model.release import Release
from leeward.model.route import Traffic
from leeward.model.runtime import Instance, InstanceState, Observed, Usage
from leeward.model.wish import App, Override
from leeward.plan.release import overridden
from leeward.plan.route import route
from leeward.plan.scale import MOST_AT_ONCE, SPARE_MIB, TOLERANCE, Room, Use, choose
from leeward.plan.sleep import Activity, counts_seen, eager, falls_asleep, noticed
from leeward.plan.workload import workload
from leeward.services.views import AppStatus, health

WINDOW_S = 300.0
SLEEPY = (
    "name: shop\n"
    "processes: {web: {command: serve, instances: {min: 0, max: 3, sleep_after_s: 60}, health: {drain: 0}}}\n"
)

bounds = st.builds(lambda low, more: Instances(min=low, max=low + more), st.integers(0, 5), st.integers(0, 20))
uses = st.builds(Use, st.floats(0, 500), st.floats(0, 100))


# --- how many ---------------------------------------------------------------------------------------------


@given(bounds=bounds, running=st.integers(1, 30), looks=st.lists(uses, min_size=1, max_size=30))
def test_the_autoscaler_stays_within_its_bounds(bounds: Instances, running: int, looks: list[Use]) -> None:
    asked: tuple[tuple[float, int], ...] = ()
    for number, use in enumerate(looks):
        choice = choose(bounds, running, use, 15.0 * number, WINDOW_S, asked)
        assert max(bounds.min, min(1, bounds.max)) <= choice.count <= bounds.max
        running, asked = max(1, choice.count), choice.asked


@given(running=st.integers(1, 40), looks=st.lists(uses, min_size=1, max_size=60))
def test_fewer_run_only_after_a_whole_window_in_which_fewer_were_enough(running: int, looks: list[Use]) -> None:
    limits = Instances(min=1, max=50)
    asked: tuple[tuple[float, int], ...] = ()
    needed: list[int] = []
    for number, use in enumerate(looks):
        now = 15.0 * number
        choice = choose(limits, running, use, now, WINDOW_S, asked)
        needed.append(choice.asked[-1][1])
        if choice.count < running:
            assert now >= WINDOW_S
            assert choice.count >= max(needed[-20:])
        running, asked = choice.count, choice.asked


@given(running=st.integers(1, 50), cpu=st.floats(0, 1000), target=st.integers(10, 100))
def test_up_goes_at_once_but_at_most_to_the_double_or_four_more(running: int, cpu: float, target: int) -> None:
    limits = Instances(min=1, max=50, cpu_percent=target)

    count = choose(limits, running, Use(cpu), 0.0, WINDOW_S).count

    assert count <= max(2 * running, running + MOST_AT_ONCE)
    if cpu > target * (1 + TOLERANCE) + 0.01 and running < 50:
        assert count > running
    if cpu < target:
        assert count <= running


@pytest.mark.parametrize("cpu", [73.0, 80.0, 87.0])
def test_within_a_tenth_of_the_target_nothing_changes(cpu: float) -> None:
    asked = ((0.0, 1), (200.0, 1))

    assert choose(Instances(min=1, max=9), 4, Use(cpu), 400.0, WINDOW_S, asked).count == 4


@given(
    free=st.integers(0, 20_000), cores=st.integers(1, 16), running=st.integers(1, 10), mib=st.sampled_from([256, 1024])
)
def test_what_is_started_fits_into_the_machine_and_nothing_is_stopped_for_want_of_room(
    free: int, cores: int, running: int, mib: int
) -> None:
    limits = Instances(min=1, max=50)

    choice = choose(limits, running, Use(500.0), 0.0, WINDOW_S, (), Room(free, 1000 * cores), (mib, 500))

    started = choice.count - running
    assert started >= 0
    assert started * mib <= max(0, free - SPARE_MIB)
    assert started == 0 or choice.count * 500 <= 1000 * cores


def test_a_machine_without_room_says_so() -> None:
    full = choose(Instances(min=1, max=3), 1, Use(200.0), 0.0, WINDOW_S, (), Room(600, 4000), (256, 500))
    wide = choose(Instances(min=1, max=3), 1, Use(200.0), 0.0, WINDOW_S, (), Room(6000, 4000), (256, 500))

    assert (full.count, full.lacks) == (1, True)
    assert (wide.count, wide.lacks) == (3, False)


def test_memory_counts_only_where_it_has_a_target_and_the_larger_wish_wins() -> None:
    use = Use(cpu=40.0, memory=95.0)

    plain = choose(Instances(min=1, max=9), 2, use, 0.0, WINDOW_S)
    by_memory = choose(Instances(min=1, max=9, memory_percent=50), 2, use, 0.0, WINDOW_S)

    assert plain.count == 2
    assert (by_memory.count, by_memory.why) == (4, "at 95 % memory")


# --- sleep, as a decision ---------------------------------------------------------------------------------


@given(sleep_after_s=st.integers(5, 1000), asked=st.lists(st.booleans(), min_size=1, max_size=40))
def test_an_app_never_sleeps_sooner_than_it_says_after_its_last_request(sleep_after_s: int, asked: list[bool]) -> None:
    limits = Instances(min=0, max=1, sleep_after_s=sleep_after_s)
    known, requests, last = noticed(None, Traffic("shop"), 0.0), 0, 0.0
    for number, was in enumerate(asked):
        now = 15.0 * (number + 1)
        requests, last = requests + was, now if was else last
        known = noticed(known, Traffic("shop", requests=requests), now)

        assert falls_asleep(limits, known, now) == (now - last >= sleep_after_s)


def test_an_open_websocket_keeps_an_app_awake_and_one_that_came_and_went_counts_as_a_request() -> None:
    before = Activity(0.0, requests=7, streams_seen=1)

    assert noticed(before, Traffic("shop", 7, streams=(("a:1", 1),), streams_seen=1), 900.0).at == 900.0
    assert noticed(before, Traffic("shop", 7, streams_seen=2), 900.0).at == 900.0
    assert noticed(before, Traffic("shop", 7, streams_seen=1), 900.0).at == 0.0


def test_a_request_that_is_still_answered_keeps_an_app_awake() -> None:
    before = Activity(0.0, requests=7)

    assert noticed(before, Traffic("shop", 7, open=1), 900.0).at == 900.0
    assert noticed(before, Traffic("shop", 7), 900.0).at == 0.0


def test_only_a_web_process_whose_min_is_zero_sleeps() -> None:
    lazy = ProcessSpec(instances=Instances(min=0, max=2))
    made = release(web=lazy, worker=lazy)

    def wished(name: str, count: int | None) -> int:
        return workload(App("shop"), made, 1, name, lazy, count=count).instances

    assert (wished("web", 0), wished("web", None), wished("web", 2)) == (0, 1, 2)
    assert (wished("worker", 0), wished("worker", None)) == (1, 1)
    always = ProcessSpec(instances=Instances(min=1, max=2))
    assert workload(App("shop"), made, 1, "web", always, count=0).instances == 1


def test_a_route_has_no_peers_while_its_app_sleeps_and_says_that_it_can_be_woken() -> None:
    made = release(web=ProcessSpec(instances=Instances(min=0, max=1)))
    seen = Observed("shop", (instance(InstanceState.READY), instance(InstanceState.DRAINING)))

    asleep = route(App("shop", live=1, generation=1), made, seen, "lee.localhost", asleep=True)

    assert (asleep.peers, asleep.wakes) == ((), True)
    assert route(App("shop", live=1, generation=1), made, seen, "lee.localhost").peers == ("10.0.0.1:8080",)
    assert not route(App("shop"), release(web=ProcessSpec()), seen, "lee.localhost").wakes


def test_requests_wait_for_an_app_that_starts_and_not_for_one_whose_instances_all_end() -> None:
    made = release(web=ProcessSpec(instances=Instances(min=0, max=2)))

    def waits(*states: InstanceState, asleep: bool = False, generation: int = 1) -> bool:
        seen = Observed("shop", tuple(replace(instance(state), id=str(n)) for n, state in enumerate(states)))
        return route(App("shop", live=1, generation=generation), made, seen, "lee.localhost", asleep).wakes

    crashed, starting = InstanceState.CRASHED, InstanceState.STARTING
    assert not waits(crashed)
    assert not waits(crashed, crashed)
    assert not waits(crashed, InstanceState.STOPPING)
    assert waits(crashed, starting)
    assert waits(starting)
    assert waits()
    # What crashed goes with it, and the next one may run.
    assert waits(crashed, asleep=True)
    assert waits(crashed, generation=2)


def test_another_control_plane_goes_on_with_what_runs() -> None:
    made = release(
        web=ProcessSpec(instances=Instances(min=0, max=9)), two=ProcessSpec(instances=Instances(min=2, max=2))
    )
    runs = Observed("shop", tuple(replace(instance(InstanceState.READY), id=name) for name in "abc"))

    assert counts_seen(made, runs, 1) == {"web": 3}
    assert counts_seen(made, Observed("shop"), 1) == {"web": 0}
    assert counts_seen(made, runs, 2) == {"web": 0}
    assert counts_seen(release(web=ProcessSpec(instances=Instances(min=1, max=9))), Observed("shop"), 1) == {}


def test_one_good_answer_is_enough_for_an_instance_that_requests_wait_for() -> None:
    assert (eager(Health()).successes, eager(Health()).rollout_interval) == (1, 0.1)
    assert eager(Health(rollout_interval=0.05)).rollout_interval == 0.05


def test_other_numbers_of_instances_leave_targets_and_sleep_as_they_are() -> None:
    from leeward.model.wish import Override

    spec = AppSpec(
        processes={"web": ProcessSpec(instances=Instances(min=0, max=2, sleep_after_s=60, memory_percent=70))}
    )

    changed = overridden(spec, {"web": Override(instances=Instances(min=0, max=5))}).processes["web"].instances

    assert changed == Instances(min=0, max=5, sleep_after_s=60, memory_percent=70)


def test_an_app_of_which_nothing_runs_because_nobody_asks_is_asleep() -> None:
    spec = AppSpec(processes={"web": ProcessSpec(instances=Instances(min=0, max=1))})
    app = App("shop", live=1, generation=1, spec=spec)

    assert health(app, Observed("shop"), None).status is AppStatus.ASLEEP
    assert health(app, Observed("shop", (instance(InstanceState.READY),)), None).status is AppStatus.LIVE
    assert health(replace(app, spec=AppSpec()), Observed("shop"), None).status is AppStatus.LIVE


# --- sleep, as a loop -------------------------------------------------------------------------------------


class Times:
    """The time of a sleeper, as a test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr("leeward.control.sleep.time.time", lambda: self.now)


async def settled(at: Stage) -> list[str]:
    """Tick until nothing changes; the ids of what runs."""
    for _ in range(6):
        await at.apps.settle("shop")
    return [one.id for one in (await at.engine.observe("shop")).instances]


def sleeper(at: Stage, meets_edge: bool = True) -> Sleeper:
    return Sleeper(at.stores, at.apps, at.edge, lambda region: meets_edge, lambda: None)


async def test_an_app_that_nobody_asks_sleeps_and_a_request_wakes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        times, mind = Times(monkeypatch), sleeper(at)
        await mind.tick()
        times.now += 59
        at.edge.visit("shop.lee.localhost")
        await mind.tick()
        times.now += 59
        await mind.tick()
        assert len(await settled(at)) == 1

        times.now += 1
        await mind.tick()

        assert await settled(at) == []
        assert at.edge.visit("shop.lee.localhost")[0] == 503
        await mind.wake()
        assert len(await settled(at)) == 1
        assert at.edge.visit("shop.lee.localhost")[0] == 200
        await mind.wake()
        told = [event.kind for event in (await at.stores.events.list("shop")).items]
        assert told.index("app.awake") < told.index("app.asleep")


async def test_an_app_that_is_being_woken_is_not_put_to_sleep_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        times, mind = Times(monkeypatch), sleeper(at)
        await mind.tick()
        times.now += 60
        await mind.tick()
        assert await settled(at) == []
        at.edge.visit("shop.lee.localhost")
        times.now += 5
        await mind.wake()
        assert not at.apps.counts.asleep("shop")

        # It has not served yet, so nobody counted the request that waits.
        times.now += 61
        await mind.tick()
        times.now += 61
        await mind.tick()

        assert not at.apps.counts.asleep("shop")


async def test_an_app_that_could_not_sleep_for_a_while_is_awake_when_it_may_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        at.apps.count("shop", "web", 0)
        counts = at.apps.counts
        live = await at.stores.releases.get("shop", 1)
        assert counts.asleep("shop")

        counts.note(
            "shop", replace(live, spec=overridden(live.spec, {"web": Override(instances=Instances(min=1, max=1))}))
        )
        counts.note("shop", live)

        assert not counts.asleep("shop")


async def test_what_an_instance_uses_to_start_asks_for_no_other(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        samples = Samples(at.stores, at.engine, FakeEdge())

        def used(cpu_s: float, settled: bool) -> Usage:
            return Usage("one", "shop", "web", cpu_s, 0, 1000, 1, settled=settled)

        seen = []
        for second, (cpu_s, settled) in enumerate([(0.0, False), (1.0, False), (2.0, True), (2.5, True)]):
            samples._cpu(float(second), [used(cpu_s, settled)], {})
            seen.append({name: use.cpu for of in samples.use.values() for name, use in of.items()})

        assert seen == [{}, {}, {}, {"one": 50.0}]


async def test_an_app_does_not_sleep_in_the_middle_of_a_long_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        times, mind = Times(monkeypatch), sleeper(at)
        await mind.tick()
        at.edge.begin("shop")
        for _ in range(20):
            times.now += 60
            await mind.tick()
        assert len(await settled(at)) == 1

        at.edge.end("shop")
        times.now += 59
        await mind.tick()
        assert len(await settled(at)) == 1
        times.now += 1
        await mind.tick()

        assert await settled(at) == []


async def test_requests_are_let_go_once_an_app_that_was_woken_crashes_and_wake_it_again_after_its_next_sleep(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        at.apps.count("shop", "web", 0)
        assert await settled(at) == []
        assert at.edge.routes["shop"].wakes
        at.engine.outcomes["serve"] = Outcome(InstanceState.CRASHED, "ended with 1")
        at.edge.visit("shop.lee.localhost")

        await sleeper(at).wake()

        assert len(await settled(at)) == 1
        assert not at.edge.routes["shop"].wakes
        at.apps.count("shop", "web", 0)
        assert await settled(at) == []
        assert at.edge.routes["shop"].wakes


async def test_an_app_that_sleeps_goes_on_sleeping_when_the_control_plane_starts_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        at.apps.count("shop", "web", 0)
        assert await settled(at) == []

        again = at.again()

        assert await settled(again) == []
        assert again.apps.counts.asleep("shop")


async def test_an_app_that_is_deployed_while_it_sleeps_proves_itself_and_is_awake(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        at.apps.count("shop", "web", 0)
        assert await settled(at) == []

        await at.live(**{"leeward.yaml": SLEEPY, "other.py": "2"})

        assert len(await settled(at)) == 1


async def test_an_app_whose_requests_our_edge_does_not_see_never_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        times, mind = Times(monkeypatch), sleeper(at, meets_edge=False)
        await mind.tick()
        times.now += 10_000
        await mind.tick()

        assert len(await settled(at)) == 1


async def test_instances_come_with_load_and_the_event_says_why(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        samples = Samples(at.stores, at.engine, FakeEdge())
        scaler = Autoscaler(at.stores, at.apps, samples, window_s=0.0)
        samples.use = {("shop", "web"): {"one": Use(200.0)}}

        await scaler.tick()

        assert len(await settled(at)) == 3
        samples.use = {("shop", "web"): {"one": Use(1.0), "two": Use(1.0), "three": Use(1.0)}}
        await scaler.tick()
        # What was asked for before counts for one more look.
        await scaler.tick()
        assert len(await settled(at)) == 1
        said = [event.text for event in (await at.stores.events.list("shop")).items if event.kind == "process.scaled"]
        assert said == ["web of 'shop' scaled from 3 to 1 at 1 % CPU", "web of 'shop' scaled from 1 to 3 at 200 % CPU"]


async def test_an_app_that_slept_and_must_not_any_more_scales_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.live(**{"leeward.yaml": SLEEPY})
        at.apps.count("shop", "web", 0)
        await at.live(**{"leeward.yaml": SLEEPY.replace("min: 0", "min: 1")})
        at.apps.counts.put("shop", "web", 0)
        samples = Samples(at.stores, at.engine, FakeEdge())
        samples.use = {("shop", "web"): {"one": Use(200.0)}}

        await Autoscaler(at.stores, at.apps, samples).tick()

        assert len(await settled(at)) == 3


def release(**processes: ProcessSpec) -> Release:
    return Release("shop", 1, "shop@sha256:1", AppSpec(processes=processes), (), {})


def instance(state: InstanceState) -> Instance:
    return Instance("a", "shop", "web", 1, 1, state, host="10.0.0.1", port=8080, started_at=1.0)
