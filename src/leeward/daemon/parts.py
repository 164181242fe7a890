"""Choose what a control plane works with: a container engine on its machine, or the cluster that it runs in."""

from dataclasses import dataclass

from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.images_only import ImagesOnly
from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.daemon.builds import Kitchens, logins, regional
from leeward.daemon.regions import ENGINES
from leeward.engines.local.engine import LocalEngine
from leeward.errors import Invalid, Problem
from leeward.model.region import LOCAL, BuildsIn, EngineKind, Region
from leeward.ports import BaseImages, Builder, Clock, Engine, Registry, Stores
from leeward.registry.asked import Asked
from leeward.registry.contents import EngineContents
from leeward.registry.direct import DirectRegistry
from leeward.registry.oci import OciRegistry
from leeward.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs, builds and keeps images in the region `local`."""

    engine: Engine
    builder: Builder
    registry: Registry
    bases: BaseImages
    checks_bases: bool


def parts(settings: Settings, clock: Clock, stores: Stores) -> Parts:
    """The parts for where this control plane is. Raises Invalid for wrong options of its cluster."""
    login = logins(settings, stores.logins.find)
    buildkit = BuildkitBuilder(settings, login)
    if settings.pod:
        engine = ENGINES[EngineKind.KUBERNETES](settings, stores.logs, clock, own_region(settings))
        direct = DirectRegistry(settings, login=login)
        kitchens = Kitchens(settings, buildkit.bases, direct, login)
        own = own_region(settings)
        here = ImagesOnly() if own.builds is BuildsIn.LOCAL else kitchens.builder(own)
        builder = regional(settings, here, own, stores.regions, kitchens)
        asked = Asked(settings, login)
        return Parts(
            engine,
            ScanningBuilder(builder, asked, settings.home / "scans"),
            direct,
            buildkit.bases,
            checks_bases=False,
        )
    registry = OciRegistry(settings, login=login)
    kitchens = Kitchens(settings, buildkit.bases, registry, login)
    builder = regional(settings, buildkit, None, stores.regions, kitchens)
    pushed = Asked(settings, login)
    return Parts(
        LocalEngine(settings, stores.logs, clock),
        ScanningBuilder(builder, EngineContents(settings), settings.home / "scans", pushed),
        registry,
        buildkit.bases,
        settings.check_bases,
    )


def own_region(settings: Settings) -> Region:
    """The region `local` of a control plane in a cluster: without credentials, by the pod's own account."""
    options: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in settings.cluster_options.split(";"))):
        name, equals, value = part.partition("=")
        if not equals:
            problem = Problem("LEEWARD_CLUSTER_OPTIONS", f"must be like 'name=value; name=value', not '{part}'")
            raise Invalid([problem])
        options[name.strip()] = value.strip()
    return Region(LOCAL, EngineKind.KUBERNETES, options=options)
