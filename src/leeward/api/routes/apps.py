"""Apps."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter

from leeward.api.answers import ExecView, Listing
from leeward.api.bodies import ExecBody, NewApp, ScaleBody
from leeward.api.callers import Asking, The
from leeward.api.routes.paging import After, Limit
from leeward.services.views import AppStatus, AppSummary, AppView, DeployView, InstanceView

router = APIRouter(prefix="/v1/apps", tags=["apps"])


@router.get("")
async def list(services: The, caller: Asking, after: After = "", limit: Limit = 50) -> Listing[AppSummary]:
    """List the apps by name."""
    page = await services.apps.list(after, limit)
    return Listing(items=page.items, next=page.next)


@router.post("", status_code=201)
async def create(body: NewApp, services: The, caller: Asking) -> AppView:
    """Make an app with nothing to run yet."""
    return await services.apps.create(caller, body.name, body.spec, body.project)


@router.get("/{app}")
async def show(app: str, services: The, caller: Asking) -> AppView:
    """Show all of one app."""
    return await services.apps.show(app)


@router.delete("/{app}", status_code=202)
async def delete(app: str, services: The, caller: Asking) -> AppView:
    """Take an app down, with all that is its own."""
    view = await services.apps.show(app)
    await services.apps.delete(caller, app)
    # Not asked again: the loops may have taken it down already.
    return replace(view, status=AppStatus.DELETING, reason="", hint="")


@router.put("/{app}/scale", status_code=202)
async def scale(app: str, body: ScaleBody, services: The, caller: Asking) -> DeployView:
    """Set how many instances of which size run."""
    return await services.deploys.view(await services.apps.scale(caller, app, body.processes, body.size))


@router.post("/{app}/restart", status_code=202)
async def restart(app: str, services: The, caller: Asking) -> DeployView:
    """Replace every instance, dropping nothing."""
    return await services.deploys.view(await services.apps.restart(caller, app))


@router.get("/{app}/instances")
async def instances(app: str, services: The, caller: Asking) -> Sequence[InstanceView]:
    """List what runs now."""
    return await services.apps.instances(app)


@router.post("/{app}/exec")
async def exec(app: str, body: ExecBody, services: The, caller: Asking) -> ExecView:
    """Run a command in a ready instance."""
    exit_code, output = await services.apps.exec(caller, app, body.command, body.process)
    return ExecView(exit_code=exit_code, output=output.decode(errors="replace"))


@router.post("/{app}/cache/purge", status_code=204)
async def purge_cache(app: str, services: The, caller: Asking) -> None:
    """Empty the edge's cache of an app."""
    await services.apps.purge_cache(caller, app)
