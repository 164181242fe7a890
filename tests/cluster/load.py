"""Ask an app again and again from inside the cluster, and count what did not come back."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.images import APP
from tests.cluster.parts import hyper


def pod(name: str, namespace: str, *words: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A pod that the profile 'restricted' lets in."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"load": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "one",
                    "image": APP,
                    "imagePullPolicy": "Never",
                    "args": list(words),
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


class Told:
    """What a load brought, once it has ended."""

    def __init__(self) -> None:
        self.requests = self.failed = 0
        self.result: dict[str, Any] = {}


@contextmanager
def load(cluster: Cluster, namespace: str, url: str, name: str = "load") -> Iterator[Told]:
    """Asks `url` for as long as the block lasts."""
    api, told = cluster.api, Told()
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = api.post(path, pod(name, namespace, "load", url, "600"))
    assert made.status_code == 201, made.text
    wait(cluster, api, f"{path}/{name}", "Running")
    try:
        yield told
        stop = kubectl(cluster, "exec", "-n", namespace, name, "--", "/app", "stop")
        assert stop.returncode == 0, stop.stderr
        wait(cluster, api, f"{path}/{name}", "Succeeded", "Failed")
        told.result = json.loads(api.text(f"{path}/{name}/log").strip().splitlines()[-1])
        told.requests, told.failed = told.result["requests"], told.result["failed"]
        print(f"load: {told.result}")
    finally:
        api.delete(f"{path}/{name}", gracePeriodSeconds="0")
        api.close()


def ends(cluster: Cluster, namespace: str, name: str, *words: str) -> int:
    """Run the test program once as a pod; its exit code."""
    api = cluster.api
    path = f"/api/v1/namespaces/{namespace}/pods"
    try:
        made = api.post(path, pod(name, namespace, *words))
        assert made.status_code == 201, made.text
        wait(cluster, api, f"{path}/{name}", "Succeeded", "Failed")
        status = api.get(f"{path}/{name}")["status"]["containerStatuses"][0]["state"]["terminated"]
        return int(status["exitCode"])
    finally:
        api.delete(f"{path}/{name}", gracePeriodSeconds="0")
        api.close()


def wait(cluster: Cluster, api: Api, path: str, *phases: str) -> None:
    def there() -> bool:
        found = api.find(path)
        return found is not None and found["status"].get("phase") in phases

    cluster.until(there, f"{path.rpartition('/')[2]} {' or '.join(phases)}", 60)
    time.sleep(0.2)


def kubectl(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """As a person would."""
    argv = (hyper("kubectl"), f"--kubeconfig={cluster.layout.kubeconfig}", *words)
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)
