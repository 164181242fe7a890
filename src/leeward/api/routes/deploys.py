"""Deploys and releases."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from leeward.api.answers import LineView, Listing, listing
from leeward.api.bodies import NewDeploy, RollbackBody
from leeward.api.callers import Asking, The
from leeward.api.routes.paging import After, Limit, LineLimit, number
from leeward.api.streams import event, stream
from leeward.model.runtime import LogLine
from leeward.services import Services
from leeward.services.views import DeployView, ReleaseView, deploy_view

router = APIRouter(prefix="/v1", tags=["deploys"])
_deploy_json = TypeAdapter(DeployView)

IdempotencyKey = Annotated[
    str, Header(alias="Idempotency-Key", description="The same key gives the same deploy for 24 hours", max_length=200)
]


@router.post("/apps/{app}/deploys", status_code=202)
async def deploy(
    app: str, body: NewDeploy, services: The, caller: Asking, idempotency_key: IdempotencyKey = ""
) -> DeployView:
    """Deploy new code; the app is made when there is none."""
    made = await services.deploys.deploy(caller, app, body.source(), body.spec, body.message, idempotency_key)
    return await services.deploys.view(made)


@router.get("/apps/{app}/deploys")
async def list(app: str, services: The, caller: Asking, after: After = "", limit: Limit = 50) -> Listing[DeployView]:
    """List an app's deploys, newest first."""
    page = await services.deploys.list(app, after, limit)
    return listing(page, lambda deploy: deploy_view(deploy, services.settings))


@router.get("/deploys")
async def list_all(services: The, caller: Asking, after: After = "", limit: Limit = 50) -> Listing[DeployView]:
    """List the deploys of all apps, newest first."""
    page = await services.deploys.list("", after, limit)
    return listing(page, lambda deploy: deploy_view(deploy, services.settings))


@router.get("/deploys/{id}")
async def show(id: str, services: The, caller: Asking) -> DeployView:
    """Show a deploy and its timeline."""
    return await services.deploys.view(await services.deploys.show(id))


@router.post("/deploys/{id}/cancel", status_code=202)
async def cancel(id: str, services: The, caller: Asking) -> DeployView:
    """Ask for the end of a deploy."""
    return await services.deploys.view(await services.deploys.cancel(caller, id))


@router.get("/deploys/{id}/events", response_class=StreamingResponse)
async def watch(id: str, services: The, caller: Asking) -> StreamingResponse:
    """Stream a deploy (`event: deploy`) and its build's log (`event: log`) until it has ended."""
    await services.deploys.show(id)
    return stream(_events(services, id))


async def _events(services: Services, id: str) -> AsyncIterator[bytes]:
    async for item in services.logs.deploy_events(id):
        if isinstance(item, LogLine):
            yield event("log", LineView.of(item).model_dump_json(include={"at", "text"}).encode())
        else:
            yield event("deploy", _deploy_json.dump_json(await services.deploys.view(item)))


@router.get("/deploys/{id}/log")
async def build_log(id: str, services: The, caller: Asking, limit: LineLimit = 1000) -> Listing[LineView]:
    """Show what a deploy's build printed, oldest first."""
    return Listing(items=[LineView.of(line) for line in await services.logs.build_log(id, limit)])


@router.get("/apps/{app}/releases")
async def releases(
    app: str, services: The, caller: Asking, after: After = "", limit: Limit = 50
) -> Listing[ReleaseView]:
    """List an app's releases, newest first."""
    page = await services.deploys.releases(app, number(after), limit)
    return Listing(items=page.items, next=page.next)


@router.post("/apps/{app}/rollback", status_code=202)
async def rollback(app: str, services: The, caller: Asking, body: RollbackBody | None = None) -> DeployView:
    """Make an earlier release live again."""
    release = body.release if body else None
    return await services.deploys.view(await services.deploys.rollback(caller, app, release))
