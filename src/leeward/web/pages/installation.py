"""The platform itself: its parts, what happened on it, and the tokens that open it."""

from collections.abc import Mapping
from datetime import datetime

from starlette.responses import Response

from leeward.errors import Invalid, LeewardError, Problem
from leeward.model.access import Scope, Token
from leeward.services.access import NewToken
from leeward.web.door import Visit, given, to
from leeward.web.streams import fragments, stream

PAGE = 50
DAY_S = 86400.0
LIFETIMES = {"": "Never", "7": "In 7 days", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
SCOPES = {
    Scope.READ: "See everything but secrets",
    Scope.DEPLOY: "Deploy and change apps",
    Scope.ADMIN: "Everything",
}


async def platform(visit: Visit) -> Response:
    """Parts, disk, memory, versions; kept up to date by `platform_live`."""
    status = await visit.services.platform.status()
    return visit.page("platform.html", title="Platform", section="platform", status=status)


async def platform_live(visit: Visit) -> Response:
    """The same again, every few seconds."""

    async def look() -> Mapping[str, str]:
        status = await visit.services.platform.status()
        return {"platform": visit.html("_platform.html", status=status)}

    return stream(fragments(visit.services.stores.notices, ("platform/",), look, every_s=5.0), visit.still)


async def events(visit: Visit) -> Response:
    """What happened, newest first; of one app when the address says so."""
    app = visit.asked("app")
    page = await visit.services.events.list(app, visit.whole("before", 0, 10**15), PAGE)
    names = [one.name for one in (await visit.services.apps.list(limit=200)).items]
    return visit.page(
        "events.html",
        title="Events",
        section="events",
        events=page.items,
        following=page.next,
        chosen=app,
        names=names,
    )


async def tokens(visit: Visit) -> Response:
    """The tokens, without their texts."""
    return await _tokens(visit)


async def _tokens(
    visit: Visit,
    made: NewToken | None = None,
    error: LeewardError | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    shown = given(error, typed or {}) if error else {"typed": typed or {}}
    cannot = visit.cannot(Scope.ADMIN)
    known = () if cannot else await visit.services.access.tokens(visit.caller)
    rows = [
        (token, state(token, visit.now)) for token in sorted(known, key=lambda token: token.created_at, reverse=True)
    ]
    return visit.page(
        "tokens.html",
        title="Tokens",
        section="tokens",
        tokens=sorted(rows, key=lambda row: row[1] != "active"),
        made=made,
        cannot=cannot,
        scopes=SCOPES,
        lifetimes=LIFETIMES,
        console=visit.services.settings.console_url,
        **shown,
    )


def state(token: Token, now: datetime) -> str:
    """Whether a token still opens anything."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "active"


async def add_token(visit: Visit) -> Response:
    """Make a token; its text is in this answer and never again."""
    typed = await visit.form()
    days = typed.get("days", "")
    try:
        if days not in LIFETIMES:
            raise Invalid([Problem("expires", f"must be one of the choices, not '{days[:40]}'")])
        lifetime = float(days) * DAY_S if days else None
        made = await visit.services.access.add_token(
            visit.caller, typed.get("name", ""), typed.get("scope", ""), lifetime
        )
    except LeewardError as error:
        return await _tokens(visit, error=error, typed=typed)
    return await _tokens(visit, made)


async def revoke_token(visit: Visit) -> Response:
    """End a token at once."""
    await visit.services.access.revoke_token(visit.caller, str(visit.request.path_params["id"]))
    return to("/tokens")
