"""The cluster is a whole one, and it leaves nothing behind."""

import json
import os
import secrets
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.cluster import images, load
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.command import run
from tests.cluster.layout import VERSION, Layout, cache

_RUN = secrets.token_hex(3)
SPACES = (f"walls-a-{_RUN}", f"walls-b-{_RUN}")


@pytest.fixture
def api(cluster: Cluster) -> Api:
    return cluster.api


def test_two_nodes_of_the_wished_version_are_ready(cluster: Cluster, api: Api) -> None:
    nodes = api.get("/api/v1/nodes")["items"]

    assert [node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes] == [f"v{VERSION}"] * len(
        cluster.layout.nodes
    )
    assert cluster.ready_nodes(api) == len(nodes)


def test_starting_again_changes_nothing(cluster: Cluster) -> None:
    before = cluster.pids()

    cluster.up()

    assert cluster.pids() == before


def test_a_killed_api_server_is_back_within_seconds_and_knows_all_it_knew(cluster: Cluster, api: Api) -> None:
    before = {space["metadata"]["uid"] for space in api.get("/api/v1/namespaces")["items"]}
    pid = cluster.pids()["kube-apiserver"]

    cluster.kill("kube-apiserver")

    cluster.until(lambda: cluster.pids().get("kube-apiserver", pid) != pid and api.ready(), "the API server", 30)
    assert before <= {space["metadata"]["uid"] for space in api.get("/api/v1/namespaces")["items"]}


def test_policies_wall_off_a_namespace_and_names_lead_inside(cluster: Cluster, api: Api) -> None:
    for space in SPACES:
        api.apply(f"/api/v1/namespaces/{space}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        cluster.until(
            lambda space=space: api.find(f"/api/v1/namespaces/{space}/serviceaccounts/default") is not None,  # type: ignore[misc]
            "the account",
            20,
        )
    inside = {"podSelector": {}}
    api.apply_all(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": SPACES[0]},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], **spec},
        }
        for name, spec in (
            ("nothing", {}),
            ("inside", {"ingress": [{"from": [inside]}], "egress": [{"to": [inside]}]}),
            ("names", {"egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}]}),
        )
    )
    try:
        for space in SPACES:
            made = api.post(f"/api/v1/namespaces/{space}/pods", load.pod("web", space, "serve", labels={"app": "web"}))
            assert made.status_code == 201, made.text
            spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
            meta = {"name": "web", "namespace": space}
            api.apply_all([{"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}])
            load.wait(cluster, api, f"/api/v1/namespaces/{space}/pods/web", "Running")

        a, b = SPACES
        want = {(a, a): 0, (a, b): 7, (b, a): 7, (b, b): 0}
        # The rules for a pod come when its address is known, some tenths of a second after its start.
        cluster.until(lambda: {pair: asked(cluster, *pair) for pair in want} == want, f"{want}", 20)
    finally:
        for space in SPACES:
            api.delete(f"/api/v1/namespaces/{space}")


def test_an_image_that_this_machine_pushed_is_pulled_by_its_digest(cluster: Cluster, api: Api, tmp_path: Path) -> None:
    registry = cluster.layout.registry
    index = push(f"http://{registry}/v2/pushed/app", cache() / "app")
    body = load.pod("pulled", "default", "get", f"http://{registry}/v2/")
    body["spec"]["containers"][0] |= {"image": f"{registry}/pushed/app@{index}", "imagePullPolicy": "Always"}
    try:
        assert api.post("/api/v1/namespaces/default/pods", body).status_code == 201

        load.wait(cluster, api, "/api/v1/namespaces/default/pods/pulled", "Succeeded")
    finally:
        api.delete("/api/v1/namespaces/default/pods/pulled", gracePeriodSeconds="0")


def asked(cluster: Cluster, source: str, target: str) -> int:
    """0: it was answered, 7: it was not reached."""
    words = ("exec", "-n", source, "web", "--", "/app", "get", f"http://web.{target}/", "3")
    return load.kubectl(cluster, *words).returncode


def push(repository: str, program: Path) -> str:
    """Push an image of one program; its digest."""
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(images.archive(program, "pushed:1"))) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    top = json.loads(files["index.json"])["manifests"][0]
    manifest = files[f"blobs/sha256/{top['digest'].partition(':')[2]}"]
    with httpx.Client(trust_env=False) as http:
        for name, blob in files.items():
            if name.startswith("blobs/") and blob != manifest:
                place = http.post(f"{repository}/blobs/uploads/").raise_for_status().headers["Location"]
                target = httpx.URL(place).copy_merge_params({"digest": f"sha256:{Path(name).name}"})
                http.put(target, content=blob).raise_for_status()
        kind = {"Content-Type": top["mediaType"]}
        http.put(f"{repository}/manifests/{top['digest']}", content=manifest, headers=kind).raise_for_status()
    return str(top["digest"])


def test_a_cluster_that_is_taken_down_leaves_no_trace(cluster: Cluster) -> None:
    # Beside the one that runs, so that what is compared is all of a cluster.
    other = Cluster(Layout(number=7, count=2), forwards=(5999,))
    before = traces()

    other.up()
    during = traces()
    left = other.down()

    assert left == []
    assert during != before
    # The kernel takes a namespace apart a moment after its last process has ended.
    deadline = time.monotonic() + 10
    while (after := traces()) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert after == before


def traces() -> dict[str, list[str]]:
    """What a cluster could leave on this machine."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob("*/leeward-cluster7")]
    folders = [str(path) for name in ("/var/lib", "/run") for path in Path(name).glob("leeward-cluster7*")]
    processes = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"leeward-cluster7" in words:
                processes.append(words.decode())
    listed = {
        name: sorted(line for line in run(*argv).stdout.splitlines() if "lwc7" in line or "10.99.7" in line)
        for name, argv in (
            ("links", ("ip", "-o", "link")),
            ("routes", ("ip", "route")),
            ("namespaces", ("ip", "netns")),
            ("mounts", ("cat", f"/proc/{os.getpid()}/mounts")),
        )
    }
    sysctls = subprocess.run(
        ("sysctl", "vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops"), capture_output=True, text=True
    ).stdout
    return {**listed, "groups": groups, "folders": folders, "processes": processes, "sysctls": [sysctls]}
