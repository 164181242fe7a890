"""The seams: what we need from the world, and what we remember."""

from leeward.ports.stores import (
    AccessStore,
    AppStore,
    DeployStore,
    EventStore,
    LogStore,
    Notices,
    Page,
    ReleaseStore,
    SampleStore,
    Stores,
)
from leeward.ports.world import (
    Builder,
    BuildJob,
    Built,
    Clock,
    Edge,
    Engine,
    Fetched,
    Registry,
    Say,
    Source,
)

__all__ = [
    "AccessStore",
    "AppStore",
    "BuildJob",
    "Builder",
    "Built",
    "Clock",
    "DeployStore",
    "Edge",
    "Engine",
    "EventStore",
    "Fetched",
    "LogStore",
    "Notices",
    "Page",
    "Registry",
    "ReleaseStore",
    "SampleStore",
    "Say",
    "Source",
    "Stores",
]
