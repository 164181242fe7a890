"""What the engine on Kubernetes costs on a large cluster: nodes and pods are simulated, the API server is real.

    python -m benchmarks.cluster [--nodes 1000] [--apps 10000] [--changes 200]

Root; builds Kubernetes and kwok the first time. Everything runs in namespaces of its own, and goes at the end.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Layout
from tests.cluster.parts import hyper
from tests.contracts.tiny import Lines, WallClock

from benchmarks import end_in_order, figure, quantile, say
from benchmarks.cluster_copies import RULES, copy
from benchmarks.cluster_stage import NUMBER, Audit, quiet, simulated
from leeward.engines.kubernetes.engine import KubernetesEngine
from leeward.errors import Unavailable
from leeward.model.app import Health
from leeward.model.runtime import Workload
from leeward.model.secret import Secret, Variable

AT_ONCE = 16
PROJECT_APPS = 100
HEALTH = Health(path="/", drain=0, deadline=300)
# kubectl takes some hundred objects a second at best: a share of the apps shows its pace.
PEER_APPS = 50
# A change that is asked for while a full resync goes on, and how often.
BESIDE_S = 0.2
KUBECTL_CHANGES = 20


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
    """The engine, with the moments at which the cluster had taken each app's Deployment."""

    def __init__(self, kubeconfig: str, home: str = RULES.home) -> None:
        super().__init__(replace(RULES, home=home), kubeconfig, "", Lines(), WallClock())
        self.applied: dict[str, float] = {}
        ask = self.cluster.ask

        async def timed(method: str, path: str, **about: Any) -> Any:
            answer = await ask(method, path, **about)
            if method == "PATCH" and "/deployments/" in path and "dryRun" not in about["params"]:
                self.applied[path.rpartition("/")[2].partition("-")[0]] = time.monotonic()
            return answer

        self.cluster.ask = timed  # type: ignore[method-assign]
        # Simulated pods have nothing to say.
        self._follow = lambda pod: ""  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def engine(kubeconfig: str, home: str = RULES.home) -> AsyncIterator[Counted]:
    """An engine that watches."""
    made = Counted(kubeconfig, home)
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
            await asyncio.sleep(1)


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

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return took


def rss_mib() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


async def hold(kubeconfig: str, home: str) -> None:
    """Know all of the cluster, and say what that takes: in a process that has done nothing else."""
    async with engine(kubeconfig, home) as one:
        began = time.monotonic()
        await looked(one)
        seen_s = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        await asyncio.sleep(2)
        print(json.dumps({"mib": rss_mib(), "peak_mib": peak, "seen_s": seen_s}))


def held(kubeconfig: Path, home: str) -> dict[str, float]:
    """What a process of its own says."""
    argv = (sys.executable, "-m", "benchmarks.cluster", "--hold", str(kubeconfig), "--home", home)
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def memory(kubeconfig: Path, about: Mapping[str, Any]) -> None:
    """What one control plane holds of the whole cluster, and what of that the apps are."""
    empty, full = held(kubeconfig, "nobody"), held(kubeconfig, RULES.home)
    per_app = (full["mib"] - empty["mib"]) / about["apps"] * 1024
    figure(
        "cluster_memory", full["mib"], "MiB", per_app_kib=round(per_app, 1), peak_mib=round(full["peak_mib"], 1),
        without_apps_mib=round(empty["mib"], 1), seen_s=round(full["seen_s"], 2), **about,
    )  # fmt: skip


async def measure(cluster: Cluster, apps: int, changes: int, nodes: int) -> None:
    layout = cluster.layout
    kubeconfig, audit = layout.kubeconfig.read_text(), Audit(layout)
    about = {"nodes": nodes, "apps": apps}
    peer_s = await fill(cluster, apps, about, audit)
    wants = [want(number) for number in range(apps)]
    memory(layout.kubeconfig, about)
    audit.calls()
    await resync(kubeconfig, wants, peer_s[1], about, audit)
    await change(kubeconfig, apps, changes, about, audit)
    await burst(kubeconfig, apps, changes, about)
    await beside(kubeconfig, wants, changes, about)


async def fill(cluster: Cluster, apps: int, about: Mapping[str, Any], audit: Audit) -> tuple[float, float]:
    """Have all apps: one of each project and a share for the pace by the engine, the others as copies of one."""
    first = [want(number) for number in range(0, apps, PROJECT_APPS)]
    share = [want(number) for number in range(apps) if number % PROJECT_APPS == 1 or apps <= 2 * PEER_APPS][:PEER_APPS]
    share += [want(number) for number in range(2, 2 + PEER_APPS - len(share))]
    async with engine(cluster.layout.kubeconfig.read_text()) as one:
        await looked(one)
        await apply_all(one, first)
        audit.calls()
        began = time.monotonic()
        await apply_all(one, share)
        per_s = len(share) / (time.monotonic() - began)
    calls = audit.calls()
    writes = sum(count for call, count in calls.items() if call.startswith("patch "))
    more = [want(number) for number in range(apps, apps + PEER_APPS)]
    peer_s = await asyncio.to_thread(by_kubectl, cluster, more)
    figure(
        "cluster_first_apply", per_s, "apps/s", peer="kubectl apply --server-side, the same objects",
        peer_value=PEER_APPS / peer_s[0], writes_per_app=round(writes / len(share), 2), of=len(share), **about,
    )  # fmt: skip
    there = {each.app for each in (*first, *share)}
    await asyncio.to_thread(copy, cluster, first, [want(n) for n in range(apps) if want(n).app not in there], about)
    waited = await asyncio.to_thread(quiet, cluster.api, apps, cluster)
    say(f"the cluster was quiet {waited:.0f} s later")
    return peer_s


