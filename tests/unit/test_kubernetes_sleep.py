"""When the cluster lets a process sleep, and what the doctor says of the parts that it needs for that."""

from dataclasses import replace

import pytest
from tests.unit.kubernetes_stage import RULES, WEB, WORKER

from leeward.engines.kubernetes.capabilities import Facts, judge
from leeward.engines.kubernetes.plan import Drop, Scale, Serve
from leeward.engines.kubernetes.scaling import autoscaler, chosen, kept, sleeper, sleeps
from leeward.model.app import Instances

LAZY = Instances(min=0, max=5, sleep_after_s=60)
BEHIND = replace(RULES, gateway="gateways/public")
WANT = replace(WEB, bounds=LAZY, instances=1)


def test_a_process_sleeps_only_behind_a_gateway_and_where_its_interceptor_is() -> None:
    assert sleeps(WANT, BEHIND, interceptor=True)
    assert not sleeps(WANT, BEHIND, interceptor=False)
    assert not sleeps(WANT, RULES, interceptor=True)
    assert not sleeps(WANT, replace(RULES, gateway_class="nginx"), interceptor=True)
    assert not sleeps(replace(WANT, bounds=Instances(min=1, max=5)), BEHIND, interceptor=True)
    assert not sleeps(replace(WORKER, bounds=LAZY), BEHIND, interceptor=True)


def test_the_clusters_none_stands_only_for_what_sleeps_there() -> None:
    assert chosen(WANT, 0, BEHIND, asleep=True).instances == 0
    assert chosen(WANT, 3, BEHIND, asleep=True).instances == 3
    assert chosen(WANT, 0, BEHIND).instances == 1
    assert chosen(WANT, None, BEHIND, asleep=True).instances == 1


def test_what_sleeps_keeps_its_generation_and_older_ones_go() -> None:
    steps = (Serve(WANT.generation), Drop(WANT.generation), Drop(1))

    assert kept(steps, WANT) == (Serve(WANT.generation), Scale(WANT.generation, 0), Drop(1))


def test_the_cluster_looks_at_memory_only_where_that_has_a_target() -> None:
    scales = replace(RULES, cluster_scales=True)

    def metrics(bounds: Instances) -> list[str]:
        made = autoscaler(WANT, bounds, scales)
        assert made is not None
        return [metric["resource"]["name"] for metric in made["spec"]["metrics"]]

    assert metrics(Instances(min=1, max=3)) == ["cpu"]
    assert metrics(Instances(min=1, max=3, memory_percent=70)) == ["cpu", "memory"]


def test_what_sleeps_is_scaled_by_one_part_only() -> None:
    _, scaled = sleeper(WANT, LAZY, ("shop.apps.example.com",), replace(BEHIND, cluster_scales=True))

    assert [trigger["type"] for trigger in scaled["spec"]["triggers"]] == ["external-push", "cpu"]
    assert scaled["spec"]["cooldownPeriod"] == scaled["spec"]["initialCooldownPeriod"] == 60


@pytest.mark.parametrize(
    ("groups", "interceptor", "ok", "words"),
    [
        ({"keda.sh", "http.keda.sh"}, True, True, "found: scale to zero"),
        ({"keda.sh", "http.keda.sh"}, False, False, "no Service 'keda/keda-add-ons-http-interceptor-proxy'"),
        ({"http.keda.sh"}, True, False, "not found: scale to zero"),
        ({"keda.sh"}, False, False, "not found: scale to zero"),
    ],
)
def test_the_doctor_says_whether_apps_can_sleep_behind_a_gateway(
    groups: set[str], interceptor: bool, ok: bool, words: str
) -> None:
    facts = Facts("s", version="1.36.3", groups=frozenset(groups), interceptor=interceptor)

    found = {each.name: each for each in judge(facts, BEHIND)}["keda-http-add-on"]

    assert (found.ok, words in found.text, bool(found.hint)) == (ok, True, not ok)


def test_without_a_gateway_nothing_more_is_needed_for_sleep() -> None:
    found = {each.name: each for each in judge(Facts("s", version="1.36.3"), RULES)}["keda-http-add-on"]

    assert found.ok and "edge" in found.text
