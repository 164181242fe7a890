"""Logs of apps."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from leeward.api.answers import LineView, Listing
from leeward.api.callers import Asking, The
from leeward.api.routes.paging import LineLimit
from leeward.api.streams import event, stream
from leeward.services import Services

router = APIRouter(prefix="/v1/apps/{app}/logs", tags=["logs"])

Process = Annotated[str, Query(max_length=64, description="Only lines of this process")]
Source = Annotated[str, Query(max_length=128, description="Only lines of this instance, or of `build/<deploy>`")]


@router.get("")
async def tail(
    app: str,
    services: The,
    caller: Asking,
    limit: LineLimit = 100,
    search: Annotated[str, Query(max_length=200)] = "",
    process: Process = "",
    source: Source = "",
    before: Annotated[float, Query(ge=0, description="Only lines older than this (Unix seconds)")] = 0.0,
) -> Listing[LineView]:
    """Show an app's last lines, oldest first."""
    lines = await services.logs.tail(app, limit, search, process, source, before)
    return Listing(items=[LineView.of(line) for line in lines])


@router.get("/stream", response_class=StreamingResponse)
async def follow(
    app: str,
    services: The,
    caller: Asking,
    process: Process = "",
    source: Source = "",
    recent: Annotated[int, Query(ge=0, le=5000, description="Lines that were printed before, to begin with")] = 0,
) -> StreamingResponse:
    """Stream an app's lines (`event: log`) as they come."""
    await services.logs.tail(app, 1)
    return stream(_events(services, app, process, source, recent))


async def _events(services: Services, app: str, process: str, source: str, recent: int) -> AsyncIterator[bytes]:
    async for line in services.logs.follow(app, process, source, recent):
        yield event("log", LineView.of(line).model_dump_json().encode())
