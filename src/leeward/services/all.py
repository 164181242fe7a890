"""Every service, as the doors are given them."""

from dataclasses import dataclass, field

from argon2 import PasswordHasher

from leeward.ports import Clock, Edge, Engine, Gits, Places, Stores, Uploads
from leeward.services.access import Access
from leeward.services.apps import Apps
from leeward.services.bases import Bases
from leeward.services.context import Context, Poke
from leeward.services.deploys import Deploys
from leeward.services.domains import Domains
from leeward.services.environment import Environment
from leeward.services.events import Events
from leeward.services.hooks import Hooks
from leeward.services.logs import Logs
from leeward.services.metrics import Metrics
from leeward.services.packages import Packages
from leeward.services.platform import Platform
from leeward.services.projects import Projects
from leeward.services.regions import Regions
from leeward.services.registries import Registries
from leeward.services.runs import Runs
from leeward.services.seen import Seen
from leeward.services.sources import Sources
from leeward.services.volumes import Volumes
from leeward.settings import Settings


@dataclass(frozen=True)
class Services:
    """The use cases. `seen` is filled by the loops; `poke` wakes them."""

    stores: Stores
    engine: Engine
    places: Places
    edge: Edge
    settings: Settings
    clock: Clock
    poke: Poke
    uploads: Uploads
    gits: Gits
    seen: Seen = field(default_factory=Seen)
    hasher: PasswordHasher = field(default_factory=PasswordHasher)

    apps: Apps = field(init=False)
    deploys: Deploys = field(init=False)
    environment: Environment = field(init=False)
    domains: Domains = field(init=False)
    access: Access = field(init=False)
    hooks: Hooks = field(init=False)
    logs: Logs = field(init=False)
    metrics: Metrics = field(init=False)
    events: Events = field(init=False)
    platform: Platform = field(init=False)
    projects: Projects = field(init=False)
    regions: Regions = field(init=False)
    bases: Bases = field(init=False)
    packages: Packages = field(init=False)
    registries: Registries = field(init=False)
    sources: Sources = field(init=False)
    runs: Runs = field(init=False)
    volumes: Volumes = field(init=False)

    def __post_init__(self) -> None:
        context = Context(
            self.stores,
            self.engine,
            self.places,
            self.edge,
            self.settings,
            self.clock,
            self.poke,
            self.uploads,
            self.gits,
            self.seen,
        )
        deploys = Deploys(context)
        made = {
            "apps": Apps(context, deploys),
            "deploys": deploys,
            "environment": Environment(context, deploys),
            "domains": Domains(context),
            "access": Access(context, self.hasher),
            "hooks": Hooks(context, deploys),
            "logs": Logs(context, deploys),
            "metrics": Metrics(context),
            "events": Events(context),
            "platform": Platform(context),
            "projects": Projects(context),
            "regions": Regions(context),
            "bases": Bases(context, deploys),
            "packages": Packages(context),
            "registries": Registries(context),
            "sources": Sources(context, deploys),
            "runs": Runs(context),
            "volumes": Volumes(context),
        }
        for name, service in made.items():
            object.__setattr__(self, name, service)
