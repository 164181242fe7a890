"""Fill a simulated cluster: one app that really runs there is the pattern of thousands."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster

from benchmarks import say
from leeward.engines.kubernetes.names import APPLIED, stamped
from leeward.engines.kubernetes.render import announcer, deployment, environment, service
from leeward.engines.kubernetes.rules import Rules
from leeward.model.runtime import Workload

# By its path: what enters another namespace begins at the root of the files.
SEED = Path(__file__).with_name("cluster_seed.py")
RULES = Rules(home="bench", region="bench", own_registry="", cpu_request_percent=5)


def copy(cluster: Cluster, first: Sequence[Workload], others: Sequence[Workload], about: Mapping[str, Any]) -> None:
    """Write what the cluster made of one app for the others too, with their names, addresses and fingerprints."""
    if not others:
        return
    ip, old = template(cluster, first)
    marks, pool = fingerprints(old), addresses(cluster, len(ip))
    node = cluster.api.get(f"/api/v1/namespaces/leeward-{old.project}/pods", labelSelector=f"leeward.dev/app={old.app}")
    on = node["items"][0]["spec"]["nodeName"]
    copies = []
    for number, each in enumerate(others):
        words = {old.app: each.app, old.project: each.project, ip: next(pool), on: f"sim-{number % about['nodes']:04}"}
        copies.append({"number": number + 1, "words": words | dict(zip(marks, fingerprints(each), strict=True))})
    began = time.monotonic()
    argv = (*cluster.enter(cluster.layout.first.net), sys.executable, str(SEED))
    told = json.dumps({"app": old.app, "copies": copies})
    done = subprocess.run(argv, input=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    say(f"{len(others)} apps were copied in {time.monotonic() - began:.0f} s: {done.stdout}")


def template(cluster: Cluster, first: Sequence[Workload]) -> tuple[str, Workload]:
    """An app that runs, with the address of its Service; the longer that is, the more others have its length."""
    best = ("", first[0])
    for each in first:
        path = f"/api/v1/namespaces/leeward-{each.project}/services/{each.app}"
        best = max(best, (cluster.api.get(path)["spec"]["clusterIP"], each), key=lambda one: len(one[0]))
    path = f"/apis/apps/v1/namespaces/leeward-{best[1].project}/deployments/{best[1].app}-web-g1000"

    def available() -> bool:
        status = cluster.api.get(path)["status"]
        done = [each for each in status.get("conditions", ()) if each.get("reason") == "NewReplicaSetAvailable"]
        return bool(done) and status.get("availableReplicas") == 1

    cluster.until(available, f"an instance of '{best[1].app}'", 300)
    time.sleep(3)
    return best


def addresses(cluster: Cluster, length: int) -> Iterator[str]:
    """Addresses of Services that nobody has."""
    taken = {each["spec"].get("clusterIP") for each in cluster.api.get("/api/v1/services")["items"]}
    for high in range(1, 255):
        for low in range(1, 255):
            found = f"10.96.{high}.{low}"
            if len(found) == length and found not in taken:
                yield found


def fingerprints(one: Workload) -> list[str]:
    """What the engine notes on each of an app's objects."""
    made = [service(one, RULES, one.generation), announcer(one, RULES), environment(one, RULES)]
    made.append(deployment(one, RULES, one.instances))
    return [stamped(each)["metadata"]["annotations"][APPLIED] for each in made]
