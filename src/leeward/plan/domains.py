"""Decide who a host name belongs to. Pure."""

from collections.abc import Iterable, Sequence

from leeward.errors import Conflict
from leeward.model.wish import App


def refused(app: str, hosts: Sequence[str], domain: str, others: Iterable[App]) -> Conflict | None:
    """Why one of the hosts is not for `app`: it is the platform's own, or another app's; None when all are free."""
    if (problem := _platforms_own(app, hosts, domain)) is not None:
        return problem
    named = (taken(app, hosts, other.name, (*other.spec.domains, *other.domains)) for other in others)
    return next((problem for problem in named if problem is not None), None)


def _platforms_own(app: str, hosts: Sequence[str], domain: str) -> Conflict | None:
    """Why one of the hosts is not for `app`: it lies below the platform's own domain."""
    for host in hosts:
        if host != f"{app}.{domain}" and (host == domain or host.endswith(f".{domain}")):
            return Conflict(
                f"domain '{host}' belongs to the platform", hint=f"'{app}' has '{app}.{domain}' already", code="taken"
            )
    return None


def taken(app: str, hosts: Sequence[str], other: str, theirs: Sequence[str]) -> Conflict | None:
    """Why one of the hosts is not for `app`: another app has it, by its manifest or by `lee domains`."""
    both = set(hosts) & set(theirs)
    if other == app or not both:
        return None
    return Conflict(
        f"domain '{min(both)}' belongs to app '{other}'",
        hint=f"remove it there first: `lee domains remove {other} {min(both)}`",
        code="taken",
    )
