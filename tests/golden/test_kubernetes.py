"""Workloads as objects of a cluster, compared with what a reviewer has read: `GOLDEN=write` writes them anew."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.kubernetes_stage import RULES, WEB, WORKER

from leeward.engines.kubernetes.capabilities import least_role
from leeward.engines.kubernetes.claim import claim
from leeward.engines.kubernetes.jobs import by_hand, once, timed
from leeward.engines.kubernetes.kits import Kit, kit_objects
from leeward.engines.kubernetes.manifests import manifests
from leeward.engines.kubernetes.render import deployment
from leeward.engines.kubernetes.routing import http_route, way_in
from leeward.engines.kubernetes.rules import Pool, Quota
from leeward.engines.kubernetes.scaling import let_in, sleeper
from leeward.model.app import Health, Instances, Overlap
from leeward.model.region import Profile
from leeward.model.run import Run, Timed, Trigger
from leeward.model.secret import Secret
from leeward.model.volume import Mount

HERE = Path(__file__).parent / "kubernetes"

GKE = replace(
    RULES,
    profile=Profile.GKE_AUTOPILOT,
    gateway="gateways/external",
    edge_sources=("35.191.0.0/16", "130.211.0.0/22"),
)
POOLS = replace(
    RULES,
    own_registry="127.0.0.1:5000",
    registry="10.0.0.5:5000",
    pull_secret=Secret('{"auths":{"10.0.0.5:5000":{"auth":"aHVudGVyMg=="}}}'),
    apps=Pool({"pool": "apps"}, ("leeward.dev/apps",)),
    runtime_class="gvisor",
    edge_sources=("10.0.0.4/32",),
    egress=("10.9.0.0/24",),
    quota=Quota(instances=20, cores=16, memory_gib=32),
)
ONE = replace(WEB, instances=1)
KIT = Kit(
    image="registry.example.com/buildkit:rootless",
    pods=2,
    millicpu=2000,
    memory_mib=4096,
    disk_mib=10240,
    cache_mib=20480,
    registry="10.0.0.5:5000",
    plain=("10.0.0.5:5000",),
)
NIGHTLY = Timed(replace(WORKER, command="python manage.py clearsessions"), "15 3 * * *", "Europe/Berlin", timeout_s=900)
DATA = Mount("data", "/data", 10240)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CASES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "web": manifests((WEB,), RULES),
    "web-and-worker": manifests((WEB, WORKER), RULES),
    "own-dockerfile": manifests((replace(ONE, read_only=False, command=None, env=()),), RULES),
    "low-port": manifests((replace(ONE, port=80, health=Health(drain=0, interval=0.5)),), RULES),
    "hyphens": manifests(
        (replace(ONE, app="my-shop", process="web"), replace(ONE, app="my", process="shop-web")), RULES
    ),
    "shell-command": manifests((replace(ONE, command="cd app && exec echo $(date) > /tmp/x"),), RULES),
    "pools-registry-gvisor": manifests((ONE,), POOLS),
    "gateway": manifests((replace(ONE, hosts=("www.example.com",)),), replace(RULES, gateway="gateways/external")),
    "gke-autopilot": manifests((replace(ONE, millicpu=100, memory_mib=256),), GKE),
    "ingress": way_in(ONE, ("shop.apps.example.com",), replace(RULES, gateway_class="nginx"), gateway_api=False),
    "cluster-scales": manifests(
        (replace(ONE, bounds=Instances(min=2, max=9, cpu_percent=70)),), replace(RULES, cluster_scales=True)
    ),
    "scale-to-zero": sleeper(ONE, Instances(min=0, max=5), ("shop.apps.example.com",), RULES),
    "asleep-behind-a-gateway": (
        http_route(ONE, ("shop.apps.example.com",), replace(RULES, gateway="gateways/external"), sleeps=True),
        let_in(ONE.project, RULES),
    ),
    "run-once": once(WORKER, RULES, "python manage.py migrate", "shop-worker-once-1a2b3c", 300)[1:],
    "timed": (
        timed(replace(NIGHTLY, overlap=Overlap.REPLACE, timezone="UTC", retries=2, suspended=True), POOLS),
        *manifests((NIGHTLY,), RULES)[-2:],
        by_hand(NIGHTLY, RULES, Run("worker-m1", "shop", "worker", 3, Trigger.MANUAL, NOON), "1-2-3"),
    ),
    "volume": manifests((replace(WORKER, volumes=(DATA,)),), RULES)[-2:],
    "volume-shared": (
        claim(replace(WORKER, volumes=(DATA,)), replace(RULES, storage_class="nfs", shared_volumes=True), DATA),
        deployment(replace(WORKER, volumes=(DATA,)), replace(RULES, shared_volumes=True), 2),
    ),
    "builds": kit_objects(KIT, RULES),
    "builds-pool-and-volume": kit_objects(
        replace(KIT, volume_gib=50, registry="registry.example.com/apps", plain=()),
        replace(RULES, builds=Pool({"pool": "builds"}, ("leeward.dev/builds",)), runtime_class="gvisor"),
    ),
    "role": (least_role(),),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_objects_of_a_workload_are_as_reviewed(name: str) -> None:
    text = yaml.safe_dump_all(json.loads(json.dumps(CASES[name])), sort_keys=False, width=110)
    path = HERE / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert path.exists(), f"{path.name} is not there: run `make golden` and read it"
    assert text == path.read_text()


def test_what_is_shown_holds_no_secret() -> None:
    shown = yaml.safe_dump_all([dict(made) for made in manifests((WEB, WORKER), POOLS)])

    assert "hunter2" not in shown
    assert "aHVudGVyMg" not in shown
    assert "GREETING: hello" in shown
