"""An app's deploys, and one of them with its timeline and build log."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from starlette.responses import Response

from leeward.errors import NotFound
from leeward.model.release import Deploy
from leeward.model.runtime import LogLine
from leeward.services.views import DeployView, deploy_view
from leeward.web import streams
from leeward.web.door import Visit, to
from leeward.web.pages.overview import heading
from leeward.web.streams import fragments, stream

PAGE = 25
RECEIPT_S = 900


async def index(visit: Visit) -> Response:
    """The deploys, newest first."""
    app = await visit.services.apps.show(visit.app)
    page = await visit.services.deploys.list(visit.app, visit.asked("before"), PAGE)
    deploys = [deploy_view(deploy, visit.services.settings) for deploy in page.items]
    return visit.page("deploys.html", **heading(visit, app, "deploys"), deploys=deploys, following=page.next)


async def show(visit: Visit) -> Response:
    """One deploy; kept up to date by `live` and `log`."""
    app = await visit.services.apps.show(visit.app)
    deploy = await visit.services.deploys.view(await _mine(visit))
    lines = await visit.services.logs.build_log(deploy.id, 2000) if deploy.status.final else ()
    context = {**heading(visit, app, "deploys"), "told": _told(deploy)}
    return visit.page(
        "deploy.html",
        **context,
        deploy=deploy,
        lines=lines,
        cannot=visit.cannot(),
        following=_moves(deploy, visit.now),
    )


def _told(deploy: DeployView) -> bool:
    """Whether the page says by itself why the app has failed."""
    return deploy.error is not None


def _moves(deploy: DeployView, now: datetime) -> bool:
    """Whether anything of it will change: its receipt comes when the old instances have drained."""
    if not deploy.status.final:
        return True
    ended = deploy.ended_at or now
    return deploy.status == "live" and deploy.receipt is None and (now - ended).total_seconds() < RECEIPT_S


async def live(visit: Visit) -> Response:
    """The deploy again, each time it changes; ends with it."""
    id = (await _mine(visit)).id

    async def look() -> Mapping[str, str]:
        app = await visit.services.apps.show(visit.app)
        deploy = await visit.services.deploys.view(await visit.services.deploys.show(id))
        context = {
            **heading(visit, app, "deploys"),
            "told": _told(deploy),
            "now": visit.services.clock.now(),
            "cannot": visit.cannot(),
        }
        return {
            "head": visit.html("_head.html", **context),
            "body": visit.html("_deploy.html", deploy=deploy, **context),
        }

    return stream(
        fragments(visit.services.stores.notices, (f"app/{visit.app}", f"deploy/{id}"), look, every_s=1.0), visit.still
    )


async def log(visit: Visit) -> Response:
    """The lines of the build as they come, then nothing more."""
    return stream(_lines(visit, (await _mine(visit)).id), visit.still)


async def _lines(visit: Visit, id: str) -> AsyncIterator[bytes]:
    events = visit.services.logs.deploy_events(id)
    try:
        async for item in events:
            if isinstance(item, LogLine):
                yield streams.event("log", streams.line_json(item))
        yield streams.event("end", "")
    finally:
        await asyncio.shield(events.aclose())  # type: ignore[attr-defined]


async def cancel(visit: Visit) -> Response:
    """Ask for its end."""
    deploy = await _mine(visit)
    await visit.services.deploys.cancel(visit.caller, deploy.id)
    return to(f"/apps/{visit.app}/deploys/{deploy.id}")


async def _mine(visit: Visit) -> Deploy:
    """The deploy in the address, which must be the app's."""
    id = str(visit.request.path_params["id"])
    deploy = await visit.services.deploys.show(id)
    if deploy.app != visit.app:
        raise NotFound(f"app '{visit.app}' has no deploy '{id}'", hint="see its list of deploys")
    return deploy
