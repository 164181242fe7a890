"""Decide who a host name belongs to. Pure."""

from collections.abc import Iterable, Sequence

from leeward.errors import Conflict
from leeward.model.wish import App


def refused(app: str, hosts: Sequence[str], domain: str, others: Iterable[App]) -> Conflict | None:
    """Why one of the hosts is not for `app`: it is the platform's own, or another app's; None when all are free."""
    return _platforms_own(app, hosts, domain) or _taken(app, hosts, others)


def _platforms_own(app: str, hosts: Sequence[str], domain: str) -> Conflict | None:
    """Why one of the hosts is not for `app`: it lies below the platform's own domain."""
    for host in hosts:
        if host != f"{app}.{domain}" and (host == domain or host.endswith(f".{domain}")):
            return Conflict(
                f"domain '{host}' belongs to the platform", hint=f"'{app}' has '{app}.{domain}' already", code="taken"
            )
    return None


def _taken(app: str, hosts: Sequence[str], others: Iterable[App]) -> Conflict | None:
    """Why one of the hosts is not for `app`: another app has it, by its manifest or by `lee domains`."""
    for other in others:
        both = set(hosts) & {*other.spec.domains, *other.domains}
        if other.name != app and both:
            return Conflict(
                f"domain '{min(both)}' belongs to app '{other.name}'",
                hint=f"remove it there first: `lee domains remove {other.name} {min(both)}`",
                code="taken",
            )
    return None
