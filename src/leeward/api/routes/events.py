"""The audit log."""

from typing import Annotated

from fastapi import APIRouter, Query

from leeward.api.answers import EventView, Listing, listing
from leeward.api.callers import Asking, The
from leeward.api.routes.paging import After, Limit, number

router = APIRouter(prefix="/v1/events", tags=["events"])


@router.get("")
async def list(
    services: The,
    caller: Asking,
    app: Annotated[str, Query(max_length=64)] = "",
    before: Annotated[int, Query(ge=0, description="Only events below this id")] = 0,
    after: After = "",
    limit: Limit = 50,
) -> Listing[EventView]:
    """List what happened, newest first."""
    return listing(await services.events.list(app, before or number(after), limit), EventView.of)
