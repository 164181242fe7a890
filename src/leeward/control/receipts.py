"""Count real and synthetic requests at the edge while traffic moves."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from leeward.control.loop import pause
from leeward.errors import NotFound, Unavailable
from leeward.model.release import Receipt, Release
from leeward.model.route import Traffic
from leeward.plan.receipt import receipt, settled
from leeward.plan.release import WEB
from leeward.ports import DeployStore, Edge

log = logging.getLogger(__name__)

# Twenty probes a second: enough to notice a gap of 50 ms, too few to be felt at 0.1 CPU.
PROBE_S = 0.05
# After the switch the probes go on this long, so that a release that breaks at once is counted.
AFTER_S = 0.1


# The old instances end within the drain and these seconds, whatever they do.
GONE_S = 15.0


@dataclass(frozen=True, slots=True)
class Counted:
    """The receipt of a switch, the counters before it, and the instances that traffic left."""

    receipt: Receipt
    before: Traffic
    left: frozenset[str]


class Receipts:
    """Takes the receipt of a rollout: looks at the edge's counters before and after, with a probe in between.

    Streams may stay open on the old instances until their drain ends: `tick` puts their end into the receipt. A
    control plane that is stopped meanwhile leaves the receipt as it was told at the switch.
    """

    def __init__(
        self, edge: Edge, deploys: DeployStore, address: tuple[str, int], domain: str, after_s: float = AFTER_S
    ) -> None:
        self._edge = edge
        self._deploys = deploys
        self._followed: dict[str, tuple[str, Counted, float]] = {}
        self._address = address
        self._domain = domain
        self._after_s = after_s
        # The probe asks this machine's own edge on loopback: what it counts is the answer, not who answers.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    @contextlib.asynccontextmanager
    async def count(self, app: str, release: Release) -> AsyncIterator[Callable[[], Awaitable[Counted | None]]]:
        """Count from here until the yielded function is called; a probe runs while a web process is served."""
        before = await self._look(app)
        peers_before = await self._peers(app)
        web = release.spec.processes.get(WEB)
        stop = asyncio.Event()
        probe = asyncio.create_task(self._probe(app, web.health.path, stop)) if web else None

        async def done() -> Counted | None:
            if probe is not None:
                await pause(stop, self._after_s)
            stop.set()
            if probe is not None:
                await probe
            after = await self._look(app)
            if before is None or after is None:
                return None
            left = peers_before - await self._peers(app)
            return Counted(receipt(before, after, left), before, left)

        try:
            yield done
        finally:
            stop.set()
            if probe is not None:
                probe.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await probe

    def follow(self, deploy: str, app: str, counted: Counted, drain_s: float) -> None:
        """Look on until the streams on the old instances have ended."""
        if counted.receipt.sockets_kept:
            self._followed[deploy] = (app, counted, time.monotonic() + drain_s + GONE_S)

    async def tick(self) -> None:
        """Write the receipts of deploys whose old instances have gone."""
        if not self._followed:
            return
        traffic = await self._edge.traffic()
        for deploy, (app, counted, until) in list(self._followed.items()):
            later = traffic.get(app, Traffic(app))
            found = settled(counted.receipt, counted.before, later, counted.left, time.monotonic() > until)
            if found is None:
                continue
            del self._followed[deploy]
            if found != counted.receipt:
                with contextlib.suppress(NotFound):
                    await self._deploys.set_receipt(deploy, found)

    async def _look(self, app: str) -> Traffic | None:
        try:
            return (await self._edge.traffic()).get(app, Traffic(app))
        except Unavailable as error:
            log.warning("no receipt for '%s': %s", app, error)
            return None

    async def _peers(self, app: str) -> frozenset[str]:
        try:
            return await self._edge.peers(app)
        except Unavailable:
            return frozenset()

    async def _probe(self, app: str, path: str, stop: asyncio.Event) -> None:
        """Ask the edge as a stranger would, each time over a fresh connection; only where it serves the app."""
        while not stop.is_set():
            if await self._peers(app):
                await self._ask(f"{app}.{self._domain}", path)
            await pause(stop, PROBE_S)

    async def _ask(self, host: str, path: str) -> None:
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(*self._address, ssl=self._tls, server_hostname=host)
                try:
                    head = (
                        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: leeward-probe\r\nConnection: close\r\n\r\n"
                    )
                    writer.write(head.encode())
                    await writer.drain()
                    await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ssl.SSLError) as error:
            log.debug("probe of %s: %s", host, error)
