"""Keep a pool of BuildKits in a cluster, and lend each to one build at a time."""

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.failures import not_ours
from leeward.engines.kubernetes.kinds import NAMESPACE, POD
from leeward.engines.kubernetes.kit_state import ended_for_memory, evicted, kills, life, ready, waits
from leeward.engines.kubernetes.kits import CONTAINER, KIT, NAME, SOCKET, Kit, kit_namespace, kit_objects
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.tunnel import Tunnel
from leeward.errors import BuildFailed, LeewardError, Unavailable
from leeward.ports.world import BuildRoom, Say

READY_S = 300.0
_ENDED_S = 8.0
_MEMORY = ["cat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
_DIAL = ["buildctl", "--addr", SOCKET, "dial-stdio"]
_MOST = 16 * 1024

Pod = Mapping[str, Any]


class ClusterBuilds:
    """The port BuildPool on one cluster. What runs outlives this object."""

    def __init__(self, cluster: Cluster, rules: Rules, kit: Kit, run_dir: Path, ready_s: float = READY_S) -> None:
        self._cluster = cluster
        self._rules = rules
        self._kit = kit
        self._run_dir = run_dir
        self._ready_s = ready_s
        self._namespace = kit_namespace(rules)
        self._busy: set[str] = set()
        self._freed = asyncio.Condition()
        self._having = asyncio.Lock()
        self._had = False

    @contextlib.asynccontextmanager
    async def room(self, app: str, say: Say) -> AsyncIterator[BuildRoom]:
        """Wait for a free pod; its BuildKit is behind a socket of this machine meanwhile."""
        await self.have()
        name = await self._take(app, say)
        try:
            pod = await self._until(name, ready, self._ready_s, lambda why: say(f"waiting for the build pod: {why}"))
            room = _Room(self._kit.memory_mib, self, name, life(pod), await self._kills(name))
            self._run_dir.mkdir(parents=True, exist_ok=True)
            # A socket's path has room for a hundred letters.
            path = self._run_dir / f"kit-{secrets.token_hex(4)}.sock"
            async with Tunnel(self._cluster, self._namespace, name, CONTAINER, _DIAL).open(path):
                room.address = f"unix://{path}"
                watching = asyncio.create_task(room.watch(self._follow(name)))
                try:
                    yield room
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
        finally:
            async with self._freed:
                self._busy.discard(name)
                self._freed.notify_all()

    async def have(self) -> None:
        """Have the pool as it should be; somebody who deleted it is made good once a build needs it."""
        async with self._having:
            if self._had and await self._cluster.get(NAMESPACE, "", self._namespace) is not None:
                return
            for made in kit_objects(self._kit, self._rules):
                if made["kind"] == "Namespace":
                    found = await self._cluster.get(NAMESPACE, "", self._namespace)
                    if found and (found["metadata"].get("labels") or {}).get(KIT) != self._rules.home:
                        raise not_ours("Namespace", self._namespace, "")
                await self._cluster.apply(made)
            self._had = True

    async def remove(self) -> None:
        """Take the pool away, with its cache."""
        await take_away(self._cluster, self._rules)
        self._had = False

    async def close(self) -> None:
        """Let go of the cluster. The pool stays."""
        await self._cluster.close()

    async def _take(self, app: str, say: Say) -> str:
        first = int(hashlib.sha256(app.encode()).hexdigest()[:8], 16)
        names = [f"{NAME}-{(first + number) % self._kit.pods}" for number in range(self._kit.pods)]
        async with self._freed:
            if all(name in self._busy for name in names):
                say(f"waiting for a build slot ({self._kit.pods} at once)")
                await self._freed.wait_for(lambda: any(name not in self._busy for name in names))
            name = next(name for name in names if name not in self._busy)
            self._busy.add(name)
            return name

    async def _until(self, name: str, good: Callable[[Pod], bool], seconds: float, tell: Callable[[str], None]) -> Pod:
        """Wait until a pod is so, by what the cluster says of it. Raises BuildFailed."""
        told = "it is being made"
        try:
            async with asyncio.timeout(seconds):
                async for pod in self._follow(name):
                    if pod is not None and good(pod):
                        return pod
                    if (why := waits(pod)) and why != told:
                        told = why
                        tell(why)
        except TimeoutError as error:
            raise BuildFailed(
                f"the build pod '{name}' of region '{self._rules.region}' is not ready after {seconds:.0f} s: {told}",
                hint="see `lee doctor --region`, and the pods of the namespace for builds",
                code="build-pod",
            ) from error
        raise Unavailable(f"the cluster of region '{self._rules.region}' stopped to tell of its pods")

    async def _follow(self, name: str) -> AsyncIterator[Pod | None]:
        """What a pod is, again and again as it changes."""
        path, one = POD.path(self._namespace), {"fieldSelector": f"metadata.name={name}"}
        while True:
            found = await self._cluster.ask("GET", path, what="build pods", params=one)
            yield next(iter(found.get("items") or ()), None)
            since = {**one, "watch": "true", "resourceVersion": found["metadata"]["resourceVersion"]}
            async with self._cluster.lines(path, "build pods", since) as lines:
                async for line in lines:
                    event = json.loads(line)
                    if event.get("type") == "ERROR":
                        break
                    yield event["object"] if event.get("type") != "DELETED" else None

    async def _kills(self, name: str) -> int:
        output = bytearray()
        try:
            await self._cluster.exec(self._namespace, name, CONTAINER, _MEMORY, output, _MOST)
        except LeewardError:
            return 0
        return kills(output.decode("utf-8", "replace"))

    async def short_of_memory(self, name: str, before: tuple[str, int], killed: int) -> bool:
        """Whether the pod's container, or a process in it, was ended for want of memory since then."""
        if await self._kills(name) > killed:
            return True
        pod = await self._cluster.get(POD, self._namespace, name)
        if life(pod) == before and (pod is None or ready(pod)):
            return False
        with contextlib.suppress(BuildFailed):
            await self._until(name, lambda one: life(one) != before, _ENDED_S, lambda why: None)
        pod = await self._cluster.get(POD, self._namespace, name)
        return life(pod) != before and ended_for_memory(pod)


async def take_away(cluster: Cluster, rules: Rules) -> None:
    """Have the pool of a region go, with all that belongs to it: pods, volumes, policies, secrets. Repeatable."""
    name = kit_namespace(rules)
    found = await cluster.get(NAMESPACE, "", name)
    if found is not None and (found["metadata"].get("labels") or {}).get(KIT) == rules.home:
        await cluster.delete(NAMESPACE, "", name)


class _Room:
    """One pod that is lent out."""

    address = ""

    def __init__(self, memory_mib: int, pool: ClusterBuilds, name: str, before: tuple[str, int], killed: int) -> None:
        self.memory_mib = memory_mib
        self._pool, self._name, self._before, self._killed = pool, name, before, killed
        self._evicted = False
        self._ended = asyncio.Event()

    async def watch(self, pods: AsyncIterator[Pod | None]) -> None:
        """See how the pod ends, if it does."""
        async for pod in pods:
            self._evicted = self._evicted or evicted(pod)
            if self._evicted or life(pod) != self._before:
                self._ended.set()

    async def out_of_disk(self) -> bool:
        """Whether the pod was taken away for what it wrote; waits a moment for the cluster to say so."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _ENDED_S)
        return self._evicted

    async def out_of_memory(self) -> bool:
        """Whether a process was ended for want of memory since this build began."""
        try:
            return await self._pool.short_of_memory(self._name, self._before, self._killed)
        except LeewardError:
            return False
