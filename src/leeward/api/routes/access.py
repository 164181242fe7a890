"""Sessions and tokens."""

from fastapi import APIRouter, Request, Response

from leeward.api.answers import Listing, NewTokenView, SessionView, TokenView, WhoAmI
from leeward.api.bodies import NewTokenBody, SignIn
from leeward.api.callers import COOKIE, Asking, The, address_of, refuse_foreign
from leeward.services.access import SESSION_S

DAY_S = 24 * 3600

router = APIRouter(prefix="/v1", tags=["access"])


@router.get("/whoami")
async def whoami(caller: Asking) -> WhoAmI:
    """Show who asks, and what they may do."""
    return WhoAmI(name=caller.name, scope=caller.scope, token=caller.token)


@router.post("/sessions", status_code=201)
async def sign_in(body: SignIn, services: The, request: Request, response: Response) -> SessionView:
    """Sign in with a name and password; the answer sets the session's cookie."""
    refuse_cross(request)
    session = await services.access.sign_in(body.name, body.password, address_of(request))
    response.set_cookie(COOKIE, session.text, max_age=SESSION_S, secure=True, httponly=True, samesite="lax", path="/")
    return SessionView(name=session.user, expires_at=session.expires_at)


def refuse_cross(request: Request) -> None:
    """Another site's page must not sign its visitors in here; a client without a browser says nothing of sites."""
    if "sec-fetch-site" in request.headers or "origin" in request.headers:
        refuse_foreign(request)


@router.delete("/sessions", status_code=204)
async def sign_out(services: The, request: Request, response: Response) -> None:
    """End this session."""
    session = request.cookies.get(COOKIE)
    if session:
        refuse_foreign(request)
    await services.access.sign_out(session)
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax", path="/")


@router.get("/tokens")
async def tokens(services: The, caller: Asking) -> Listing[TokenView]:
    """List the tokens, without their texts."""
    return Listing(items=[TokenView.of(token) for token in await services.access.tokens(caller)])


@router.post("/tokens", status_code=201)
async def add_token(body: NewTokenBody, services: The, caller: Asking) -> NewTokenView:
    """Make a token; its text is in this answer and never again."""
    expires_in_s = None if body.days is None else body.days * DAY_S
    made = await services.access.add_token(caller, body.name, body.scope, expires_in_s)
    return NewTokenView(**TokenView.of(made.token).model_dump(), token=made.text)


@router.delete("/tokens/{id}")
async def revoke_token(id: str, services: The, caller: Asking) -> TokenView:
    """End a token at once."""
    return TokenView.of(await services.access.revoke_token(caller, id))
