"""Who asks: from a bearer token, a session cookie, or git's basic authentication."""

import base64
import binascii
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from leeward.errors import Unauthorized
from leeward.model.access import Caller
from leeward.services import Services, access
from leeward.services.access import refuse_cross_site

# With this beginning a browser takes it from the console itself only: apps are its neighbours, and a cookie that one
# of them sets for the whole domain would else sign a visitor in as somebody else.
COOKIE = "__Host-leeward_session"
_bearer = HTTPBearer(auto_error=False, description="A token: `lee_…`")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="The dashboard's session")


def services_of(request: Request) -> Services:
    """The use cases that this app was made with."""
    services: Services = request.app.state.services
    return services


The = Annotated[Services, Depends(services_of)]


async def caller_of(
    request: Request,
    services: The,
    _token: Annotated[object, Depends(_bearer)],
    _session: Annotated[object, Depends(_cookie)],
) -> Caller:
    """Raises Unauthorized; Forbidden for a change that another site makes with our cookie."""
    given = request.headers.get("authorization")
    if given is not None:
        kind, _, text = given.partition(" ")
        return await services.access.authenticate(text.strip() if kind.lower() == "bearer" else "")
    session = request.cookies.get(COOKIE)
    caller = await services.access.authenticate(None, session)
    refuse_foreign(request)
    return caller


Asking = Annotated[Caller, Depends(caller_of)]


def refuse_foreign(request: Request) -> None:
    """Raises Forbidden for a change that another site's page asks for."""
    headers = request.headers
    refuse_cross_site(request.method, headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host"))


async def git_caller(request: Request, services: The) -> Caller:
    """Any user name, and a token as the password. Raises Unauthorized."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return await services.access.authenticate(text.strip())
    if kind.lower() != "basic":
        raise Unauthorized("git needs a token", hint="any user name, and a token as the password")
    try:
        password = base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthorized("the Authorization header is not readable") from error
    return await services.access.authenticate(password)


def address_of(request: Request) -> str:
    """Where a request comes from."""
    client = request.client.host if request.client else ""
    return access.address_of(client, request.headers.get("x-real-ip"), request.headers.get("x-forwarded-for"))
