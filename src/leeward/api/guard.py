"""What holds for every request and answer: bounded bodies, and headers that protect the browser."""

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leeward.api.problems import problem_response
from leeward.errors import TooLarge
from leeward.settings import MIB

BODY_MAX = 1 * MIB
# GitHub's largest webhooks are far below this.
HOOK_MAX = 8 * MIB
# Streamed to disk, and bounded where they are received.
STREAMED = ("/v1/uploads", "/git/")
OURS = ("/v1/", "/hooks/", "/git/", "/openapi.json", "/healthz")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API_HEADERS = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cache-Control": "no-store"}


class Guard:
    """Stands before every route, also those that others mount."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        limit = None if path.startswith(STREAMED) else HOOK_MAX if path.startswith("/hooks/") else BODY_MAX
        guarded = _guarded_send(send, path)
        if limit is not None and _declared(scope) > limit:
            await problem_response(_too_large(limit))(scope, receive, guarded)
            return
        await self._app(scope, receive if limit is None else _bounded(receive, limit), guarded)


def _declared(scope: MutableMapping[str, Any]) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _bounded(receive: Receive, limit: int) -> Receive:
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            # The framework lets this one through while it reads a body; any other becomes 'bad request'.
            raise HTTPException(413, _too_large(limit).message)
        return message

    return bounded


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit // MIB} MiB", hint="send archives to /v1/uploads")


def _guarded_send(send: Send, path: str) -> Send:
    wanted = {**HEADERS, **API_HEADERS} if path.startswith(OURS) else HEADERS

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in wanted.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded
