"""Runs of processes with a schedule."""

from typing import Annotated

from fastapi import APIRouter, Query

from leeward.api.answers import Listing
from leeward.api.callers import Asking, The
from leeward.api.routes.paging import After, Limit
from leeward.services.runs import RunView

router = APIRouter(prefix="/v1/apps/{app}", tags=["runs"])

Process = Annotated[str, Query(max_length=64, description="Only runs of this process")]


@router.get("/runs")
async def list(
    app: str, services: The, caller: Asking, process: Process = "", after: After = "", limit: Limit = 50
) -> Listing[RunView]:
    """List the runs of processes with a schedule, newest first."""
    page = await services.runs.list(app, process, after, limit)
    return Listing(items=page.items, next=page.next)


@router.get("/runs/{run}")
async def show(app: str, run: str, services: The, caller: Asking) -> RunView:
    """Show one run."""
    return await services.runs.show(app, run)


@router.post("/processes/{process}/runs", status_code=202)
async def run(app: str, process: str, services: The, caller: Asking) -> RunView:
    """Run a process with a schedule now."""
    return await services.runs.run(caller, app, process)


@router.post("/runs/{run}/cancel", status_code=202)
async def cancel(app: str, run: str, services: The, caller: Asking) -> RunView:
    """Have a run end before its time."""
    return await services.runs.cancel(caller, app, run)
