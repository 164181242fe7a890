"""What images stand on, and what is in them."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from leeward.api.answers import Listing
from leeward.api.bodies import BaseUndo, Rebase
from leeward.api.callers import Asking, The
from leeward.services.bases import BaseView, RebaseView, RebuildView
from leeward.services.packages import FoundPackage
from leeward.services.views import DeployView

router = APIRouter(prefix="/v1", tags=["bases"])

Name = Annotated[str, Query(max_length=200, description="Name of a package; `*` stands for any text.")]


@router.get("/bases")
async def list(services: The, caller: Asking) -> Listing[BaseView]:
    """List the base images that live releases stand on, and what is newer."""
    return Listing(items=await services.bases.list())


@router.post("/bases/check", status_code=202)
async def check(services: The, caller: Asking) -> Listing[BaseView]:
    """Look now for newer packages of the bases in use."""
    return Listing(items=await services.bases.check(caller))


@router.post("/bases/rebase", status_code=202)
async def rebase(services: The, caller: Asking, body: Rebase | None = None) -> Listing[RebaseView]:
    """Put live releases on the newest base, without a build; all apps at once need the scope 'admin'."""
    asked = body or Rebase()
    return Listing(items=await services.bases.rebase(caller, asked.app, dry_run=asked.dry_run))


@router.post("/bases/rebuild", status_code=202)
async def rebuild(services: The, caller: Asking, body: Rebase | None = None) -> Listing[RebuildView]:
    """Build the code of live releases again in the newest bases for builds; all apps need the scope 'admin'."""
    asked = body or Rebase()
    return Listing(items=await services.bases.rebuild(caller, asked.app, dry_run=asked.dry_run))


@router.post("/bases/undo", status_code=202)
async def undo(services: The, caller: Asking, body: BaseUndo | None = None) -> Listing[DeployView]:
    """Take rebases back; all apps at once need the scope 'admin'."""
    queued = await services.bases.undo(caller, body.app if body else "")
    return Listing(items=[await services.deploys.view(deploy) for deploy in queued])


@router.get("/packages")
async def find(services: The, caller: Asking, name: Name) -> Listing[FoundPackage]:
    """Find the live releases that have a package."""
    return Listing(items=await services.packages.find(name))


@router.get("/apps/{app}/sbom")
async def live_bill(app: str, services: The, caller: Asking) -> Mapping[str, Any]:
    """Show the packages of an app's live release, as CycloneDX."""
    return await services.packages.bill(app)


@router.get("/apps/{app}/releases/{number}/sbom")
async def bill(app: str, number: int, services: The, caller: Asking) -> Mapping[str, Any]:
    """Show the packages of a release, as CycloneDX."""
    return await services.packages.bill(app, number)
