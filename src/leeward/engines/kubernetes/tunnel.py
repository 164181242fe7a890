"""Carry connections to a unix socket here into a pod, by a command there that reads and writes.

The API server is the only way in, so that no port of the pod is open to anybody.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from httpx2.websockets import AsyncWebSocketSession

from leeward.engines.kubernetes.cluster import Cluster
from leeward.errors import LeewardError

log = logging.getLogger(__name__)

# The API server takes messages of any size, a kubelet's buffers hold this much.
_PIECE = 32 * 1024
_STDOUT, _STDERR, _END = 1, 2, 3
_NO_MORE_INPUT = b"\xff\x00"


class Tunnel:
    """One command, begun anew for every connection."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str, container: str, command: list[str]) -> None:
        self._cluster = cluster
        self._place = (namespace, pod, container)
        self._command = command
        self._carrying: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[None]:
        """Listen at `path` as long as the context lasts; its end ends every connection."""
        server = await asyncio.start_unix_server(self._accept, path)
        path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            for task in self._carrying:
                task.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)
            path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._cluster.attached(*self._place, self._command, stdin=True) as socket:
                up = asyncio.create_task(_up(reader, socket))
                try:
                    await _down(socket, writer)
                finally:
                    up.cancel()
                    await asyncio.gather(up, return_exceptions=True)
        except (LeewardError, ConnectionError) as error:
            log.info("a connection into pod '%s' ended: %s", self._place[1], error)
        finally:
            writer.close()


async def _up(reader: asyncio.StreamReader, socket: AsyncWebSocketSession) -> None:
    while data := await reader.read(_PIECE):
        await socket.send_bytes(b"\x00" + data)
    await socket.send_bytes(_NO_MORE_INPUT)


async def _down(socket: AsyncWebSocketSession, writer: asyncio.StreamWriter) -> None:
    while True:
        message = await socket.receive_bytes()
        if message[0] == _STDOUT:
            writer.write(message[1:])
            await writer.drain()
        elif message[0] == _STDERR:
            log.info("the other end says: %s", message[1:][:200].decode("utf-8", "replace").strip())
        elif message[0] == _END:
            return
