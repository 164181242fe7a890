"""Read what instances use: from the nodes where that is allowed, else from the cluster's metrics."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.names import HOME, INSTANCE
from leeward.engines.kubernetes.pods import Pod, amount, millicpu
from leeward.engines.kubernetes.sight import Sight
from leeward.errors import Forbidden, LeewardError, NotFound, RolloutFailed
from leeward.model.runtime import Usage

# Nodes count anew each ten seconds or so.
_FRESH_S = 10.0
_AT_ONCE = 16
METRICS = "/apis/metrics.k8s.io/v1beta1/pods"


@dataclass(frozen=True, slots=True)
class Used:
    """What one pod used: seconds of CPU since its start, bytes of memory now."""

    cpu_s: float
    memory_bytes: int


def summary(shown: Mapping[str, Any]) -> dict[str, Used]:
    """Pod's name to what it used, from a node's `/stats/summary`."""
    found = {}
    for pod in shown.get("pods") or ():
        containers = pod.get("containers") or ()
        found[pod["podRef"]["name"]] = Used(
            sum((each.get("cpu") or {}).get("usageCoreNanoSeconds") or 0 for each in containers) / 1e9,
            sum((each.get("memory") or {}).get("workingSetBytes") or 0 for each in containers),
        )
    return found


def rates(shown: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Pod's name to cores and bytes now, from the cluster's metrics."""
    found = {}
    for pod in shown.get("items") or ():
        uses = [each.get("usage") or {} for each in pod.get("containers") or ()]
        cores = sum(millicpu(use.get("cpu", "0")) for use in uses) / 1000
        found[pod["metadata"]["name"]] = (cores, sum(amount(use.get("memory", "0")) for use in uses))
    return found


class Meter:
    """Asks each node once in ten seconds, and only those that have instances of ours."""

    def __init__(self, cluster: Cluster, sight: Sight, now: Callable[[], float]) -> None:
        self._cluster = cluster
        self._sight = sight
        self._now = now
        self._used: dict[str, Used] = {}
        self._asked_at = 0.0
        self._nodes_allowed = True
        self._asking = asyncio.Lock()

    async def usage(self) -> Sequence[Usage]:
        """CPU and memory of every running instance."""
        pods = [pod for pod in self._sight.pods.items.values() if pod.role == INSTANCE and pod.running]
        if pods:
            async with self._asking:
                if self._now() - self._asked_at >= _FRESH_S:
                    await self._ask(pods)
        return tuple(self._shown(pod) for pod in pods)

    def _shown(self, pod: Pod) -> Usage:
        used = self._used.get(pod.name, Used(0.0, 0))
        memory = pod.memory_mib * 1024 * 1024
        return Usage(pod.name, pod.app, pod.process, used.cpu_s, used.memory_bytes, pod.millicpu, memory)

    async def _ask(self, pods: Sequence[Pod]) -> None:
        now = self._now()
        names = {pod.name for pod in pods}
        if self._nodes_allowed:
            try:
                found = await self._nodes(sorted({pod.node for pod in pods}))
            except Forbidden:
                self._nodes_allowed = False
        if not self._nodes_allowed:
            found = await self._metrics(now)
        self._used = {name: used for name, used in found.items() if name in names}
        self._asked_at = now

    async def _nodes(self, nodes: Sequence[str]) -> dict[str, Used]:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(node: str) -> dict[str, Used]:
            async with limit:
                path = f"/api/v1/nodes/{node}/proxy/stats/summary"
                return summary(await self._cluster.ask("GET", path, what=f"figures of node '{node}'"))

        found = dict(self._used)
        for result in await asyncio.gather(*(one(node) for node in nodes), return_exceptions=True):
            if isinstance(result, Forbidden) or (
                isinstance(result, BaseException) and not isinstance(result, LeewardError)
            ):
                raise result
            if isinstance(result, dict):
                found.update(result)
        return found

    async def _metrics(self, now: float) -> dict[str, Used]:
        """The cluster's metrics say how fast, not how much: what was used is added up from look to look."""
        match = {"labelSelector": f"{HOME}={self._sight.home}"}
        try:
            found = rates(await self._cluster.ask("GET", METRICS, what="metrics", params=match))
        except (NotFound, Forbidden, RolloutFailed):
            return {}
        spent = now - self._asked_at if self._asked_at else 0.0
        return {
            name: Used((self._used[name].cpu_s if name in self._used else 0.0) + cores * spent, memory)
            for name, (cores, memory) in found.items()
        }
