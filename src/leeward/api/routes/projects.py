"""Projects."""

from fastapi import APIRouter

from leeward.api.answers import Listing
from leeward.api.callers import Asking, The
from leeward.services.projects import ProjectView

router = APIRouter(tags=["projects"])


@router.get("/v1/projects")
async def list(services: The, caller: Asking) -> Listing[ProjectView]:
    """List the projects: what each asks for, and how much it may."""
    return Listing(items=await services.projects.list())
