"""Who looks at a page: known by the session's cookie, and for changes only from our own pages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from leeward.errors import LeewardError
from leeward.model.access import Caller, Scope
from leeward.services import Services, access
from leeward.services.access import refuse_cross_site
from leeward.web import rendering, words

# With this beginning a browser takes it from the console itself only: apps are its neighbours, and a cookie that one
# of them sets for the whole domain would else sign a visitor in as somebody else.
COOKIE = "__Host-leeward_session"
THEME = "leeward_theme"
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    services: Services
    caller: Caller
    now: datetime

    @property
    def app(self) -> str:
        """The app in the address."""
        return str(self.request.path_params["app"])

    async def still(self) -> None:
        """Raises Unauthorized when the visitor has signed out meanwhile."""
        await self.services.access.authenticate(None, self.request.cookies.get(COOKIE))

    def asked(self, name: str, default: str = "") -> str:
        """A value from the address's query."""
        return self.request.query_params.get(name, default)[:500]

    def whole(self, name: str, default: int, most: int) -> int:
        """A number from the address's query; what is none is the default."""
        text = self.asked(name)
        return min(int(text), most) if text.isdecimal() and len(text) < 19 and int(text) > 0 else default

    async def form(self) -> Mapping[str, str]:
        """The fields that were sent, as text."""
        sent = await self.request.form(max_fields=200, max_files=0)
        return {name: value for name, value in sent.items() if isinstance(value, str)}

    def cannot(self, scope: Scope = Scope.DEPLOY) -> str:
        """Why the visitor may not do what needs `scope`; '' when they may."""
        if self.caller.scope.covers(scope):
            return ""
        return f"Your account may {self.caller.scope}; this needs someone who may {scope}."

    def context(self, **more: Any) -> dict[str, Any]:
        """What every template of a signed-in page is given."""
        return {**basics(self.request, self.now), "visit": self, "caller": self.caller, **more}

    def page(self, template: str, **more: Any) -> Response:
        """A page; `http_status` is 200 unless it is given."""
        return rendering.answer(template, self.context(**more), more.get("http_status", 200))

    def html(self, template: str, **more: Any) -> str:
        """A fragment's text."""
        return rendering.html(template, self.context(**more))


Page = Callable[[Visit], Awaitable[Response]]


def basics(request: Request, now: datetime) -> dict[str, Any]:
    """What every template is given."""
    theme = request.cookies.get(THEME, "auto")
    return {
        "now": now,
        "theme": theme if theme in THEMES else "auto",
        "path": request.url.path,
        "here": f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path,
        "title": "Leeward",
        "trouble": None,
        "done": "",
        "caller": None,
        "tab": "",
        "section": "",
    }


def services_of(request: Request) -> Services:
    """The use cases that the dashboard was made with."""
    services: Services = request.app.state.services
    return services


def signed_in(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a page for those who are signed in."""

    async def endpoint(request: Request) -> Response:
        services = services_of(request)
        caller = await services.access.authenticate(None, request.cookies.get(COOKIE))
        refuse_foreign(request)
        return await page(Visit(request, services, caller, services.clock.now()))

    return endpoint


def refuse_foreign(request: Request) -> None:
    """Raises Forbidden for a change that another site's page asks for."""
    headers = request.headers
    refuse_cross_site(request.method, headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host"))


def address_of(request: Request) -> str:
    """Where a request comes from."""
    client = request.client.host if request.client else ""
    return access.address_of(client, request.headers.get("x-real-ip"), request.headers.get("x-forwarded-for"))


def to(path: str) -> Response:
    """See another page now."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def local(path: str) -> str:
    """A path of ours, else the first page: an address that we were given must not lead elsewhere."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else "/"


async def on_error(request: Request, error: Exception) -> Response:
    """A named failure as a page; whoever is not signed in is asked to."""
    assert isinstance(error, LeewardError)
    live = "text/event-stream" in request.headers.get("accept", "")
    if error.status == 401 and not live:
        back = request.url.path if request.method == "GET" else "/"
        query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
        return to("/login" if back == "/" else f"/login?next={quote(back + query)}")
    return await failure(request, error.status, words.trouble(error))


async def failure(request: Request, status: int, trouble: words.Trouble) -> Response:
    """The page that says what went wrong."""
    services = services_of(request)
    try:
        caller = await services.access.authenticate(None, request.cookies.get(COOKIE))
    except LeewardError:
        caller = None
    context = {**basics(request, services.clock.now()), "caller": caller, "trouble": trouble, "status": status}
    return rendering.answer("error.html", context, status)


def given(error: LeewardError, form: Mapping[str, str]) -> dict[str, Any]:
    """What a form's page needs to be shown again: what was wrong, and what was typed."""
    return {"trouble": words.trouble(error), "typed": form, "http_status": error.status}
