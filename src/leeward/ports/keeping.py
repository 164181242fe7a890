"""Ask whether the volumes that an app wishes for can be had, of what is there and of the region."""

from leeward.errors import Problem
from leeward.model.app import AppSpec
from leeward.model.release import Release
from leeward.model.wish import App
from leeward.plan.volumes import VolumeLimits, refused
from leeward.plan.workload import workload
from leeward.ports.abilities import Keeps
from leeward.ports.world import Engine


async def volume_problems(
    engine: Engine, app: App, spec: AppSpec, limits: VolumeLimits, live: AppSpec | None = None
) -> tuple[Problem, ...]:
    """Everything that is wrong with the volumes of `spec`, at once; asks nobody where it has none."""
    if not any(process.volumes for process in spec.processes.values()):
        return ()
    there = await engine.volumes(app.name) if isinstance(engine, Keeps) else ()
    mine = [volume for volume in there if volume.project == app.project]
    return (*refused(spec, limits, mine, live), *await region_problems(engine, app, spec))


async def region_problems(engine: Engine, app: App, spec: AppSpec) -> tuple[Problem, ...]:
    """What of the volumes of `spec` its region cannot do."""
    release = Release(app.name, 0, "", spec, (), {})
    wants = [
        workload(app, release, 0, name, process)
        for name, process in sorted(spec.processes.items())
        if process.volumes and not process.timed
    ]
    return tuple(await engine.unfit(wants)) if wants and isinstance(engine, Keeps) else ()
