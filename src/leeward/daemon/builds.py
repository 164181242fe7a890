"""Choose where the apps of a region are built; what a cluster needs is loaded with the first build there."""

import logging
from collections.abc import Callable, Mapping

from leeward.builders.bases import Bases
from leeward.builders.distant import DistantBuilder
from leeward.builders.regional import RegionalBuilder
from leeward.engines.local.container import home_id
from leeward.errors import Invalid, LeewardError, NotFound, Problem
from leeward.model.login import FindLogin, Login, host_of
from leeward.model.region import LOCAL, BuildsIn, EngineKind, Profile, Region
from leeward.model.secret import Secret
from leeward.ports import Builder, RegionStore, Shelf
from leeward.settings import Settings

log = logging.getLogger(__name__)

_CPUS = 2.0
_GOOGLE = "-docker.pkg.dev"


class Kitchens:
    """What makes the builder of a region."""

    def __init__(self, settings: Settings, bases: Bases, shelf: Shelf, login: FindLogin) -> None:
        self._settings = settings
        self._bases = bases
        self._shelf = shelf
        self._login = login

    def builder(self, region: Region) -> Builder:
        """The builder for a region whose apps are not built here. Raises Invalid."""
        return BUILDERS[region.builds](self, region)

    def cluster(self, region: Region) -> Builder:
        """On pods of the region's own cluster."""
        from leeward.engines.kubernetes.builds import ClusterBuilds
        from leeward.engines.kubernetes.cluster import Cluster
        from leeward.engines.kubernetes.kits import Kit
        from leeward.engines.kubernetes.options import rules_of

        settings, target = self._settings, region.registry or self._settings.registry
        rules = rules_of(region, home_id(str(settings.home)), settings.domain, settings.registry)
        kit = Kit(
            image=rules.builds_image or settings.buildkit_image,
            pods=rules.builds_pods or settings.builds,
            millicpu=int((settings.build_cpus or _CPUS) * 1000),
            memory_mib=settings.build_memory_mib,
            disk_mib=settings.build_disk_mib,
            cache_mib=settings.build_cache_mib,
            volume_gib=rules.builds_volume_gib,
            registry=target,
            plain=tuple(filter(None, settings.plain_registries.replace(" ", "").split(","))),
        )
        credentials = region.credentials.reveal() if region.credentials else ""
        pool = ClusterBuilds(Cluster(region.name, credentials, region.context), rules, kit, settings.run_dir)
        signed_in = region.pull_secret.reveal() if region.pull_secret else ""
        return DistantBuilder(settings, pool, self._bases, self._shelf, target, self._login, signed_in)

    def google(self, region: Region) -> Builder:
        """With Google Cloud Build."""
        from leeward.builders.google import GoogleBuilder
        from leeward.builders.google_plan import Place

        place = Place(
            region.option("google_project"),
            region.option("google_location") or "global",
            region.option("google_bucket"),
        )
        return GoogleBuilder(self._settings, place, self._bases, self._shelf)


def check(region: Region) -> None:
    """Raises Invalid where a region's apps can never be built as it says."""
    try:
        builds = region.builds
    except ValueError as error:
        there = ", ".join(f"'{one.value}'" for one in BuildsIn)
        problem = Problem("options/builds", f"must be one of {there}, not '{region.option('builds')}'")
        raise Invalid([problem]) from error
    if builds is BuildsIn.GOOGLE:
        wanted = ("google_project", "google_bucket")
        lacks = [
            Problem(f"options/{name}", "is needed for builds=google") for name in wanted if not region.option(name)
        ]
        if lacks:
            raise Invalid(lacks)
    if builds is not BuildsIn.CLUSTER:
        return
    if region.engine is not EngineKind.KUBERNETES:
        raise Invalid([Problem("options/builds", f"region '{region.name}' is no cluster")])
    if region.profile is Profile.GKE_AUTOPILOT:
        hint = "build there with builds=google, or on a Standard node pool"
        raise Invalid([Problem("options/builds", "Autopilot lets no pod make user namespaces", hint)])


def check_registry(region: Region, registry: str) -> None:
    """Raises Invalid where builds elsewhere cannot push to the platform's registry."""
    target = region.registry or registry
    if target.startswith(("127.", "localhost", "[::1]")):
        hint = "name a registry that its builds reach with LEEWARD_REGISTRY, or its address there with --registry"
        raise Invalid([Problem("registry", f"builds of region '{region.name}' do not reach '{target}'", hint)])


def logins(settings: Settings, find: FindLogin) -> FindLogin:
    """The logins that were added, and a token of Google's for Artifact Registry where none was."""
    if not host_of(f"{settings.registry}/x").endswith(_GOOGLE):
        return find
    from leeward.builders.google_token import Tokens

    tokens = Tokens(settings.google["metadata"], settings.google_key_file)

    async def login(host: str) -> Login | None:
        found = await find(host)
        if found is not None or not host.endswith(_GOOGLE):
            return found
        try:
            return Login(host, "oauth2accesstoken", Secret(await tokens.get()))
        except LeewardError as error:
            log.warning("no token for '%s': %s", host, error)
            return None

    return login


BUILDERS: Mapping[BuildsIn, Callable[[Kitchens, Region], Builder]] = {
    BuildsIn.CLUSTER: Kitchens.cluster,
    BuildsIn.GOOGLE: Kitchens.google,
}


def regional(
    settings: Settings, here: Builder, own: Region | None, regions: RegionStore, kitchens: Kitchens
) -> RegionalBuilder:
    """The builder for all regions; `own` is the region of this control plane where that is a cluster."""

    async def find(name: str) -> Region | None:
        if name == LOCAL:
            region = own
        else:
            try:
                region = await regions.get(name)
            except NotFound:
                region = None
        if region is not None:
            check(region)
            if region.builds is not BuildsIn.LOCAL:
                check_registry(region, settings.registry)
        return region

    return RegionalBuilder(here, find, kitchens.builder)
