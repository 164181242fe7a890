"""Hooks, restart, the edge's cache, and the end of an app."""

from typing import Any

from starlette.responses import Response

from leeward.errors import Invalid, LeewardError, Problem
from leeward.model.access import Scope
from leeward.web.door import Visit, given, to
from leeward.web.pages.overview import heading

DONE = {"purged": "The edge's cache is empty: the next request for each page goes to the app."}


async def index(visit: Visit) -> Response:
    """All of it."""
    return await _page(visit, done=DONE.get(visit.asked("done"), ""))


async def _page(visit: Visit, error: LeewardError | None = None, **more: Any) -> Response:
    app = await visit.services.apps.show(visit.app)
    shown = given(error, {}) if error else {}
    context = {
        "hook": None,
        "cannot": visit.cannot(),
        "cannot_admin": visit.cannot(Scope.ADMIN),
        "cannot_restart": visit.cannot() or ("" if app.release else "Nothing is live yet: deploy the app first."),
        "settings": visit.services.settings,
    }
    return visit.page("settings.html", **{**heading(visit, app, "settings"), **context, **shown, **more})


async def hook(visit: Visit) -> Response:
    """New secrets, shown in this answer and never again."""
    return await _page(visit, hook=await visit.services.hooks.rotate(visit.caller, visit.app))


async def restart(visit: Visit) -> Response:
    """Replace every instance; the deploy that does it is shown."""
    try:
        deploy = await visit.services.apps.restart(visit.caller, visit.app)
    except LeewardError as error:
        return await _page(visit, error)
    return to(f"/apps/{visit.app}/deploys/{deploy.id}")


async def purge(visit: Visit) -> Response:
    """Empty the edge's cache."""
    await visit.services.apps.purge_cache(visit.caller, visit.app)
    return to(f"/apps/{visit.app}/settings?done=purged")


async def delete(visit: Visit) -> Response:
    """Delete the app when its name was typed."""
    typed = await visit.form()
    try:
        if typed.get("confirm", "").strip() != visit.app:
            raise Invalid([Problem("name", f"must be '{visit.app}', so that nothing is deleted by mistake")])
        await visit.services.apps.delete(visit.caller, visit.app)
    except LeewardError as error:
        return await _page(visit, error)
    return to("/")
