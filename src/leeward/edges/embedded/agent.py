"""Tell nginx which routes and certificates there are, and ask it what it counted."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from leeward.edges.embedded import lines, paths
from leeward.edges.embedded.counters import parse_traffic
from leeward.edges.embedded.keystore import Keystore, write_private
from leeward.errors import Unavailable
from leeward.model.route import Certificate, Route, Traffic
from leeward.ports import Clock
from leeward.settings import Settings

TIMEOUT_S = 5.0
# So long an answer about what waits may take, where nothing does; well below the time-out.
WAITING_S = 2.0
# Changes are appended to the saved table; it is written afresh when they are more than this and than the table.
APPENDED_BYTES = 1024 * 1024


class EmbeddedEdge:
    """The edge on this machine. What it is told is saved first, so that nginx finds it at its own next start."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = Keystore(settings)
        self._table: lines.Table | None = None
        self._written = self._appended = 0
        self._lock = asyncio.Lock()
        # A connection for each call: nginx may have been started again since the last one.
        transport = httpx.AsyncHTTPTransport(
            uds=str(paths.admin_socket(settings)), limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._nginx = httpx.AsyncClient(transport=transport, base_url="http://edge", timeout=TIMEOUT_S)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._nginx.aclose()

    async def put(self, route: Route) -> None:
        """Serve this route from now on."""
        line = lines.of_route(route)
        async with self._lock:
            table = self._load()
            if table.routes.get(route.app) != route:
                self._save(replace(table, routes={**table.routes, route.app: route}), line)
            await self._send("/lines", line + "\n")

    async def drop(self, app: str) -> None:
        """Forget an app."""
        line = lines.of_drop(app)
        async with self._lock:
            table = self._load()
            if app in table.routes:
                rest = {name: route for name, route in table.routes.items() if name != app}
                self._save(replace(table, routes=rest), line)
            await self._send("/lines", line + "\n")

    async def sync(self, routes: Sequence[Route], certificates: Sequence[Certificate]) -> None:
        """Make the whole table equal to this; certificates of ours for hosts that have none are added."""
        given = {certificate.host.lower(): certificate for certificate in certificates}
        hosts = [host for route in routes for host in route.hosts if host.lower() not in given]
        async with self._lock:
            own = await asyncio.to_thread(self._own_certificates, hosts)
            table = lines.Table({route.app: route for route in routes}, {**own, **given})
            if table != self._load():
                self._write_snapshot(table)
            await self._send("/table", lines.of_table(table))

    async def certify(self, hosts: Sequence[str]) -> None:
        """Have a certificate for each host and serve it."""
        async with self._lock:
            table = self._load()
            own = await asyncio.to_thread(self._own_certificates, hosts)
            fresh = [certificate for host, certificate in own.items() if table.certificates.get(host) != certificate]
            text = "".join(f"{lines.of_certificate(certificate)}\n" for certificate in fresh)
            if fresh:
                self._save(replace(table, certificates={**table.certificates, **own}), text.rstrip("\n"))
                await self._send("/lines", text)

    async def peers(self, app: str) -> frozenset[str]:
        """The `host:port` that requests for `app` go to now, as nginx itself says."""
        text = await self._ask("/peers", {"app": app})
        return frozenset(text.split(",")) if text else frozenset()

    async def traffic(self) -> Mapping[str, Traffic]:
        """The counters of every app."""
        counted = parse_traffic(await self._ask("/traffic", {}))
        return {**{app: Traffic(app) for app in self._load().routes}, **counted}

    async def waiting(self) -> frozenset[str]:
        """The apps that requests are held for."""
        text = await self._ask("/waiting", {"s": f"{WAITING_S:g}"})
        return frozenset(text.split(",")) if text else frozenset()

    # --- certificates and files -------------------------------------------------------------------------------

    def _own_certificates(self, hosts: Sequence[str]) -> dict[str, Certificate]:
        now = self._clock.now()
        own = [self._keys.wildcard(now), *self._keys.certificates(hosts, now)]
        return {certificate.host: certificate for certificate in own}

    def _load(self) -> lines.Table:
        """The table as it was saved; read once, for nobody else writes it."""
        if self._table is None:
            file = paths.snapshot_file(self._settings)
            text = file.read_text() if file.is_file() else ""
            self._table = lines.parse(text)
            if text and not text.endswith("\n"):
                # The machine went down in the middle of a line.
                self._write_snapshot(self._table)
        return self._table

    def _save(self, table: lines.Table, change: str) -> None:
        self._table = table
        if self._appended > max(APPENDED_BYTES, self._written):
            self._write_snapshot(table)
        else:
            _append(paths.snapshot_file(self._settings), change + "\n")
            self._appended += len(change)

    def _write_snapshot(self, table: lines.Table) -> None:
        text = lines.of_table(table)
        write_private(paths.snapshot_file(self._settings), text)
        self._table, self._written, self._appended = table, len(text), 0

    # --- nginx ------------------------------------------------------------------------------------------------

    async def _send(self, path: str, text: str) -> None:
        await self._request("POST", path, content=text.encode())

    async def _ask(self, path: str, query: Mapping[str, str]) -> str:
        return await self._request("GET", path, params=dict(query))

    async def _request(
        self, method: str, path: str, content: bytes | None = None, params: dict[str, str] | None = None
    ) -> str:
        try:
            answer = await self._nginx.request(method, path, content=content, params=params)
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable("the edge did not answer", hint="see: lee status") from error
        if answer.status_code == 404 and method == "GET":
            return ""
        if answer.status_code != 200:
            raise Unavailable(f"the edge refused a change: '{answer.text[:200]}'", hint="see: lee status")
        return answer.text


def _append(file: Path, text: str) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as stream:
        stream.write(text)
