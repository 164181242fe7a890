"""The host names of an app."""

from collections.abc import Mapping

from starlette.responses import Response

from leeward.errors import LeewardError
from leeward.web.door import Visit, given, to
from leeward.web.pages.overview import heading

ORIGINS = {
    "platform": "Comes with the app and stays.",
    "manifest": "Comes from leeward.yaml: remove it there.",
    "added": "",
}


async def index(visit: Visit) -> Response:
    """All host names, and the form for one more."""
    return await _page(visit)


async def _page(visit: Visit, error: LeewardError | None = None, typed: Mapping[str, str] | None = None) -> Response:
    app = await visit.services.apps.show(visit.app)
    shown = given(error, typed or {}) if error else {"typed": typed or {}}
    return visit.page(
        "domains.html",
        **heading(visit, app, "domains"),
        domains=await visit.services.domains.list(visit.app),
        origins=ORIGINS,
        cannot=visit.cannot(),
        **shown,
    )


async def change(visit: Visit) -> Response:
    """Add or remove one."""
    typed = await visit.form()
    host = typed.get("host", "").strip()
    try:
        if typed.get("action") == "remove":
            await visit.services.domains.remove(visit.caller, visit.app, host)
        else:
            await visit.services.domains.add(visit.caller, visit.app, host)
    except LeewardError as error:
        return await _page(visit, error, typed)
    return to(f"/apps/{visit.app}/domains")
