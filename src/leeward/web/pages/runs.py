"""Processes with a schedule: run one now, or end a run."""

from starlette.responses import Response

from leeward.services.runs import RunView
from leeward.services.views import AppView
from leeward.web.door import Visit, to

_SHOWN = 6


async def newest(visit: Visit, app: AppView) -> tuple[RunView, ...]:
    """The last runs of an app; none are asked for where nothing has a schedule."""
    if not any(process.schedule for process in app.processes):
        return ()
    return (await visit.services.runs.list(app.name, limit=_SHOWN)).items


async def now(visit: Visit) -> Response:
    """Run a process now, and go back to where its run is shown."""
    typed = await visit.form()
    await visit.services.runs.run(visit.caller, visit.app, typed.get("process", ""))
    return to(f"/apps/{visit.app}#schedules-title")


async def cancel(visit: Visit) -> Response:
    """Have a run end before its time."""
    await visit.services.runs.cancel(visit.caller, visit.app, str(visit.request.path_params["run"]))
    return to(f"/apps/{visit.app}#schedules-title")
