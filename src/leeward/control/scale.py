"""Keep the number of instances where their CPU use wants it."""

import time

from leeward.control.apps import Apps
from leeward.control.samples import Samples
from leeward.model.event import Event
from leeward.plan.scale import wished
from leeward.ports import Stores


class Autoscaler:
    """Looks at every process whose `min` is below its `max`."""

    def __init__(self, stores: Stores, apps: Apps, samples: Samples) -> None:
        self._stores = stores
        self._apps = apps
        self._samples = samples
        self._busy_at: dict[tuple[str, str], float] = {}

    async def tick(self) -> None:
        """One decision for each process that may scale."""
        now = time.time()
        for (app, process), use in list(self._samples.cpu_percent.items()):
            # As it was settled last: asking for each would be a query for every app.
            found = self._apps.settled(app)
            if found is None or found.deleted or found.live is None or self._apps.candidate(app) is not None:
                continue
            release = await self._apps.release(app, found.live)
            spec = release.spec.processes.get(process)
            if spec is None or spec.instances.min == spec.instances.max:
                continue
            running = self._apps.counts.get(app, {}).get(process, max(spec.instances.min, 1))
            mean = sum(use.values()) / len(use)
            count = wished(spec.instances, running, mean, now - self._busy_at.get((app, process), 0.0))
            if count >= running and mean > spec.instances.cpu_percent * 0.5:
                self._busy_at[app, process] = now
            if count != running:
                await self._set(app, process, running, count, mean)

    async def _set(self, app: str, process: str, running: int, count: int, mean: float) -> None:
        self._apps.counts[app] = {**self._apps.counts.get(app, {}), process: count}
        self._apps.changed(app)
        text = f"{process} of '{app}' scaled from {running} to {count} at {mean:.0f} % CPU"
        await self._stores.events.add(Event("process.scaled", text, app=app))
