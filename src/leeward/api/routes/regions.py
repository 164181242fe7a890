"""Regions."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from leeward.api.answers import Listing
from leeward.api.bodies import NewRegion
from leeward.api.callers import Asking, The
from leeward.model.region import Examined, Region
from leeward.model.secret import Secret
from leeward.services.regions import RegionView

router = APIRouter(tags=["regions"])


@router.get("/v1/regions")
async def list(services: The, caller: Asking) -> Listing[RegionView]:
    """List the regions, this machine first."""
    return Listing(items=await services.regions.list())


@router.post("/v1/regions", status_code=201)
async def add(body: NewRegion, services: The, caller: Asking) -> RegionView:
    """Add a cluster, or give a known one new credentials."""
    region = Region(
        name=body.name,
        engine=body.engine,
        credentials=Secret(body.credentials),
        context=body.context,
        registry=body.registry,
        profile=body.profile,
        pull_secret=Secret(body.pull_secret) if body.pull_secret.strip() else None,
        options=body.options,
    )
    return await services.regions.add(caller, region)


@router.delete("/v1/regions/{region}", status_code=204)
async def remove(region: str, services: The, caller: Asking) -> None:
    """Forget a region where nothing runs."""
    await services.regions.remove(caller, region)


@router.get("/v1/regions/{region}/doctor")
async def examine(region: str, services: The, caller: Asking) -> Listing[Examined]:
    """Say what is right and wrong with a region."""
    return Listing(items=await services.regions.examine(region))


@router.get("/v1/apps/{app}/render")
async def render(app: str, services: The, caller: Asking) -> Sequence[Mapping[str, Any]]:
    """Show the objects that an app is in its region; secrets are stars."""
    return await services.regions.render(app)
