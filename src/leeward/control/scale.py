"""Keep the number of instances where their use wants it."""

import time
from collections.abc import Callable

from leeward.control.apps import Apps
from leeward.control.samples import Samples
from leeward.model.event import Event
from leeward.model.region import LOCAL
from leeward.model.sizes import SIZES
from leeward.plan.scale import Choice, Room, Use, choose
from leeward.ports import Stores

Asked = tuple[tuple[float, int], ...]


class Autoscaler:
    """Looks at every process whose `min` is below its `max`; `room` is what this machine has, where that is known."""

    def __init__(
        self,
        stores: Stores,
        apps: Apps,
        samples: Samples,
        window_s: float = 300.0,
        room: Callable[[], Room | None] = lambda: None,
    ) -> None:
        self._stores = stores
        self._apps = apps
        self._samples = samples
        self._window_s = window_s
        self._room = room
        self._asked: dict[tuple[str, str], tuple[int, Asked]] = {}
        self._lacked: set[tuple[str, str]] = set()

    async def tick(self) -> None:
        """One decision for each process that may scale."""
        now, room = time.time(), self._room()
        used = dict(self._samples.use)
        self._asked = {key: asked for key, asked in self._asked.items() if key in used}
        for (app, process), by_instance in used.items():
            uses = tuple(by_instance.values())
            mean = Use(sum(use.cpu for use in uses) / len(uses), sum(use.memory for use in uses) / len(uses))
            await self._look(app, process, mean, now, room)

    async def _look(self, app: str, process: str, use: Use, now: float, room: Room | None) -> None:
        found = self._apps.settled(app)
        if found is None or found.deleted or found.live is None or self._apps.candidate(app) is not None:
            return
        release = await self._apps.release(app, found.live)
        spec = release.spec.processes.get(process)
        if spec is None or spec.timed or spec.instances.min == spec.instances.max:
            return
        running = self._apps.counts.get(app).get(process, max(spec.instances.min, 1))
        if running == 0 and spec.instances.may_sleep:
            # It is asleep: a request wakes it, not what its last instance still does.
            return
        running = max(running, spec.instances.min, 1)
        limits = SIZES[spec.size]
        generation, asked = self._asked.get((app, process), (found.generation, ()))
        # What an older release asked for says nothing of this one.
        asked = asked if generation == found.generation else ()
        here = room if release.spec.region == LOCAL else None
        size = (limits.memory_mib, limits.millicpu)
        choice = choose(spec.instances, running, use, now, self._window_s, asked, here, size)
        self._asked[app, process] = (found.generation, choice.asked)
        await self._say(app, process, running, choice)
        if choice.count != running:
            self._apps.count(app, process, choice.count)

    async def _say(self, app: str, process: str, running: int, choice: Choice) -> None:
        if choice.count != running:
            text = f"{process} of '{app}' scaled from {running} to {choice.count} {choice.why}"
            await self._stores.events.add(Event("process.scaled", text, app=app))
        if choice.lacks and (app, process) not in self._lacked:
            text = f"{process} of '{app}' needs more instances {choice.why}, and this machine has no room for them"
            await self._stores.events.add(Event("process.unscaled", text, app=app))
        (self._lacked.add if choice.lacks else self._lacked.discard)((app, process))
