"""Speak to the Docker Engine: one request, one answer, failures in our own words."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp

from leeward.errors import Conflict, LeewardError, NotFound, Unavailable

# Long enough for a loaded disk; a stop waits for the process's grace beside it.
_ANSWER_S = 60.0
_NO_CONNECTION = 900
REFUSED = "docker-refused"

Body = Mapping[str, Any]


class Dockerd:
    """One Docker Engine behind its socket. A dead engine costs the one request; the next one connects anew."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._client: aiodocker.Docker | None = None

    async def close(self) -> None:
        """Let go of every connection; the next request opens new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()
            await client.session.close()

    async def ask(
        self, method: str, path: str, body: Body | None = None, wait_s: float = _ANSWER_S, **params: str
    ) -> Any:
        """The decoded answer. Raises NotFound, Conflict or Unavailable."""
        async with self.open(method, path, body, wait_s, **params) as response:
            text = await response.read()
            return json.loads(text) if text.strip() else None

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: Body | None = None, wait_s: float | None = None, **params: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer as a stream; `wait_s` None is for ever."""
        try:
            async with self._docker()._query(
                path,
                method,
                params=dict(params),
                data=None if body is None else json.dumps(body),
                timeout=aiohttp.ClientTimeout(total=wait_s, sock_connect=10),
            ) as response:
                try:
                    yield response
                finally:
                    response.close()
        except aiodocker.DockerError as error:
            raise _named(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"docker did not answer ({type(error).__name__})", hint=f"see whether dockerd runs at '{self._socket}'"
            ) from error

    def _docker(self) -> aiodocker.Docker:
        if self._client is None:
            # No limit: each log follower holds a connection.
            connector = aiohttp.UnixConnector(path=str(self._socket), limit=0)
            session = aiohttp.ClientSession(connector=connector)
            self._client = aiodocker.Docker(url="unix://localhost", connector=connector, session=session)
        return self._client


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, bytes]]:
    """The parts of an answer that mixes both output streams, with the name of each."""
    try:
        while True:
            head = await response.content.readexactly(8)
            name = "stderr" if head[0] == 2 else "stdout"
            yield name, await response.content.readexactly(int.from_bytes(head[4:8], "big"))
    except aiohttp.ClientError as error:
        raise Unavailable(f"docker broke off an answer ({type(error).__name__})") from error
    except EOFError:
        return


def _named(error: aiodocker.DockerError) -> LeewardError:
    match error.status:
        case 404:
            return NotFound(error.message, hint="it may have been removed; look again")
        case 409:
            return Conflict(error.message)
        case status if status == _NO_CONNECTION:
            return Unavailable("docker did not answer", hint="see whether dockerd runs")
        case _:
            return Unavailable(f"docker refused: {error.message}", code=REFUSED)
