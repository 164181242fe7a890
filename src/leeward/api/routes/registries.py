"""Logins at foreign registries."""

from fastapi import APIRouter

from leeward.api.answers import Listing
from leeward.api.bodies import NewRegistry
from leeward.api.callers import Asking, The
from leeward.model.secret import Secret
from leeward.services.registries import RegistryView

router = APIRouter(tags=["registries"])


@router.get("/v1/registries")
async def list(services: The, caller: Asking) -> Listing[RegistryView]:
    """List the registries that the platform signs in to."""
    return Listing(items=await services.registries.list(caller))


@router.post("/v1/registries", status_code=201)
async def add(body: NewRegistry, services: The, caller: Asking) -> RegistryView:
    """Add a login at a registry, or change it."""
    return await services.registries.add(caller, body.host, body.username, Secret(body.password))


@router.delete("/v1/registries/{host}", status_code=204)
async def remove(host: str, services: The, caller: Asking) -> None:
    """Forget a login at a registry."""
    await services.registries.remove(caller, host)