async def resync(
    kubeconfig: str, wants: Sequence[Workload], peer_s: float, about: Mapping[str, Any], audit: Audit
) -> None:
    """A control plane that knows nothing yet looks at everything, and finds nothing to do."""
    async with engine(kubeconfig) as one:
        began, cpu = time.monotonic(), time.process_time()
        await looked(one)
        seen_s = time.monotonic() - began
        await apply_all(one, wants)
        whole_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    # A watch is written down when it ends.
    await asyncio.sleep(2)
    calls = audit.calls()
    say(f"calls of the resync: {dict(calls)}")
    by_verb: Counter[str] = Counter()
    for call, count in calls.items():
        by_verb[call.partition(" ")[0]] += count
    sent = sum(count for verb, count in by_verb.items() if verb not in ("get", "list", "watch"))
    figure(
        "cluster_resync", whole_s, "s", peer="kubectl apply of the same, scaled up from a share",
        peer_value=peer_s / PEER_APPS * len(wants), list_s=round(seen_s, 2), cpu_s=round(cpu_s, 2), writes=sent,
        lists=by_verb["list"], watches=by_verb["watch"], gets=by_verb["get"], **about,
    )  # fmt: skip


async def change(kubeconfig: str, apps: int, changes: int, about: Mapping[str, Any], audit: Audit) -> None:
    """New releases, one after another, while everything else stays."""
    async with engine(kubeconfig) as one:
        await looked(one)
        audit.calls()
        took, numbers = [], range(0, apps, max(1, apps // changes))
        for number in numbers:
            began = time.monotonic()
            await one.apply(want(number, 2))
            took.append((one.applied[want(number).app] - began) * 1000)
        calls = audit.calls()
        peer = []
        cluster = Cluster(Layout(number=NUMBER, count=1))
        for number in range(KUBECTL_CHANGES):
            peer.append(by_kubectl(cluster, [want(number, 3)], again=False)[0] * 1000)
    figure(
        "cluster_change_p99", quantile(took, 0.99), "ms", peer="kubectl apply of the same, median",
        peer_value=quantile(peer, 0.5), p50=round(quantile(took, 0.5), 2),
        calls_per_change=round(sum(calls.values()) / len(took), 2), changes=len(took),
        calls={call: round(count / len(took), 2) for call, count in calls.most_common()}, **about,
    )  # fmt: skip


async def burst(kubeconfig: str, apps: int, changes: int, about: Mapping[str, Any]) -> None:
    """So many changes at the same moment, as many at once as the control plane has hands for."""
    wants = [want(number, 4) for number in range(0, apps, max(1, apps // changes))]
    async with engine(kubeconfig) as one:
        await looked(one)
        began = time.monotonic()
        await apply_all(one, wants)
        took = [one.applied[each.app] - began for each in wants]
    cluster = Cluster(Layout(number=NUMBER, count=1))
    peer = await asyncio.to_thread(by_kubectl, cluster, [replace(each, generation=5000) for each in wants], again=False)
    figure(
        "cluster_burst_p99", quantile(took, 0.99), "s", peer="kubectl apply of all of them, once",
        peer_value=peer[0], p50=round(quantile(took, 0.5), 2), changes=len(wants), at_once=AT_ONCE, **about,
    )  # fmt: skip


async def beside(kubeconfig: str, wants: Sequence[Workload], changes: int, about: Mapping[str, Any]) -> None:
    """Single changes while all other apps are looked at again and again."""
    some = range(0, len(wants), max(1, len(wants) // changes))
    # What was changed before is not as it was wished first.
    others = [each for number, each in enumerate(wants) if number >= KUBECTL_CHANGES and number not in some]

    async def resync() -> None:
        while True:
            await apply_all(one, others)

    async with engine(kubeconfig) as one:
        await looked(one)
        resyncing = asyncio.create_task(resync())
        took = []
        for number in some[:: max(1, len(some) // 50)]:
            began = time.monotonic()
            await one.apply(want(number, 6))
            took.append((one.applied[want(number).app] - began) * 1000)
            await asyncio.sleep(BESIDE_S)
        resyncing.cancel()
        await asyncio.gather(resyncing, return_exceptions=True)
    figure(
        "cluster_change_in_resync_p99", quantile(took, 0.99), "ms", p50=round(quantile(took, 0.5), 2),
        changes=len(took), **about,
    )  # fmt: skip


def by_kubectl(cluster: Cluster, wants: Sequence[Workload], *, again: bool = True) -> tuple[float, float]:
    """How long kubectl takes for the same objects, the first time and when they are there already."""
    made = Counted(cluster.layout.kubeconfig.read_text()).render(wants)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "objects.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [plain(each) for each in made]}))
        argv: tuple[str, ...] = (
            hyper("kubectl"),
            f"--kubeconfig={cluster.layout.kubeconfig}",
            "apply",
            "--server-side",
        )
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
    parser.add_argument("--home", default=RULES.home, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.hold:
        asyncio.run(hold(chosen.hold.read_text(), chosen.home))
        return
    end_in_order()
    with simulated(chosen.nodes) as cluster:
        asyncio.run(measure(cluster, chosen.apps, chosen.changes, chosen.nodes))


if __name__ == "__main__":
    main()
