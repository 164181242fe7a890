"""Domains."""

from typing import Annotated

from fastapi import APIRouter, Query

from leeward.api.answers import Listing
from leeward.api.bodies import NewDomain
from leeward.api.callers import Asking, The
from leeward.services.views import DomainView

router = APIRouter(prefix="/v1/apps/{app}/domains", tags=["domains"])


@router.get("")
async def list(app: str, services: The, caller: Asking) -> Listing[DomainView]:
    """List an app's host names."""
    return Listing(items=await services.domains.list(app))


@router.post("", status_code=201)
async def add(app: str, body: NewDomain, services: The, caller: Asking) -> DomainView:
    """Serve an app at a host name too."""
    return await services.domains.add(caller, app, body.host)


@router.delete("", status_code=204)
async def remove(app: str, host: Annotated[str, Query(max_length=300)], services: The, caller: Asking) -> None:
    """Stop serving an app at a host name (`?host=`)."""
    await services.domains.remove(caller, app, host)


@router.delete("/{host}", status_code=204)
async def remove_one(app: str, host: str, services: The, caller: Asking) -> None:
    """Stop serving an app at a host name."""
    await services.domains.remove(caller, app, host)
