"""Write and read the table that the edge is given: one line for each route and certificate. Pure."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from leeward.errors import Invalid
from leeward.model.route import Certificate, Route

FIREWALL = {"off": "", "detect": "d", "block": "b"}
CACHE = {"off": "", "assets": "a", "all": "c"}


@dataclass(frozen=True, slots=True)
class Table:
    """Routes by app and certificates by host."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    certificates: Mapping[str, Certificate] = field(default_factory=dict)


def of_route(route: Route) -> str:
    """The line of a route. Raises Invalid for values that would break the line."""
    flags = ("s" if route.https_only else "") + ("w" if route.wakes else "")
    flags += FIREWALL[route.firewall] + CACHE[route.cache]
    fields = (
        "route",
        route.app,
        str(route.generation),
        flags,
        str(route.rate),
        str(route.rate_window_s),
        _joined(route.peers),
        _joined(route.hosts).lower(),
    )
    return _line(fields)


def of_drop(app: str) -> str:
    """The line that forgets an app."""
    return _line(("drop", app))


def of_certificate(certificate: Certificate) -> str:
    """The line of a certificate."""
    return _line(
        (
            "cert",
            certificate.host.lower(),
            b64encode(certificate.chain_pem.encode()).decode(),
            b64encode(certificate.key_pem.encode()).decode(),
        )
    )


def of_table(table: Table) -> str:
    """All lines of a table."""
    lines = [of_route(route) for route in table.routes.values()]
    lines += [of_certificate(certificate) for certificate in table.certificates.values()]
    return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Table:
    """The table that lines make, read in order; a last line that was cut off is left out."""
    routes: dict[str, Route] = {}
    certificates: dict[str, Certificate] = {}
    for line in text.split("\n")[:-1]:
        match line.split("\t"):
            case ["route", app, *rest] if len(rest) == 6:
                routes[app] = _route(app, *rest)
            case ["drop", app]:
                routes.pop(app, None)
            case ["cert", host, chain, key]:
                certificates[host] = Certificate(host, b64decode(chain).decode(), b64decode(key).decode())
            case _:
                pass
    return Table(routes, certificates)


def _route(app: str, generation: str, flags: str, rate: str, window: str, peers: str, hosts: str) -> Route:
    return Route(
        app=app,
        hosts=_split(hosts),
        peers=_split(peers),
        generation=int(generation),
        firewall=_mode(FIREWALL, flags),
        cache=_mode(CACHE, flags),
        rate=int(rate),
        rate_window_s=int(window),
        https_only="s" in flags,
        wakes="w" in flags,
    )


def _mode(letters: Mapping[str, str], flags: str) -> str:
    return next((mode for mode, letter in letters.items() if letter and letter in flags), "off")


def _joined(parts: tuple[str, ...]) -> str:
    for part in parts:
        if "," in part:
            raise Invalid(f"'{part}' cannot be a host or peer", hint="remove the comma")
    return ",".join(parts)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _line(fields: tuple[str, ...]) -> str:
    for text in fields:
        if any(ord(character) < 33 or ord(character) > 126 for character in text):
            raise Invalid(f"'{text}' cannot be part of a route", hint="use printable ASCII without spaces")
    return "\t".join(fields)
