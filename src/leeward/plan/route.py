"""Decide where requests for an app go. Pure."""

from leeward.model.release import Release
from leeward.model.route import Route
from leeward.model.runtime import Instance, InstanceState, Observed
from leeward.model.wish import App
from leeward.plan.release import WEB

_LEAVING = (InstanceState.DRAINING, InstanceState.STOPPING)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def serving(seen: Observed, generation: int) -> tuple[Instance, ...]:
    """The instances that should get requests: ready ones of the live generation.

    With none of those, whatever still answers is better than nothing: ready ones of other generations, then
    draining ones, then those whose health checks fail but which run.
    """
    web = [instance for instance in seen.of(WEB) if instance.host]
    choices = (
        [i for i in web if i.generation == generation and i.state is InstanceState.READY],
        [i for i in web if i.state is InstanceState.READY],
        [i for i in web if i.state is InstanceState.DRAINING],
        [i for i in web if i.generation == generation and i.state is InstanceState.UNHEALTHY],
    )
    return tuple(next((choice for choice in choices if choice), ()))


def fails(seen: Observed, generation: int) -> bool:
    """Whether the instances of the live generation end as soon as they run, and none is on its way."""
    states = {i.state for i in seen.of(WEB) if i.generation == generation and i.state not in _LEAVING}
    return states == {InstanceState.CRASHED}


def hosts(app: App, release: Release | None, domain: str) -> tuple[str, ...]:
    """Every host name of an app: its own below `domain` first, then the custom ones."""
    custom = (*(release.spec.domains if release else ()), *app.domains)
    return tuple(dict.fromkeys((f"{app.name}.{domain}", *custom)))


def route(app: App, release: Release | None, seen: Observed, domain: str, asleep: bool = False) -> Route:
    """The whole route of an app; without a release, and while it is asleep, it has no peers.

    Nobody is kept waiting for an app that is awake and fails.
    """
    edge = release.spec.edge if release else app.spec.edge
    rate, window = limit(edge.rate_limit)
    # With no instance wished for, none is served: the last ones could never drain else.
    web = release.spec.processes.get(WEB) if release is not None else None
    wished = web is not None and web.instances.max > 0 and not asleep
    peers = tuple(instance.peer for instance in serving(seen, app.generation)) if wished else ()
    return Route(
        app=app.name,
        hosts=hosts(app, release, domain),
        peers=peers,
        generation=app.cache_generation,
        firewall=edge.firewall,
        cache=edge.cache,
        rate=rate,
        rate_window_s=window,
        https_only=edge.https_only,
        wakes=web is not None and web.instances.may_sleep and (asleep or not fails(seen, app.generation)),
    )


def limit(text: str | None) -> tuple[int, int]:
    """`100/s` as (requests, seconds); (0, 1) for no limit."""
    if not text:
        return 0, 1
    count, unit = text.split("/")
    return int(count), _SECONDS[unit]
