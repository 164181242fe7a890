"""The API as an ASGI app."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leeward.api.guard import Guard
from leeward.api.problems import on_http_exception, on_invalid_request, on_leeward_error, response
from leeward.api.routes import ROUTERS
from leeward.api.schema import FAILED, openapi, operation_id
from leeward.errors import LeewardError
from leeward.services import Services

log = logging.getLogger(__name__)

DESCRIPTION = "Push code, get a URL. Every failure is `application/problem+json`; see `Problem`."


def create_api(services: Services) -> FastAPI:
    """The whole API over these services. Others may mount routes on it afterwards."""
    app = FastAPI(
        title="Leeward",
        description=DESCRIPTION,
        version="1",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        responses=FAILED,
        exception_handlers={
            LeewardError: on_leeward_error,
            RequestValidationError: on_invalid_request,
            HTTPException: on_http_exception,
        },
    )
    app.state.services = services
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/v1/{rest:path}", _no_such_path, methods=_METHODS, include_in_schema=False)
    app.add_middleware(LastResort)
    app.add_middleware(Guard)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def _no_such_path(request: Request) -> None:
    """What `/v1` does not know is not for others to answer: 405 where the path is right, else 404."""
    allowed: set[str] = set()
    for method in _METHODS[:-1]:
        asked = {**request.scope, "method": method}
        for route in request.app.router.routes:
            if getattr(route, "endpoint", None) is _no_such_path:
                break
            if route.matches(asked)[0] is Match.FULL:
                allowed.add(method)
    if allowed:
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
    raise HTTPException(404)


class LastResort:
    """Whatever nobody foresaw becomes a 500 that tells the caller nothing, and the log everything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            log.exception("%s %s broke", scope["method"], scope["path"])
            hint = "try again; the log of the control plane says more"
            await response(500, "internal", "the platform made a mistake", hint)(scope, receive, send)
