"""People, sessions and tokens: who asks, and what they may do."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from leeward.errors import Forbidden, Invalid, NotFound, Problem, Unauthorized
from leeward.model.access import Caller, Scope, Token, User
from leeward.services.attempts import Attempts
from leeward.services.context import Context, require
from leeward.settings import Settings

ADMIN = "admin"
SESSION_S = 12 * 3600
TOKEN_PREFIX = "lee_"
# A password check takes 64 MiB for about 0.2 s of CPU; more at once would be a way to harm the machine.
CHECKS_AT_ONCE = 2
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class FirstRun:
    """Where the first admin's password and token are."""

    password_file: Path
    token_file: Path


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser: `text` goes into the cookie, only its digest is kept here."""

    text: str
    user: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and its text, which is shown this once."""

    token: Token
    text: str


class Access:
    """Sign-in with a password, sessions for browsers, tokens for everything else."""

    def __init__(self, context: Context, hasher: PasswordHasher) -> None:
        self._context = context
        self._store = context.stores.access
        self._hasher = hasher
        self._attempts = Attempts()
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        # Compared when there is no such user, so that the answer takes as long.
        self._nobody = ""

    # --- first run ----------------------------------------------------------------------------------------

    async def first_run(self, settings: Settings | None = None) -> FirstRun:
        """Have the first admin, the password in a file, and a token in a file (both 0600); may be called again."""
        settings = settings or self._context.settings
        files = FirstRun(settings.home / "admin.password", settings.token_file)
        if await self._store.find_user(ADMIN) is None:
            password = _read(files.password_file) or secrets.token_urlsafe(18)
            _write_private(files.password_file, password)
            hashed = await asyncio.to_thread(self._hasher.hash, password)
            await self._store.put_user(User(ADMIN, hashed, Scope.ADMIN, self._context.clock.now()))
        text = _read(files.token_file)
        if not await self._works(text):
            # Replicas in a cluster share a token that was made before there was a database to put it into.
            known = digest(text) in {token.digest for token in await self._store.tokens()}
            given = text if text.startswith(TOKEN_PREFIX) and not known else ""
            made = await self._make(ADMIN, "first admin on this machine", Scope.ADMIN, None, given)
            _write_private(files.token_file, made.text)
        return files

    async def _works(self, text: str) -> bool:
        return bool(text) and await self._store.find_token(digest(text), self._context.clock.now()) is not None

    # --- sessions -----------------------------------------------------------------------------------------

    async def sign_in(self, name: str, password: str, address: str = "") -> Session:
        """A session for a right name and password. Raises Unauthorized, TooMany after five wrong ones."""
        now = self._context.clock.now()
        keys = (f"name/{name[:200]}", f"address/{address}")
        self._attempts.enter(keys, now)
        user = await self._store.find_user(name) if len(name) <= 200 else None
        if not await self._matches(user, password) or user is None:
            await self._context.note(
                Caller(name[:60] or "nobody", Scope.READ),
                "session.refused",
                "a sign-in was refused",
                data={"address": address},
            )
            raise Unauthorized("the name or the password is wrong", hint="try again", code="wrong-password")
        self._attempts.succeeded(keys)
        text = secrets.token_urlsafe(32)
        session = Session(text, user.name, now + timedelta(seconds=SESSION_S))
        await self._store.add_session(digest(text), user.name, session.expires_at)
        await self._context.note(
            Caller(user.name, user.scope), "session.started", f"'{user.name}' signed in", data={"address": address}
        )
        return session

    async def _matches(self, user: User | None, password: str) -> bool:
        """Whether the password is the user's; as slow when there is no user. Off the event loop."""
        if len(password) > 1024:
            return False
        async with self._checks:
            if user is None and not self._nobody:
                self._nobody = await asyncio.to_thread(self._hasher.hash, secrets.token_urlsafe(18))
            return await asyncio.to_thread(self._verify, user.password_hash if user else self._nobody, password)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def sign_out(self, session: str | None) -> None:
        """End a session; may be asked again."""
        if session:
            await self._store.end_session(digest(session))

    async def authenticate(self, token: str | None, session: str | None = None) -> Caller:
        """Who a token (first) or a session belongs to. Raises Unauthorized."""
        now = self._context.clock.now()
        if token is not None:
            found = await self._store.find_token(digest(token), now) if token.startswith(TOKEN_PREFIX) else None
            if found is None:
                raise Unauthorized(
                    "the token is wrong, expired or revoked", hint="sign in again with `lee login`", code="wrong-token"
                )
            return Caller(found.user, found.scope, found.name)
        user = await self._store.find_session(digest(session), now) if session else None
        if user is None:
            raise Unauthorized(
                "nobody is signed in",
                hint="send `Authorization: Bearer lee_…`, or sign in with `lee login`",
                code="signed-out" if session else "unauthorized",
            )
        return Caller(user.name, user.scope)

    # --- tokens -------------------------------------------------------------------------------------------

    async def tokens(self, caller: Caller) -> Sequence[Token]:
        """All tokens, without their texts; also those that ended."""
        require(caller, Scope.ADMIN)
        return await self._store.tokens()

    async def add_token(
        self, caller: Caller, name: str, scope: Scope | str = Scope.DEPLOY, expires_in_s: float | None = None
    ) -> NewToken:
        """Make a token; its text is never shown again. Raises Invalid."""
        require(caller, Scope.ADMIN)
        problems = []
        if not 1 <= len(name.strip()) <= 100:
            problems.append(Problem("name", f"must be 1 to 100 characters, not '{name[:120]}'"))
        if scope not in list(Scope):
            problems.append(Problem("scope", f"must be one of {', '.join(Scope)}, not '{scope}'"))
        if expires_in_s is not None and not 0 < expires_in_s <= 10 * 366 * 86400:
            problems.append(Problem("expires_in_s", f"must be above 0 and at most ten years, not '{expires_in_s:g}'"))
        if problems:
            raise Invalid(problems)
        made = await self._make(caller.name, name.strip(), Scope(scope), expires_in_s)
        await self._context.note(
            caller, "token.created", f"token '{name.strip()}' ({scope}) created", data={"id": made.token.id}
        )
        return made

    async def _make(self, user: str, name: str, scope: Scope, expires_in_s: float | None, given: str = "") -> NewToken:
        now = self._context.clock.now()
        text = given or TOKEN_PREFIX + secrets.token_urlsafe(32)
        expires = now + timedelta(seconds=expires_in_s) if expires_in_s is not None else None
        token = Token(secrets.token_hex(6), name, text[:12], digest(text), scope, user, now, expires)
        await self._store.add_token(token)
        return NewToken(token, text)

    async def revoke_token(self, caller: Caller, id: str) -> Token:
        """End a token at once; may be asked again. Raises NotFound."""
        require(caller, Scope.ADMIN)
        token = next((token for token in await self._store.tokens() if token.id == id), None)
        if token is None:
            raise NotFound(f"there is no token '{id}'", hint="see them with `lee tokens list`")
        if token.revoked_at is None:
            now = self._context.clock.now()
            await self._store.revoke_token(id, now)
            await self._context.note(caller, "token.revoked", f"token '{token.name}' revoked", data={"id": id})
            token = replace(token, revoked_at=now)
        return token


def digest(text: str) -> str:
    """What is kept of a secret text that has 256 random bits: no salt is needed."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def address_of(client: str, real_ip: str | None, forwarded_for: str | None) -> str:
    """Where a request comes from: the edge says so on our own socket, and nobody else may."""
    if client in ("", "127.0.0.1", "::1"):
        return real_ip or (forwarded_for or "").rpartition(",")[2].strip() or client
    return client


def refuse_cross_site(method: str, fetch_site: str | None, origin: str | None, host: str | None) -> None:
    """Raises Forbidden for a change that another site's page makes with our cookie.

    Browsers say where a request comes from in `Sec-Fetch-Site`; those too old for it send `Origin`.
    """
    if method in SAFE_METHODS or fetch_site in ("same-origin", "none"):
        return
    if fetch_site is None and origin and host and urlsplit(origin).netloc == host:
        return
    raise Forbidden(
        "a change with a session cookie must come from the dashboard itself",
        hint="use a token: `Authorization: Bearer lee_…`",
        code="cross-site",
    )


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""


def _write_private(file: Path, text: str) -> None:
    """Replace the file at once; nobody but the owner can read it, not even in between."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
