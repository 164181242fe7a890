"""Look after volumes: refuse wishes that cannot be, and tell when one is nearly full."""

from leeward.errors import PlanFailed
from leeward.model.app import AppSpec
from leeward.model.event import Event
from leeward.model.volume import Volume
from leeward.model.wish import App
from leeward.plan.volumes import VolumeLimits, left_over, level, warning
from leeward.ports import Engine, Keeps, Say, Stores
from leeward.ports.keeping import volume_problems


class Volumes:
    """What the loops do about volumes."""

    def __init__(self, stores: Stores, engine: Engine, limits: VolumeLimits) -> None:
        self._stores = stores
        self._engine = engine
        self._limits = limits
        self._told: dict[tuple[str, str, str, str], int] = {}
        """The level that was told of each volume; after a restart of the control plane it is told once more."""

    async def plan(self, app: App, spec: AppSpec, say: Say) -> None:
        """Say what becomes of volumes with this spec. Raises PlanFailed that names everything wrong at once."""
        live = await self._live(app)
        problems = await volume_problems(self._engine, app, spec, self._limits, live)
        if problems:
            hint = next((problem.hint for problem in problems if problem.hint), "")
            raise PlanFailed("; ".join(str(problem) for problem in problems), hint=hint, code="volumes")
        if live is None or not any(process.volumes for process in live.processes.values()):
            return
        there = await self._engine.volumes(app.name) if isinstance(self._engine, Keeps) else ()
        for volume in left_over(spec, [volume for volume in there if volume.project == app.project]):
            say(
                f"volume '{volume.title}' is no longer used, and kept: "
                f"`lee volumes delete {app.name} {volume.title}` removes it with its data"
            )

    async def _live(self, app: App) -> AppSpec | None:
        return (await self._stores.releases.get(app.name, app.live)).spec if app.live is not None else None

    async def tick(self) -> None:
        """One event each time a volume gets fuller than the next level."""
        if not isinstance(self._engine, Keeps):
            return
        told: dict[tuple[str, str, str, str], int] = {}
        for volume in await self._engine.volumes():
            key = (volume.region, volume.project, volume.app, volume.title)
            told[key] = level(volume)
            if told[key] > self._told.get(key, 0):
                await self._tell(volume, told[key])
        self._told = told

    async def _tell(self, volume: Volume, reached: int) -> None:
        data = {"volume": volume.title, "percent": str(reached), "region": volume.region}
        await self._stores.events.add(Event("volume.filling", warning(volume), app=volume.app, data=data))
