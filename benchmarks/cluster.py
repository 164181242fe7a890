"""What the engine on Kubernetes costs on a large cluster: nodes and pods are simulated, the API server is real.

    python -m benchmarks.cluster [--nodes 1000] [--apps 10000] [--changes 200]

Root; builds Kubernetes and kwok the first time. Everything runs in namespaces of its own, and goes at the end.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from tests.cluster import program
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Layout, cache
from tests.cluster.parts import Part, hyper, parts, scheduler
from tests.contracts.tiny import Lines, WallClock

from benchmarks import end_in_order, figure, quantile, say
from leeward.engines.kubernetes.engine import KubernetesEngine
from leeward.engines.kubernetes.rules import Rules
from leeward.errors import Unavailable
from leeward.model.app import Health
from leeward.model.runtime import Workload
from leeward.model.secret import Secret, Variable

NUMBER = 8
AT_ONCE = 16
PROJECT_APPS = 100
HEALTH = Health(path="/", drain=0, deadline=300)
# kubectl takes some hundred objects a second at best: a share of the apps shows its pace.
PEER_APPS = 50


def want(number: int, version: int = 1) -> Workload:
    """One of the apps."""
    return Workload(
        app=f"app{number:05}",
        process="web",
        project=f"bench{number // PROJECT_APPS:03}",
        release=version,
        generation=version * 1000,
        image=f"registry.example.com/app{number:05}@sha256:{version:064x}",
        command=None,
        env=(Variable("VERSION", Secret(str(version))),),
        instances=1,
        millicpu=100,
        memory_mib=64,
        port=8080,
        health=HEALTH,
        routed=frozenset(),
    )


class Counted(KubernetesEngine):
    """The engine, with its requests counted by method."""

    def __init__(self, kubeconfig: str) -> None:
        rules = Rules(home="bench", region="bench", own_registry="", cpu_request_percent=5)
        super().__init__(rules, kubeconfig, "", Lines(), WallClock())
        self.calls: Counter[str] = Counter()
        ask = self.cluster.ask

        async def counted(method: str, path: str, **about: Any) -> Any:
            self.calls[method] += 1
            return await ask(method, path, **about)

        self.cluster.ask = counted  # type: ignore[method-assign]
        # Simulated pods have nothing to say.
        self._follow = lambda pod: None  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def engine(kubeconfig: str) -> AsyncIterator[Counted]:
    """An engine that watches."""
    made = Counted(kubeconfig)
    watching = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await made.close()


async def looked(one: KubernetesEngine) -> None:
    """Until everything was seen once: on a busy machine that takes longer than an engine waits at a time."""
    while True:
        try:
            return await one.sight.ready()
        except Unavailable:
            say("still looking")


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
        kwok = (str(cache() / "kwok"), f"--kubeconfig={layout.kubeconfig}", "--manage-all-nodes=true")
        kwok = (*kwok, "--node-lease-duration-seconds=200", "--cidr=10.64.0.0/10", "--server-address=127.0.0.1:10247")
        more = [Part("kube-scheduler", scheduler(layout), layout.first.net), Part("kwok", kwok, layout.first.net)]
        cluster.want([patient(part) for part in (*parts(layout, control_only=True), *more)])
        api = cluster.api
        for number in range(nodes):
            made = api.post("/api/v1/nodes", node(number))
            assert made.status_code in (201, 409), made.text
        cluster.until(lambda: cluster.ready_nodes(api) >= nodes, f"{nodes} nodes", 300)
        yield cluster
    finally:
        cluster.down()


def patient(part: Part) -> Part:
    """A simulated node says seldom that it is well, and nobody holds back the controllers of a large cluster."""
    argv = [word for word in part.argv if not word.startswith("--node-monitor-grace")]
    if part.name == "kube-controller-manager":
        argv += ["--node-monitor-grace-period=600s", "--kube-api-qps=1000", "--kube-api-burst=2000"]
        argv += [
            f"--concurrent-{what}-syncs=20"
            for what in ("deployment", "replicaset", "service-endpoint", "resource-quota")
        ]
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


async def apply_all(one: KubernetesEngine, wants: Sequence[Workload]) -> list[float]:
    """Apply everything; how long each took, in seconds."""
    took: list[float] = []
    left = iter(wants)

    async def worker() -> None:
        for each in left:
            began = time.monotonic()
            while True:
                try:
                    await one.apply(each)
                    break
                except Unavailable as error:
                    say(f"again: {error.message}")
                    await asyncio.sleep(1)
            took.append(time.monotonic() - began)
            if len(took) % 500 == 0:
                say(f"{len(took)} of {len(wants)} applied")

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return took


def rss_mib() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


async def hold(kubeconfig: str) -> None:
    """Know all of the cluster, and say what that takes: in a process that has done nothing else."""
    async with engine(kubeconfig) as one:
        before = rss_mib()
        began = time.monotonic()
        await looked(one)
        seen_s = time.monotonic() - began
        await asyncio.sleep(5)
        print(json.dumps({"mib": rss_mib(), "empty_mib": before, "seen_s": seen_s}))


def memory(kubeconfig: Path, about: dict[str, Any]) -> None:
    """What one control plane holds of the whole cluster."""
    argv = (sys.executable, "-m", "benchmarks.cluster", "--hold", str(kubeconfig))
    told = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    per_app = (told["mib"] - told["empty_mib"]) / about["apps"] * 1024
    figure(
        "cluster_memory", told["mib"], "MiB", per_app_kib=round(per_app, 1), seen_s=round(told["seen_s"], 2), **about
    )


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


async def measure(cluster: Cluster, apps: int, changes: int, nodes: int) -> None:
    kubeconfig = cluster.layout.kubeconfig.read_text()
    about = {"nodes": nodes, "apps": apps}
    wants = [want(number) for number in range(apps)]
    async with engine(kubeconfig) as one:
        await looked(one)
        began = time.monotonic()
        await apply_all(one, wants)
        first_s = time.monotonic() - began
        writes = one.calls["PATCH"] + one.calls["POST"]
    per_s = apps / first_s
    peer_s = await asyncio.to_thread(by_kubectl, cluster, [want(number) for number in range(apps, apps + PEER_APPS)])
    figure(
        "cluster_first_apply", per_s, "apps/s", peer="kubectl apply --server-side, the same objects",
        peer_value=PEER_APPS / peer_s[0], writes_per_app=round(writes / apps, 2), **about,
    )  # fmt: skip
    waited = await asyncio.to_thread(settled, cluster.api, apps, cluster)
    say(f"all pods were there {waited:.0f} s later")
    await resync(kubeconfig, wants, peer_s[1], about)
    memory(cluster.layout.kubeconfig, about)
    await change(kubeconfig, apps, changes, about)


async def resync(kubeconfig: str, wants: Sequence[Workload], peer_s: float, about: dict[str, Any]) -> None:
    """A control plane that knows nothing yet looks at everything, and finds nothing to do."""
    async with engine(kubeconfig) as one:
        began = time.monotonic()
        await looked(one)
        seen_s = time.monotonic() - began
        await apply_all(one, wants)
        whole_s = time.monotonic() - began
        sent = sum(count for method, count in one.calls.items() if method != "GET")
        peer_all_s = peer_s / PEER_APPS * len(wants)
        figure(
            "cluster_resync", whole_s, "s", peer="kubectl apply of the same, scaled up from a share",
            peer_value=peer_all_s, list_s=round(seen_s, 2), writes=sent, reads=one.calls["GET"], **about,
        )  # fmt: skip


async def change(kubeconfig: str, apps: int, changes: int, about: dict[str, Any]) -> None:
    """New releases, one after another, while everything else stays."""
    async with engine(kubeconfig) as one:
        await looked(one)
        took, peer = [], []
        calls: Counter[str] = Counter()
        for number in range(0, apps, max(1, apps // changes)):
            one.calls.clear()
            began = time.monotonic()
            await one._deeds.start(want(number, 2), 1)
            took.append((time.monotonic() - began) * 1000)
            calls.update(one.calls)
        cluster = Cluster(Layout(number=NUMBER, count=1))
        for number in range(20):
            peer.append(by_kubectl(cluster, [want(number, 3)], again=False)[0] * 1000)
        figure(
            "cluster_change_p99", quantile(took, 0.99), "ms", peer="kubectl apply of the same, median",
            peer_value=quantile(peer, 0.5), p50=round(quantile(took, 0.5), 2),
            calls_per_change=round(sum(calls.values()) / len(took), 2), changes=len(took), **about,
        )  # fmt: skip


def by_kubectl(cluster: Cluster, wants: Sequence[Workload], *, again: bool = True) -> tuple[float, float]:
    """How long kubectl takes for the same objects, the first time and when they are there already."""
    made = Counted(cluster.layout.kubeconfig.read_text()).render(wants)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "objects.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [plain(each) for each in made]}))
        argv = (hyper("kubectl"), f"--kubeconfig={cluster.layout.kubeconfig}", "apply", "--server-side")
        argv = (*argv, "--force-conflicts", "-f", str(file))
        times = []
        for _ in range(2 if again else 1):
            began = time.monotonic()
            done = subprocess.run(argv, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
            times.append(time.monotonic() - began)
        return times[0], times[-1]


def plain(made: Any) -> Any:
    """What is rendered to be shown, as it can be sent."""
    return dict(made)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--apps", type=int, default=10000)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--hold", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.hold:
        asyncio.run(hold(chosen.hold.read_text()))
        return
    end_in_order()
    with simulated(chosen.nodes) as cluster:
        asyncio.run(measure(cluster, chosen.apps, chosen.changes, chosen.nodes))


if __name__ == "__main__":
    main()
