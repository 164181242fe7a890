"""A node that is gone is told, and its instances leave it."""

from typing import Any

import pytest
from tests.unit.kubernetes_stage import RULES, WEB, conditions, shown_pod

from leeward.engines.kubernetes.nodes import GONE_AFTER_S, Room, room
from leeward.engines.kubernetes.observe import instance
from leeward.engines.kubernetes.pods import read
from leeward.engines.kubernetes.render import template
from leeward.model.runtime import InstanceState


@pytest.mark.parametrize(
    ("conditions", "silent"),
    [
        ([{"type": "MemoryPressure", "status": "Unknown"}, {"type": "Ready", "status": "True"}], False),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "Ready", "status": "Unknown"}], True),
        ([], False),
    ],
)
def test_a_node_is_silent_when_the_cluster_does_not_know_how_it_is(conditions: list[Any], silent: bool) -> None:
    shown = {"status": {"allocatable": {"cpu": "3920m", "memory": "8Gi"}, "conditions": conditions}}

    assert room(shown) == Room(3920, 8192, silent)
    assert room({"metadata": {}}) == Room()


def test_an_instance_of_a_silent_node_says_so_unless_it_is_ready_all_the_same() -> None:
    gone = read(shown_pod(conditions=conditions(False, "1970-01-01T00:16:00Z")))

    found = instance(gone, 1000.0, check="Readiness probe failed: statuscode: 503", lost=True)

    assert (found.state, found.reason) == (InstanceState.UNHEALTHY, "its node 'node-1' does not answer")
    assert found.hint
    assert instance(read(shown_pod()), 1000.0, lost=True).reason == ""


def test_an_instance_leaves_a_node_that_is_gone_within_a_minute_not_within_five() -> None:
    spec = template(WEB, RULES)["spec"]

    waits = {each["key"]: each["tolerationSeconds"] for each in spec["tolerations"]}
    assert waits == {"node.kubernetes.io/not-ready": GONE_AFTER_S, "node.kubernetes.io/unreachable": GONE_AFTER_S}
    assert GONE_AFTER_S < 60
