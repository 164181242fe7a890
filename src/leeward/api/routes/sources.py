"""Uploads, and git over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from leeward.api.answers import UploadView
from leeward.api.callers import Asking, The, git_caller
from leeward.api.duplex import Duplex

router = APIRouter(tags=["sources"])

_ARCHIVE = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}}


@router.post("/v1/uploads", status_code=201, openapi_extra=_ARCHIVE)
async def upload(
    request: Request, services: The, caller: Asking, app: Annotated[str, Query(description="The app's name")]
) -> UploadView:
    """Take an archive (tar.gz) of sources, for a deploy of `app`."""
    made = await services.sources.upload(caller, app, request.stream())
    return UploadView(upload=made.id, digest=made.digest)


@router.api_route("/git/{app}.git/{path:path}", methods=["GET", "POST"], include_in_schema=False, response_model=None)
async def git(app: str, path: str, request: Request, services: The) -> Duplex:
    """Speak git's smart HTTP protocol; a push deploys."""
    caller = await git_caller(request, services)
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() != "authorization"}
    answer = await services.sources.git(
        caller, app, request.method, f"/{path}", request.url.query, headers, request.stream()
    )
    return Duplex(answer.status, answer.headers, answer.body)
