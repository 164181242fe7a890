"""Let apps sleep that nobody asks, and wake them when somebody does."""

import time
from collections.abc import Callable

from leeward.control.apps import Apps
from leeward.model.app import Instances
from leeward.model.event import Event
from leeward.model.route import Traffic
from leeward.plan.release import WEB
from leeward.plan.sleep import Activity, falls_asleep, noticed
from leeward.ports import Edge, Stores

_LONGEST_START_S = 300.0


class Sleeper:
    """Counts no requests of its own: the edge's counters say who was asked, and what waits at the edge who is wanted.

    `reaches` says whether requests for a region pass the platform's edge; where they do not, nothing sleeps.
    """

    def __init__(
        self, stores: Stores, apps: Apps, edge: Edge, reaches: Callable[[str], bool], poke: Callable[[], None]
    ) -> None:
        self._stores = stores
        self._apps = apps
        self._edge = edge
        self._reaches = reaches
        self._poke = poke
        self._activity: dict[str, Activity] = {}
        self._woken: dict[str, float] = {}
        """App to the time at which it was woken, until it serves."""

    async def tick(self) -> None:
        """Let those sleep that were not asked for long enough."""
        found = {
            name: bounds for name in list(self._apps.counts.sleepers) if (bounds := self._bounds(name)) is not None
        }
        self._activity = {name: activity for name, activity in self._activity.items() if name in found}
        if not found:
            return
        traffic, now = await self._edge.traffic(), time.time()
        for name, bounds in found.items():
            self._activity[name] = noticed(self._activity.get(name), traffic.get(name, Traffic(name)), now)
            # Since the first look it may have gone, or be deployed; and whoever is being woken was asked a moment ago.
            idle = falls_asleep(bounds, self._activity[name], now) and not self._is_woken(name, now)
            if idle and name in self._apps.counts.sleepers and self._bounds(name) is not None:
                del self._activity[name]
                self._apps.count(name, WEB, 0)
                self._poke()
                await self._tell("app.asleep", name, f"'{name}' fell asleep: {_quiet(bounds.sleep_after_s)}")

    async def wake(self) -> None:
        """Have those run that requests wait for. Takes seconds where none does."""
        if not self._woken and not any(self._apps.counts.asleep(name) for name in self._apps.counts.sleepers):
            return
        waiting, now = await self._edge.waiting(), time.time()
        for name in sorted(waiting):
            if self._apps.counts.asleep(name):
                self._apps.count(name, WEB, 1)
                self._woken[name] = now
                self._poke()
        for name, since in list(self._woken.items()):
            if name not in self._apps.counts.sleepers or self._apps.counts.asleep(name):
                del self._woken[name]
            elif (served := self._apps.counts.served_at.get(name, 0.0)) >= since:
                del self._woken[name]
                await self._tell("app.awake", name, f"'{name}' is awake after {served - since:.1f} s")

    def _is_woken(self, name: str, now: float) -> bool:
        """Whether its first instance still starts; one that never serves may sleep again."""
        return now - self._woken.get(name, now - _LONGEST_START_S) < _LONGEST_START_S

    def _bounds(self, name: str) -> Instances | None:
        """Of an app that is awake and may sleep now: it is not being deployed, and our edge sees its requests."""
        bounds, region = self._apps.counts.sleepers[name]
        busy = self._apps.counts.asleep(name) or self._apps.candidate(name) is not None or not self._reaches(region)
        return None if busy else bounds

    async def _tell(self, kind: str, name: str, text: str) -> None:
        await self._stores.events.add(Event(kind, text, app=name))


def _quiet(seconds: int) -> str:
    """`nobody asked for 15 min`."""
    return f"nobody asked for {seconds // 60} min" if seconds % 60 == 0 else f"nobody asked for {seconds} s"
