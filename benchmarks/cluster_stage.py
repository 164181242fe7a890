"""A large cluster that is not there: its API server and its controllers are real, kwok plays every kubelet."""

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.cluster import program
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Layout, cache
from tests.cluster.parts import Part, parts, scheduler

NUMBER = int(os.environ.get("LEEWARD_CLUSTER_NUMBER", "8"))
AUDIT = "audit.log"
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "None", "userGroups": ["system:serviceaccounts", "system:nodes"]},
        {"level": "Metadata", "userGroups": ["system:masters"]},
        {"level": "None"},
    ],
}


class Audit:
    """What the API server itself wrote down of the requests that come from Python, since the last look."""

    def __init__(self, layout: Layout) -> None:
        self._file = layout.logs / AUDIT
        self._at = 0

    def calls(self) -> Counter[str]:
        """Requests by verb and kind."""
        found: Counter[str] = Counter()
        with open(self._file, "rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                told = json.loads(line)
                if told.get("userAgent", "").startswith("python-httpx2"):
                    dry = "dryRun=All" in told["requestURI"]
                    verb = "dry-run" if dry else told["verb"]
                    found[f"{verb} {(told.get('objectRef') or {}).get('resource', '')}"] += 1
        return found


@contextlib.contextmanager
def simulated(nodes: int) -> Iterator[Cluster]:
    """An API server with all that decides in a cluster, and kwok in place of every kubelet."""
    program.build()
    program.build_kwok()
    cluster = Cluster(Layout(number=NUMBER, count=1), forwards=())
    cluster.down()
    layout = cluster.layout
    try:
        cluster.up(control_only=True)
        kwok: tuple[str, ...] = (
            str(cache() / "kwok"),
            f"--kubeconfig={layout.kubeconfig}",
            "--manage-all-nodes=true",
            "--v=WARN",
        )
        kwok = (*kwok, "--node-lease-duration-seconds=200", "--cidr=10.64.0.0/10", "--server-address=127.0.0.1:10247")
        (layout.home / "audit.json").write_text(json.dumps(POLICY))
        more = [Part("kube-scheduler", scheduler(layout), layout.first.net), Part("kwok", kwok, layout.first.net)]
        cluster.want([patient(part, layout) for part in (*parts(layout, control_only=True), *more)])
        # What runs already keeps its arguments until it is started again.
        for name in ("kube-apiserver", "kube-controller-manager"):
            cluster.until(lambda name=name: name in cluster.pids(), name, 30)  # type: ignore[misc]
            cluster.kill(name)
        time.sleep(2)
        api = cluster.api
        cluster.until(api.ready, "the API server", 60)
        for number in range(nodes):
            made = api.post("/api/v1/nodes", node(number))
            assert made.status_code in (201, 409), made.text
        cluster.until(lambda: all_ready(cluster, api, nodes), f"{nodes} nodes", 300)
        yield cluster
    finally:
        cluster.down()


def all_ready(cluster: Cluster, api: Api, nodes: int) -> bool:
    """Whether every node is; they are not all asked ten times a second."""
    time.sleep(2)
    return cluster.ready_nodes(api) >= nodes


def patient(part: Part, layout: Layout) -> Part:
    """A simulated node says seldom that it is well, and nobody holds back the controllers of a large cluster."""
    argv = [word for word in part.argv if not word.startswith("--node-monitor-grace")]
    if part.name == "kube-controller-manager":
        argv += ["--node-monitor-grace-period=600s", "--kube-api-qps=1000", "--kube-api-burst=2000"]
        argv += [
            f"--concurrent-{what}-syncs=20"
            for what in ("deployment", "replicaset", "service-endpoint", "resource-quota")
        ]
    if part.name == "kube-apiserver":
        # No page of a list is older than what was written, and a crowd of simulated nodes holds back nobody else.
        argv += ["--enable-priority-and-fairness=false", "--goaway-chance=0"]
        argv += [f"--audit-policy-file={layout.home}/audit.json", f"--audit-log-path={layout.logs}/{AUDIT}"]
    if part.name == "kube-scheduler":
        argv += ["--kube-api-qps=1000", "--kube-api-burst=2000"]
    return replace(part, argv=tuple(argv))


def node(number: int) -> dict[str, Any]:
    """A machine of 32 cores that is not there."""
    name = f"sim-{number:04}"
    has = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "type": "kwok"}},
        "status": {"allocatable": has, "capacity": has},
    }


def settled(api: Api, apps: int, cluster: Cluster) -> float:
    """Wait until every pod runs, as far as simulated pods do; how long that took."""
    began = time.monotonic()

    def running() -> bool:
        text = api.text("/metrics")
        listed = [line for line in text.splitlines() if line.startswith("apiserver_resource_objects{")]
        pods = [float(line.split()[-1]) for line in listed if 'resource="pods"' in line]
        return bool(pods) and pods[0] >= apps

    cluster.until(running, f"{apps} pods", 1800)
    return time.monotonic() - began


def quiet(api: Api, apps: int, cluster: Cluster) -> float:
    """Wait until all pods are known and nobody is busy with them any more; how long that took."""
    began = time.monotonic()
    settled(api, apps, cluster)
    deadline = began + 180
    calm, before = 0, asked(api)
    while calm < 3 and time.monotonic() < deadline:
        time.sleep(2)
        now = asked(api)
        calm, before = (calm + 1 if now - before < 200 else 0), now
    return time.monotonic() - began


def asked(api: Api) -> float:
    """Requests that the API server has had, but for those of nodes that say that they are well."""
    lines = [line for line in api.text("/metrics").splitlines() if line.startswith("apiserver_request_total{")]
    of_nodes = ('resource="leases"', 'resource="nodes"')
    return sum(float(line.split()[-1]) for line in lines if not any(word in line for word in of_nodes))
