"""Sign in, sign out, and the choice of light or dark."""

from starlette.requests import Request
from starlette.responses import Response

from leeward.errors import Invalid, LeewardError, Problem, TooMany, Unauthorized
from leeward.services.access import SESSION_S
from leeward.web import rendering, words
from leeward.web.door import (
    COOKIE,
    THEME,
    THEMES,
    address_of,
    basics,
    local,
    refuse_foreign,
    services_of,
    to,
)

YEAR_S = 365 * 86400


async def show(request: Request) -> Response:
    """The form; whoever is signed in goes on."""
    services = services_of(request)
    onward = local(request.query_params.get("next", "/"))
    try:
        await services.access.authenticate(None, request.cookies.get(COOKIE))
    except Unauthorized:
        return _form(request, onward)
    return to(onward)


async def enter(request: Request) -> Response:
    """Check name and password; a wrong one keeps the name."""
    refuse_foreign(request)
    services = services_of(request)
    sent = await request.form(max_fields=10, max_files=0)
    name, password, onward = (str(sent.get(key, "")) for key in ("name", "password", "next"))
    onward = local(onward or "/")
    try:
        if not name or not password:
            raise Invalid([Problem("", "type a name and a password")])
        session = await services.access.sign_in(name, password, address_of(request))
    except LeewardError as error:
        answer = _form(request, onward, name[:200], words.trouble(error), error.status)
        if isinstance(error, TooMany):
            answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer
    answer = to(onward)
    answer.set_cookie(COOKIE, session.text, max_age=SESSION_S, secure=True, httponly=True, samesite="lax", path="/")
    return answer


def _form(
    request: Request, onward: str, name: str = "", trouble: words.Trouble | None = None, status: int = 200
) -> Response:
    services = services_of(request)
    context = {
        **basics(request, services.clock.now()),
        "title": "Sign in",
        "onward": onward,
        "name": name,
        "trouble": trouble,
    }
    return rendering.answer("login.html", context, status)


async def leave(request: Request) -> Response:
    """End this session."""
    refuse_foreign(request)
    await services_of(request).access.sign_out(request.cookies.get(COOKIE))
    answer = to("/login")
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    return answer


async def theme(request: Request) -> Response:
    """Remember light, dark, or as the system says; back to where the visitor was."""
    refuse_foreign(request)
    sent = await request.form(max_fields=10, max_files=0)
    chosen = str(sent.get("theme", "auto"))
    answer = to(local(str(sent.get("back", "/"))))
    if chosen in THEMES:
        answer.set_cookie(THEME, chosen, max_age=YEAR_S, secure=True, httponly=True, samesite="lax", path="/")
    return answer
