"""One router for each resource."""

from leeward.api.routes import (
    access,
    apps,
    bases,
    deploys,
    domains,
    environment,
    events,
    hooks,
    logs,
    metrics,
    platform,
    projects,
    regions,
    registries,
    runs,
    sources,
)

ROUTERS = (
    platform.router,
    access.router,
    apps.router,
    deploys.router,
    environment.router,
    domains.router,
    runs.router,
    logs.router,
    metrics.router,
    events.router,
    sources.router,
    projects.router,
    regions.router,
    bases.router,
    registries.router,
    hooks.router,
)
