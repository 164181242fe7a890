"""An app's releases, and the way back to one of them."""

from starlette.responses import Response

from leeward.errors import NotFound
from leeward.web.door import Visit, to
from leeward.web.pages.overview import heading

PAGE = 25


async def index(visit: Visit) -> Response:
    """The releases, newest first."""
    app = await visit.services.apps.show(visit.app)
    page = await visit.services.deploys.releases(visit.app, visit.whole("before", 0, 10**9), PAGE)
    cannot = visit.cannot() or (
        "A deploy is running: wait for its end." if heading(visit, app, "releases")["running"] else ""
    )
    return visit.page(
        "releases.html", **heading(visit, app, "releases"), releases=page.items, following=page.next, cannot=cannot
    )


async def back(visit: Visit) -> Response:
    """Make an earlier release live again, and show the deploy that does it."""
    number = str(visit.request.path_params["number"])
    if not number.isdecimal() or len(number) > 9:
        raise NotFound(f"app '{visit.app}' has no release '{number}'")
    deploy = await visit.services.deploys.rollback(visit.caller, visit.app, int(number))
    return to(f"/apps/{visit.app}/deploys/{deploy.id}")
