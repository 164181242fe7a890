"""An edge in memory: it answers by itself, counts, and can be made to fail."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from leeward.errors import Unavailable
from leeward.model.route import BOUNDS_MS, Certificate, Route, Traffic


@dataclass(slots=True)
class FakeEdge:
    """The port `Edge` without a world. `down` makes every call fail."""

    down: bool = False
    routes: dict[str, Route] = field(default_factory=dict)
    """By app."""
    certificates: dict[str, Certificate] = field(default_factory=dict)
    """By host; those of `certify` are empty."""
    puts: list[Route] = field(default_factory=list)
    """Every route that was put, in order."""
    _traffic: dict[str, Traffic] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)
    _turn: int = 0

    # --- what tests say -----------------------------------------------------------------------------------

    def visit(self, host: str, *, ms: float = 1.0, status: int = 200, bytes_out: int = 100) -> tuple[int, str]:
        """One request: its status and the peer that it went to. `status` is what the app would answer."""
        route = self._route_of(host)
        if route is None:
            return 404, ""
        peer = ""
        if route.peers:
            self._turn += 1
            peer = route.peers[self._turn % len(route.peers)]
        else:
            status = 503
            if route.wakes:
                self._held.add(route.app)
        self._count(route.app, ms, status, bytes_out)
        return status, peer

    def begin(self, app: str) -> None:
        """A request that takes long begins; it is counted by `visit` when it is over."""
        self._change_open(app, 1)

    def end(self, app: str) -> None:
        """A request that took long is over."""
        self._change_open(app, -1)

    def open_stream(self, app: str, peer: str) -> None:
        """A websocket or event stream begins."""
        self._change_streams(app, peer, 1)

    def end_stream(self, app: str, peer: str, *, dropped: bool = False) -> None:
        """A stream ends; `dropped` when its peer broke it."""
        self._change_streams(app, peer, -1)
        if dropped:
            before = self._traffic[app]
            self._traffic[app] = replace(before, dropped=before.dropped + 1)

    # --- the port -----------------------------------------------------------------------------------------

    async def put(self, route: Route) -> None:
        """Serve this route from now on."""
        self._answer()
        self.routes[route.app] = route
        if route.peers:
            self._held.discard(route.app)
        self.puts.append(route)

    async def drop(self, app: str) -> None:
        """Forget an app."""
        self._answer()
        self.routes.pop(app, None)

    async def sync(self, routes: Sequence[Route], certificates: Sequence[Certificate]) -> None:
        """Make the whole table equal to this."""
        self._answer()
        self.routes = {route.app: route for route in routes}
        self.certificates = {certificate.host: certificate for certificate in certificates}

    async def certify(self, hosts: Sequence[str]) -> None:
        """Have a certificate for each host."""
        self._answer()
        for host in hosts:
            self.certificates.setdefault(host, Certificate(host, "", ""))

    async def peers(self, app: str) -> frozenset[str]:
        """The `host:port` that requests for `app` go to now."""
        self._answer()
        return frozenset(self.routes[app].peers) if app in self.routes else frozenset()

    async def waiting(self) -> frozenset[str]:
        """The apps that were asked in vain since they have no peers."""
        await asyncio.sleep(0)
        self._answer()
        return frozenset(app for app in self._held if app in self.routes and not self.routes[app].peers)

    async def traffic(self) -> Mapping[str, Traffic]:
        """The counters of every app."""
        self._answer()
        return {**{app: Traffic(app) for app in self.routes}, **self._traffic}

    # --- inside -------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the edge did not answer", hint="see: lee status")

    def _route_of(self, host: str) -> Route | None:
        wildcard = "*." + host.partition(".")[2]
        for wanted in (host, wildcard):
            for route in self.routes.values():
                if wanted in route.hosts:
                    return route
        return None

    def _count(self, app: str, ms: float, status: int, bytes_out: int) -> None:
        before = self._traffic.get(app, Traffic(app))
        buckets = list(before.buckets or (0,) * len(BOUNDS_MS))
        buckets[min(bisect_right(BOUNDS_MS, ms), len(BOUNDS_MS) - 1)] += 1
        by_class = dict(before.status)
        by_class[status // 100] = by_class.get(status // 100, 0) + 1
        self._traffic[app] = replace(
            before,
            requests=before.requests + 1,
            failed=before.failed + (status >= 500),
            bytes_out=before.bytes_out + bytes_out,
            buckets=tuple(buckets),
            status=tuple(sorted(by_class.items())),
        )

    def _change_streams(self, app: str, peer: str, by: int) -> None:
        before = self._traffic.get(app, Traffic(app))
        streams = dict(before.streams)
        streams[peer] = streams.get(peer, 0) + by
        self._traffic[app] = replace(
            before,
            streams=tuple(sorted((peer, count) for peer, count in streams.items() if count > 0)),
            streams_seen=before.streams_seen + max(0, by),
        )
        self._change_open(app, by)

    def _change_open(self, app: str, by: int) -> None:
        before = self._traffic.get(app, Traffic(app))
        self._traffic[app] = replace(before, open=before.open + by)
