"""Values for the tests of the Kubernetes engine."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leeward.engines.kubernetes.rules import Rules
from leeward.model.app import Health
from leeward.model.runtime import Workload
from leeward.model.secret import Secret, Variable

RULES = Rules(home="1a2b3c4d", region="eu", domain="apps.example.com")

WEB = Workload(
    app="shop",
    process="web",
    project="store",
    release=7,
    generation=1795507200000,
    image="127.0.0.1:5000/shop@sha256:" + "ab" * 32,
    command="uvicorn main:app --host 0.0.0.0 --port $PORT",
    env=(
        Variable("GREETING", Secret("hello")),
        Variable("DATABASE_URL", Secret("postgres://shop:hunter2@db/shop"), secret=True),
    ),
    instances=2,
    millicpu=500,
    memory_mib=1024,
    port=8080,
    health=Health(path="/health"),
    routed=frozenset(),
    region="eu",
)
WORKER = replace(WEB, process="worker", command="python worker.py", health=None, routed=None, instances=1)


def shown_pod(want: Workload = WEB, name: str = "shop-web-g1-abc-x1", **status: Any) -> dict[str, Any]:
    """A pod as the API shows it: running and ready since a minute, at 1000.0."""
    from leeward.engines.kubernetes.render import template

    made = template(want, RULES)
    return {
        "metadata": {
            "name": name,
            "namespace": "leeward-store",
            "uid": f"uid-{name}",
            "resourceVersion": "10",
            "creationTimestamp": "1970-01-01T00:15:00Z",
            "labels": made["metadata"]["labels"],
            "annotations": {},
        },
        "spec": {**made["spec"], "nodeName": "node-1"},
        "status": {**RUNNING, **status},
    }


def conditions(ready: bool, at: str = "1970-01-01T00:15:05Z") -> list[Mapping[str, str]]:
    """The conditions of a pod that has a node."""
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": at},
    ]


RUNNING: dict[str, Any] = {
    "phase": "Running",
    "podIP": "10.244.0.7",
    "conditions": conditions(True),
    "containerStatuses": [
        {
            "state": {"running": {"startedAt": "1970-01-01T00:15:02Z"}},
            "lastState": {},
            "restartCount": 0,
            "containerID": "containerd://1",
        }
    ],
}


def container(state: Mapping[str, Any], last: Mapping[str, Any] | None = None, restarts: int = 0) -> list[Any]:
    """The status of a pod's one container."""
    return [{"state": state, "lastState": last or {}, "restartCount": restarts, "containerID": "containerd://1"}]
