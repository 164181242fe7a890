"""Choose the engine of a region; what a cluster needs is loaded with the first one."""

from collections.abc import Callable, Mapping

from leeward.daemon.builds import check
from leeward.engines.local.container import home_id
from leeward.model.region import EngineKind, Region
from leeward.ports import Clock, Engine, LogStore
from leeward.settings import Settings

Make = Callable[[Settings, LogStore, Clock, Region], Engine]


def kubernetes(settings: Settings, logs: LogStore, clock: Clock, region: Region) -> Engine:
    """An engine on a cluster. Raises Invalid when its access file cannot be used."""
    # Thirty megabytes that a platform without a cluster never pays.
    from leeward.engines.kubernetes.engine import KubernetesEngine
    from leeward.engines.kubernetes.options import rules_of

    check(region)
    rules = rules_of(region, home_id(str(settings.home)), settings.domain, settings.registry, settings.quotas)
    credentials = region.credentials.reveal() if region.credentials else ""
    return KubernetesEngine(rules, credentials, region.context, logs, clock)


ENGINES: Mapping[EngineKind, Make] = {EngineKind.KUBERNETES: kubernetes}
