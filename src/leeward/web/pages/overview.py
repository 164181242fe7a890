"""One app at a glance: its newest deploy, what the edge counted, what runs, and how much it uses."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from leeward.errors import LeewardError, NotFound
from leeward.model.access import Scope
from leeward.model.runtime import Usage
from leeward.services.views import AppView
from leeward.web import charts
from leeward.web.door import Visit, to
from leeward.web.pages import runs, volumes
from leeward.web.streams import fragments, stream


def heading(visit: Visit, app: AppView, tab: str) -> dict[str, Any]:
    """What the head of every page of an app is given."""
    running = app.deploy if app.deploy and not app.deploy.status.final else None
    return {
        "title": f"{app.name} · {TABS[tab]}",
        "section": "apps",
        "app": app,
        "tab": tab,
        "tabs": TABS,
        "told": False,
        "running": running,
        "cannot_deploy": visit.cannot() or _no_source(app),
    }


TABS: Mapping[str, str] = {
    "overview": "Overview",
    "deploys": "Deploys",
    "releases": "Releases",
    "logs": "Logs",
    "env": "Environment",
    "scale": "Scale",
    "domains": "Domains",
    "settings": "Settings",
}


def _no_source(app: AppView) -> str:
    if app.status == "deleting":
        return "The app is being deleted."
    return "" if app.source else "It has no source yet: use `lee deploy` or `git push` first."


async def show(visit: Visit) -> Response:
    """The app; kept up to date by `live`."""
    app = await visit.services.apps.show(visit.app)
    minutes = visit.whole("minutes", 60, 31 * 1440)
    drawn = {name: kind.title for name, kind in charts.KINDS.items()}
    return visit.page(
        "overview.html",
        **heading(visit, app, "overview"),
        usage=await _usage(visit),
        runs=await runs.newest(visit, app),
        volumes=await volumes.shown(visit, app.project),
        cannot=visit.cannot(),
        cannot_admin=visit.cannot(Scope.ADMIN),
        minutes=minutes,
        ranges=charts.RANGES,
        charts=drawn,
        short=charts.short,
    )


async def live(visit: Visit) -> Response:
    """Head and body of the page again, each time they change."""
    name = visit.app
    await visit.services.apps.show(name)

    async def look() -> Mapping[str, str]:
        app = await visit.services.apps.show(name)
        now = visit.services.clock.now()
        context = {**heading(visit, app, "overview"), "usage": await _usage(visit), "short": charts.short, "now": now}
        context |= {"runs": await runs.newest(visit, app), "cannot": visit.cannot()}
        return {"head": visit.html("_head.html", **context), "body": visit.html("_overview.html", **context)}

    return stream(fragments(visit.services.stores.notices, (f"app/{name}", "deploy/"), look, every_s=1.0), visit.still)


async def head(visit: Visit) -> Response:
    """Only the head, for the other pages of an app."""
    name = visit.app
    await visit.services.apps.show(name)

    async def look() -> Mapping[str, str]:
        app = await visit.services.apps.show(name)
        now = visit.services.clock.now()
        return {"head": visit.html("_head.html", **heading(visit, app, "overview"), **{"now": now})}

    return stream(fragments(visit.services.stores.notices, (f"app/{name}", "deploy/"), look), visit.still)


async def _usage(visit: Visit) -> Mapping[str, Usage]:
    """Memory by instance; a page without it is better than none."""
    try:
        return {usage.instance: usage for usage in await visit.services.metrics.usage(visit.app)}
    except NotFound:
        raise
    except LeewardError:
        return {}


async def chart(visit: Visit) -> Response:
    """The lines of one chart, for `<metric-chart>`."""
    name = str(visit.request.path_params["chart"])
    if name not in charts.KINDS:
        raise NotFound(f"there is no chart '{name}'", hint=f"there are {', '.join(charts.KINDS)}")
    app = await visit.services.apps.show(visit.app)
    series = await visit.services.metrics.series(visit.app, visit.whole("minutes", 60, 31 * 1440))
    return JSONResponse(charts.chart(name, series, app), headers={"Cache-Control": "no-store"})


async def deploy(visit: Visit) -> Response:
    """Fetch the app's source again and deploy it."""
    made = await visit.services.deploys.deploy(visit.caller, visit.app)
    return to(f"/apps/{made.app}/deploys/{made.id}")
