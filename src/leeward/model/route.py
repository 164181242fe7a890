"""What the edge is given, and what it counts."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Route:
    """All that the edge needs for one app. `peers` are `host:port`; none means 503 with a page, unless it `wakes`."""

    app: str
    hosts: tuple[str, ...]
    peers: tuple[str, ...]
    generation: int = 0
    """Part of the cache key: a new number empties the app's cache."""
    firewall: str = "off"
    cache: str = "off"
    rate: int = 0
    """Requests in `rate_window_s` seconds for one client address; 0 is no limit."""
    rate_window_s: int = 1
    https_only: bool = True
    wakes: bool = False
    """Without peers, requests are held until there is one, and the app is among those that `Edge.waiting` names."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain and key for one host name (exact or wildcard), as PEM."""

    host: str
    chain_pem: str
    key_pem: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of one app since the edge started; they only grow, save `streams` and `open`.

    `buckets` counts requests by time: bucket i holds those that took less than `BOUNDS_MS[i]` and not less than
    the bound before; the last one the rest. `streams` are open websockets and event streams by peer; `dropped`
    counts those that the platform broke. `open` are requests that are held or being answered now, streams among them.
    """

    app: str
    requests: int = 0
    failed: int = 0
    bytes_out: int = 0
    buckets: tuple[int, ...] = ()
    status: tuple[tuple[int, int], ...] = ()
    """Pairs of status class (2, 3, 4, 5) and count."""
    streams: tuple[tuple[str, int], ...] = field(default=())
    streams_seen: int = 0
    dropped: int = 0
    open: int = 0


# Upper bounds in milliseconds, about a fifth apart, so that a quantile is off by ten percent at most.
BOUNDS_MS: tuple[float, ...] = tuple(round(0.5 * 1.2**i, 3) for i in range(64))
