"""The dashboard as an ASGI app: which address is which page."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leeward.errors import LeewardError
from leeward.services import Services
from leeward.web import assets
from leeward.web.door import Page, failure, on_error, signed_in
from leeward.web.pages import (
    apps,
    deploys,
    domains,
    environment,
    installation,
    logs,
    overview,
    releases,
    runs,
    scale,
    settings,
    signin,
    volumes,
)
from leeward.web.words import Trouble

SEEN: dict[str, Page] = {
    "/": apps.index,
    "/live": apps.live,
    "/new": apps.new,
    "/platform": installation.platform,
    "/platform/live": installation.platform_live,
    "/events": installation.events,
    "/tokens": installation.tokens,
    "/apps/{app}": overview.show,
    "/apps/{app}/live": overview.live,
    "/apps/{app}/head": overview.head,
    "/apps/{app}/charts/{chart}": overview.chart,
    "/apps/{app}/deploys": deploys.index,
    "/apps/{app}/deploys/{id}": deploys.show,
    "/apps/{app}/deploys/{id}/live": deploys.live,
    "/apps/{app}/deploys/{id}/log": deploys.log,
    "/apps/{app}/releases": releases.index,
    "/apps/{app}/logs": logs.show,
    "/apps/{app}/logs/stream": logs.stream,
    "/apps/{app}/env": environment.index,
    "/apps/{app}/scale": scale.index,
    "/apps/{app}/scale/price": scale.quote,
    "/apps/{app}/domains": domains.index,
    "/apps/{app}/settings": settings.index,
}
CHANGED: dict[str, Page] = {
    "/new": apps.create,
    "/tokens": installation.add_token,
    "/tokens/{id}/revoke": installation.revoke_token,
    "/apps/{app}/deploy": overview.deploy,
    "/apps/{app}/deploys/{id}/cancel": deploys.cancel,
    "/apps/{app}/releases/{number}/rollback": releases.back,
    "/apps/{app}/env": environment.change,
    "/apps/{app}/scale": scale.change,
    "/apps/{app}/runs": runs.now,
    "/apps/{app}/runs/{run}/cancel": runs.cancel,
    "/apps/{app}/volumes/delete": volumes.delete,
    "/apps/{app}/domains": domains.change,
    "/apps/{app}/settings/hook": settings.hook,
    "/apps/{app}/settings/restart": settings.restart,
    "/apps/{app}/settings/purge": settings.purge,
    "/apps/{app}/settings/delete": settings.delete,
}


def create_site(services: Services) -> Starlette:
    """Every page over these services."""
    assets.assets()
    site = Starlette(
        routes=[
            Route("/login", signin.show),
            Route("/login", signin.enter, methods=["POST"]),
            Route("/logout", signin.leave, methods=["POST"]),
            Route("/theme", signin.theme, methods=["POST"]),
            Route("/static/{name:path}", assets.serve),
            *(Route(path, signed_in(page)) for path, page in SEEN.items()),
            *(Route(path, signed_in(page), methods=["POST"]) for path, page in CHANGED.items()),
        ],
        exception_handlers={LeewardError: on_error, HTTPException: _on_http, 500: _on_mistake},
    )
    site.state.services = services
    return site


async def _on_http(request: Request, error: Exception) -> Response:
    """No such page, no such method, and what the framework itself refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        text = Trouble(f"There is no page '{request.url.path[:200]}'.", "Go back to the list of apps.")
    elif error.status_code == 405:
        text = Trouble("This address only takes changes.", "Go back, and use the button again.")
    else:
        text = Trouble("The request could not be read.", "Go back, and try again.")
    return await failure(request, error.status_code, text)


async def _on_mistake(request: Request, error: Exception) -> Response:
    """Whatever nobody foresaw; the framework raises it again, so that the log says more."""
    hint = "Try again; the log of the control plane says more."
    return await failure(request, 500, Trouble("The platform made a mistake.", hint))
