"""What an engine is given, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from leeward.model.app import Health, Instances
from leeward.model.region import LOCAL
from leeward.model.secret import Env
from leeward.model.volume import Mount


@dataclass(frozen=True, slots=True)
class Workload:
    """One process of one release, as an engine gets it.

    `generation` is the release's number times 1000 plus the app's restarts: an instance of an older
    generation is replaced. `routed` are the instances that the edge sends traffic to now; None means that
    this process gets none from it (a worker), so that nothing waits for a route.
    """

    app: str
    process: str
    project: str
    release: int
    generation: int
    image: str
    command: str | None
    env: Env
    instances: int
    millicpu: int
    memory_mib: int
    port: int
    health: Health | None
    """None for a worker: it is ready when it has run for two seconds."""
    read_only: bool = True
    routed: frozenset[str] | None = None
    region: str = LOCAL
    labels: Mapping[str, str] = field(default_factory=dict)
    bounds: Instances | None = None
    """Between what an engine that scales by itself may choose; others run `instances`."""
    hosts: tuple[str, ...] = ()
    """The app's own domains, for engines that have a way in of their own."""
    volumes: tuple[Mount, ...] = ()
    """Disk space that outlives instances; all instances of the process see the same."""


class InstanceState(StrEnum):
    """What an instance does now."""

    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    CRASHED = "crashed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Instance:
    """One running (or just ended) copy of a process."""

    id: str
    app: str
    process: str
    release: int
    generation: int
    state: InstanceState
    host: str = ""
    """Address that the edge can reach."""
    port: int = 0
    started_at: float = 0.0
    """Unix seconds."""
    reason: str = ""
    """Why it is not ready, in one sentence: 'was killed for using more than 256 MiB' …"""
    hint: str = ""
    restarts: int = 0
    boosted: bool = False

    @property
    def peer(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Observed:
    """What runs of one app, whoever started it."""

    app: str
    instances: tuple[Instance, ...] = ()

    def of(self, process: str) -> tuple[Instance, ...]:
        """The instances of one process, oldest first."""
        return tuple(sorted((i for i in self.instances if i.process == process), key=lambda i: (i.started_at, i.id)))


@dataclass(frozen=True, slots=True)
class Usage:
    """What one instance used: `cpu_s` seconds of CPU since its start, bytes of memory now."""

    instance: str
    app: str
    process: str
    cpu_s: float
    memory_bytes: int
    limit_millicpu: int
    limit_memory_bytes: int
    throttled_s: float = 0.0
    settled: bool = True
    """Whether it serves at its own size: not what still starts, or is about to leave."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a process or build printed; `at` is Unix seconds."""

    at: float
    source: str
    """Instance or build id."""
    stream: str
    text: str
    process: str = ""
