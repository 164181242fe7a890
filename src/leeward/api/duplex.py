"""An answer that is sent while the request's body is still being read."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Duplex(Response):
    """Streams a body and never reads the request: the framework's own streaming response would, to hear of a
    disconnect, and so take away parts of the body that the backend waits for."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: AsyncIterator[bytes]) -> None:
        super().__init__(status_code=status)
        del self.headers["content-length"]
        for name, value in headers:
            self.headers.append(name, value)
        self._stream = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with suppress(ClientDisconnect):
            async for chunk in self._stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
