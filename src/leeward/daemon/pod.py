"""Let the cluster see how a replica is: ready while it leads or waits for its turn, and which of these it does."""

import asyncio
import logging
import os
import signal
import sys
import time
from typing import NoReturn

from leeward.control.loop import pause
from leeward.engines.kubernetes.own_pod import OwnPod
from leeward.errors import LeewardError
from leeward.settings import Settings

log = logging.getLogger(__name__)
PORT = 8085
"""Where a replica answers the kubelet's question whether it is ready."""
_AGAIN_S = 1.0
_LOOK_S = 10.0
_ANSWER = "HTTP/1.1 {code}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"


class Replica:
    """One control plane of several in a cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pod = OwnPod(settings.pod)
        self.led = False
        self._says = "starts"
        self._ready = False
        self._wake = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Answer on the port from now on, and end when told to: the first process of a container must ask for it."""
        if (me := asyncio.current_task()) is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
        self._server = await asyncio.start_server(self._answer, "0.0.0.0", PORT)
        await self._tell("waits for the database")

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        await self._pod.close()

    def waits(self) -> None:
        """The database answered, and another replica leads."""
        self._ready = True
        self._telling = asyncio.create_task(self._tell("waits: another replica leads"))

    async def lacks(self, error: LeewardError) -> None:
        """Say once what is waited for, and return when it is time to look again."""
        if self._telling is not None:
            await self._telling
        self._ready = False
        says = f"waits: {error.message}"
        if says != self._says:
            log.warning("%s", says)
            await self._tell(says)
        await pause(self._wake, _AGAIN_S)

    async def lead(self) -> None:
        """Have the Service point here once the API answers, and look again and again whether it does."""
        # From now on the server of the API is told, and ends in order.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        self.led = True
        while not self._settings.api_socket.exists():
            await pause(self._wake, 0.05)
        self._says, self._ready = "leads", True
        if self._telling is not None:
            # What it says must not arrive after what is said next.
            await self._telling
        while True:
            try:
                await self._pod.leads()
                seconds = _LOOK_S
            except LeewardError as error:
                log.warning("the Service does not know yet that this replica leads: %s", error)
                seconds = 1.0
            await pause(self._wake, seconds)

    async def _tell(self, says: str) -> None:
        """Also a cluster that does not answer keeps nobody from leading."""
        self._says = says
        try:
            await self._pod.waits(says)
        except LeewardError as error:
            log.warning("%s", error)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.readline(), 5)
            text = f"{self._says}\n".encode()
            code = "200 OK" if self._ready else "503 Service Unavailable"
            writer.write(_ANSWER.format(code=code, length=len(text)).encode() + text)
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass
        finally:
            writer.close()


async def say(settings: Settings, text: str) -> None:
    """Write on the pod why it does not lead."""
    pod = OwnPod(settings.pod)
    try:
        await pod.waits(text)
    except LeewardError as error:
        log.warning("%s", error)
    finally:
        await pod.close()


def again(settings: Settings, error: LeewardError) -> NoReturn:
    """Start anew in the same container: a database that is away for an hour is no reason to start ever more rarely."""
    asyncio.run(say(settings, f"waits: {error.message}"))
    time.sleep(_AGAIN_S)
    os.execv(sys.executable, (sys.executable, "-m", "leeward", "daemon"))
