"""When a release is proven, and what its receipt says."""

from hypothesis import given
from hypothesis import strategies as st

from leeward.model.app import AppSpec, Health, Instances, ProcessSpec
from leeward.model.release import DeployKind, Phase, Receipt, Release
from leeward.model.route import BOUNDS_MS, Traffic
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.model.sizes import Size
from leeward.model.wish import App
from leeward.plan.deploy import Hopeless, Proven, Waiting, remaining, verdict
from leeward.plan.receipt import quantile, receipt, settled
from leeward.plan.workload import same_instances, workloads


def release(number: int = 1, **web: object) -> Release:
    spec = AppSpec(processes={"web": ProcessSpec.model_validate(web), "worker": ProcessSpec()})
    return Release("shop", number, "r/shop@sha256:1", spec, (), {"web": "serve", "worker": "work"})


def wants(**web: object) -> tuple[Workload, ...]:
    return workloads(App("shop"), release(**web), 7, frozenset())


def one(process: str, state: InstanceState, generation: int = 7, reason: str = "", restarts: int = 0) -> Instance:
    return Instance(
        f"{process}{state}{restarts}", "shop", process, 1, generation, state, "10.0.0.1", 1, 0.0, reason, "", restarts
    )


@given(
    web=st.lists(st.sampled_from(InstanceState), max_size=4),
    worker=st.lists(st.sampled_from(InstanceState), max_size=2),
    count=st.integers(1, 3),
)
def test_a_release_is_proven_only_when_every_process_has_all_its_instances_ready(
    web: list[InstanceState], worker: list[InstanceState], count: int
) -> None:
    seen = Observed("shop", (*(one("web", s) for s in web), *(one("worker", s) for s in worker)))

    judged = verdict(wants(instances={"min": count, "max": count}), seen, 0.0, 1.0)

    ready = web.count(InstanceState.READY) >= count and worker.count(InstanceState.READY) >= 1
    assert isinstance(judged, Proven) == ready


def test_instances_of_another_generation_prove_nothing() -> None:
    seen = Observed("shop", (one("web", InstanceState.READY, 6), one("worker", InstanceState.READY, 6)))

    assert isinstance(verdict(wants(), seen, 0.0, 1.0), Waiting)


def test_a_third_crash_ends_the_wait_with_its_reason() -> None:
    reason = "was killed for using more than 256 MiB of memory"
    twice = Observed("shop", (one("web", InstanceState.CRASHED, reason=reason, restarts=1),))
    thrice = Observed("shop", (one("web", InstanceState.CRASHED, reason=reason, restarts=2),))

    assert isinstance(verdict(wants(), twice, 0.0, 1.0), Waiting)
    judged = verdict(wants(), thrice, 0.0, 1.0)
    assert isinstance(judged, Hopeless)
    assert judged.message == f"web: {reason}"


def test_the_deadline_ends_the_wait_with_the_last_reason() -> None:
    seen = Observed("shop", (one("web", InstanceState.STARTING, reason="nothing listens on port 8080"),))

    judged = verdict(wants(health=Health(deadline=60).model_dump()), seen, 0.0, 301.0)

    assert isinstance(judged, Hopeless)
    assert "nothing listens on port 8080" in judged.message


def test_only_new_code_is_fetched_and_built() -> None:
    assert remaining(DeployKind.RESTART, Phase.FETCH) == (Phase.ROLLOUT,)
    assert remaining(DeployKind.CODE, Phase.BUILD) == (Phase.BUILD, Phase.PUSH, Phase.ROLLOUT, Phase.JOBS)


def test_more_instances_need_no_new_ones_but_another_size_does() -> None:
    old = release(1)

    assert same_instances(old, release(2, instances=Instances(min=3, max=3).model_dump()))
    assert not same_instances(old, release(2, size=Size.XL))


def test_a_receipt_counts_what_came_between_two_looks() -> None:
    before = Traffic("shop", 100, 1, buckets=(100,), streams=(("a:1", 2),))
    after = Traffic("shop", 180, 3, buckets=(100, 80), streams=(("a:1", 2), ("b:1", 9)), dropped=1)

    made = receipt(before, after, frozenset({"a:1"}))

    assert (made.requests, made.failed, made.sockets_kept, made.sockets_dropped) == (80, 2, 2, 1)
    assert made.p99_ms == round(BOUNDS_MS[1], 1)


def test_a_restarted_edge_counts_from_nothing() -> None:
    assert receipt(Traffic("shop", 900, 5), Traffic("shop", 10, 1), frozenset()).requests == 10


def test_a_receipt_is_settled_when_no_stream_is_open_on_the_old_instances() -> None:
    told = Receipt(requests=9, sockets_kept=3)
    before, old = Traffic("shop", dropped=4), frozenset({"10.0.0.1:8080"})
    streaming = Traffic("shop", streams=(("10.0.0.1:8080", 1), ("10.0.0.2:8080", 5)), dropped=4)
    gone = Traffic("shop", streams=(("10.0.0.2:8080", 5),), dropped=5)

    assert settled(told, before, streaming, old, over=False) is None
    assert settled(told, before, streaming, old, over=True) == told
    assert settled(told, before, gone, old, over=False) == Receipt(requests=9, sockets_kept=2, sockets_dropped=1)


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=64), q=st.floats(0.01, 1))
def test_a_quantile_grows_with_q(counts: list[int], q: float) -> None:
    assert quantile(counts, q / 2) <= quantile(counts, q)
