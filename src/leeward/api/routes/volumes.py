"""Volumes."""

from typing import Annotated

from fastapi import APIRouter, Query

from leeward.api.answers import Listing
from leeward.api.callers import Asking, The
from leeward.services.volumes import VolumeView

router = APIRouter(prefix="/v1", tags=["volumes"])

Region = Annotated[str, Query(max_length=64, description="Where it is, when it is in several regions")]
Project = Annotated[
    str, Query(max_length=64, description="Only of this project: another may have had an app of the name")
]


@router.get("/volumes")
async def list_all(services: The, caller: Asking, project: Project = "") -> Listing[VolumeView]:
    """List the volumes of all apps, also of those that are gone."""
    return Listing(items=await services.volumes.list(project=project), next="")


@router.get("/apps/{app}/volumes")
async def list(app: str, services: The, caller: Asking, project: Project = "") -> Listing[VolumeView]:
    """List the volumes of an app, also when it is gone."""
    return Listing(items=await services.volumes.list(app, project), next="")


@router.delete("/apps/{app}/volumes/{process}/{name}", status_code=204)
async def delete(
    app: str, process: str, name: str, services: The, caller: Asking, region: Region = "", project: Project = ""
) -> None:
    """Remove a volume that nothing uses, with all that is in it."""
    await services.volumes.delete(caller, app, process, name, region, project)
