"""The same app on this machine and on a real cluster, and on its way from one to the other."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.fixture import cluster
from tests.cluster.parts import hyper
from tests.e2e.platform import Platform, change, copied, until
from tests.e2e.test_drop_free import assert_nothing_dropped, load

__all__ = ["cluster"]

ROUNDS = 5


@pytest.fixture(scope="module")
def east(platform: Platform, cluster: Cluster) -> Iterator[Cluster]:
    """The cluster as the region 'east' of the platform."""
    source = f"edge-sources={cluster.layout.host}/32"
    platform.ok("regions", "add", "east", "--kubeconfig", cluster.layout.kubeconfig, "--option", source)
    yield cluster
    platform.ok("apps", "delete", "--yes", "nomad")
    platform.gone("nomad")
    until(lambda: not running(cluster), 90, "the cluster is not left empty")
    platform.ok("regions", "remove", "east")


@pytest.fixture(scope="module")
def nomad(platform: Platform, east: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app that moves, live on the cluster; its tree."""
    tree = copied("echo", tmp_path_factory.mktemp("apps"))
    manifest = tree / "leeward.yaml"
    manifest.write_text(manifest.read_text().replace("name: echo", "name: nomad") + "region: east\n")
    platform.ok("deploy", tree)
    return tree


def running(cluster: Cluster) -> list[str]:
    """The pods of the platform's projects."""
    words = ("get", "pods", "-A", "-l", "app.kubernetes.io/managed-by=leeward", "-o", "json")
    kubectl = (hyper("kubectl"), f"--kubeconfig={cluster.layout.kubeconfig}", *words)
    found = json.loads(subprocess.run(kubectl, check=True, capture_output=True, timeout=60).stdout)
    return [pod["metadata"]["name"] for pod in found["items"]]


def said(platform: Platform) -> Any:
    return json.loads(platform.get("nomad")[1])


def test_an_app_that_names_a_cluster_runs_there_and_is_asked_as_ever(
    platform: Platform, east: Cluster, nomad: Path
) -> None:
    assert said(platform)["text"] == "one"
    assert platform.containers("nomad") == []
    (instance,) = platform.instances("nomad", "ready")
    assert any(instance["id"].endswith(name[-5:]) for name in running(east))
    assert platform.lee("exec", "nomad", "--", "hostname").out.strip() in running(east)
    kinds = {one["kind"] for one in platform.ok("render", "nomad")}
    assert {"Namespace", "Deployment", "Service", "NetworkPolicy", "Secret"} <= kinds


@pytest.mark.timeout(900)
def test_deploys_and_changes_on_a_cluster_under_load_drop_nothing(platform: Platform, nomad: Path) -> None:
    with load(platform, "nomad") as counted:
        for number in range(ROUNDS):
            change(nomad, 'TEXT = "', f'TEXT = "{number} ')
            done = platform.ok("deploy", nomad)
            assert (done["receipt"]["failed"], done["receipt"]["sockets_dropped"]) == (0, 0), done["receipt"]
            assert said(platform)["text"].startswith(f"{number} ")
            platform.ok("env", "set", "nomad", f"GREETING=hello {number}")
            assert said(platform)["greeting"] == f"hello {number}"

    assert_nothing_dropped(counted)


@pytest.mark.timeout(600)
def test_an_app_moves_to_this_machine_and_back_under_load_and_drops_nothing(
    platform: Platform, east: Cluster, nomad: Path
) -> None:
    with load(platform, "nomad") as counted:
        for old, new in (("east", "local"), ("local", "east")):
            change(nomad, f"region: {old}", f"region: {new}", "leeward.yaml")
            assert platform.ok("deploy", nomad)["status"] == "live"
            assert bool(platform.containers("nomad")) is (new == "local" or bool(running(east)))
            assert said(platform)["text"]

    assert_nothing_dropped(counted)
    until(lambda: not platform.containers("nomad"), 90, "the old containers have not drained")


def test_a_release_that_cannot_start_on_a_cluster_says_why_and_the_old_one_serves(
    platform: Platform, nomad: Path
) -> None:
    before = said(platform)["text"]
    file = nomad / "main.py"
    text = file.read_text()
    file.write_text("raise SystemExit(7)\n")

    failed = platform.lee("deploy", nomad, "--json")
    file.write_text(text)

    assert failed.code == 1
    assert failed.json["step"] == "rollout"
    assert "exits at once with code 7" in failed.json["error"]["message"]
    assert said(platform)["text"] == before


def test_a_rollback_on_a_cluster_restores_code_and_environment(platform: Platform, nomad: Path) -> None:
    releases = platform.ok("releases", "nomad")
    first = said(platform)
    platform.ok("env", "set", "nomad", "GREETING=later")

    done = platform.ok("rollback", "nomad", next(one["release"] for one in releases if one["live"]))

    assert done["status"] == "live"
    assert said(platform)["greeting"] == first["greeting"]


def test_a_cluster_that_does_not_answer_is_refused_with_the_reason(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    user = {"name": "u", "user": {"token": "t"}}
    where = {"name": "c", "cluster": {"server": "https://127.0.0.1:9", "insecure-skip-tls-verify": True}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    file.write_text(json.dumps({"clusters": [where], "users": [user], "contexts": [context], "current-context": "x"}))

    refused = platform.lee("regions", "add", "nowhere", "--kubeconfig", file, "--json")

    assert refused.code == 2
    assert "127.0.0.1:9" in refused.json["error"]["message"]
    assert "nowhere" not in [region["name"] for region in platform.ok("regions", "list")]


def test_an_app_that_names_a_region_that_nobody_added_fails_at_its_plan(
    platform: Platform, nomad: Path, tmp_path: Path
) -> None:
    tree = copied("echo", tmp_path)
    manifest = tree / "leeward.yaml"
    manifest.write_text(manifest.read_text().replace("name: echo", "name: lost") + "region: west\n")

    failed = platform.lee("deploy", tree, "--json")

    assert (failed.code, failed.json["step"]) == (1, "plan")
    assert "there is no region 'west', but local, east" in failed.json["error"]["message"]
    platform.ok("apps", "delete", "--yes", "lost")
