"""Record what instances use and how many requests apps get."""

import time
from collections.abc import Mapping, Sequence

from leeward.model.route import Traffic
from leeward.model.runtime import Usage
from leeward.plan.receipt import quantile, since
from leeward.plan.scale import Use
from leeward.ports import Edge, Engine, Stores

# Two weeks of samples.
KEEP_S = 14 * 86400.0


class Samples:
    """Turns counters into rates, sample by sample."""

    def __init__(self, stores: Stores, engine: Engine, edge: Edge) -> None:
        self._stores = stores
        self._engine = engine
        self._edge = edge
        self._usage: dict[str, tuple[float, Usage]] = {}
        self._traffic: tuple[float, Mapping[str, Traffic]] = (0.0, {})
        self.use: dict[tuple[str, str], dict[str, Use]] = {}
        """App and process to instance to what it used of its size, at the last tick."""

    async def tick(self) -> None:
        """One sample of everything."""
        now = time.time()
        samples: dict[str, float] = {}
        self._cpu(now, await self._engine.usage(), samples)
        self._requests(now, await self._edge.traffic(), samples)
        if samples:
            await self._stores.samples.record(now, samples)

    async def sweep(self) -> None:
        """Forget what is too old."""
        await self._stores.samples.sweep(time.time() - KEEP_S)

    def _cpu(self, now: float, usages: Sequence[Usage], samples: dict[str, float]) -> None:
        fresh: dict[str, tuple[float, Usage]] = {}
        uses: dict[tuple[str, str], dict[str, Use]] = {}
        for usage in usages:
            fresh[usage.instance] = (now, usage)
            name = f"{usage.app}/{usage.process}/{usage.instance}"
            samples[f"{name}/memory_bytes"] = float(usage.memory_bytes)
            before = self._usage.get(usage.instance)
            if before is None or now <= before[0]:
                continue
            cores = max(0.0, usage.cpu_s - before[1].cpu_s) / (now - before[0])
            samples[f"{name}/cpu_cores"] = cores
            if not (usage.settled and before[1].settled):
                continue
            percent = 100 * cores / max(0.001, usage.limit_millicpu / 1000)
            memory = 100 * usage.memory_bytes / max(1, usage.limit_memory_bytes)
            uses.setdefault((usage.app, usage.process), {})[usage.instance] = Use(percent, memory)
        self._usage = fresh
        self.use = uses

    def _requests(self, now: float, traffic: Mapping[str, Traffic], samples: dict[str, float]) -> None:
        then, before = self._traffic
        self._traffic = (now, traffic)
        if not then or now <= then:
            return
        for app, counters in traffic.items():
            spent = since(before.get(app, Traffic(app)), counters)
            samples[f"{app}/edge/all/requests_per_s"] = spent.requests / (now - then)
            if spent.requests:
                samples[f"{app}/edge/all/failed_per_s"] = spent.failed / (now - then)
                samples[f"{app}/edge/all/p50_ms"] = quantile(spent.buckets, 0.5)
                samples[f"{app}/edge/all/p99_ms"] = quantile(spent.buckets, 0.99)
