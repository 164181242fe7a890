"""Choose the engine of a region; what a cluster needs is loaded with the first one."""

from collections.abc import Callable, Mapping

from leeward.model.region import EngineKind, Region
from leeward.ports import Clock, Engine, LogStore
from leeward.settings import Settings

Make = Callable[[Settings, LogStore, Clock, Region], Engine]


def kubernetes(settings: Settings, logs: LogStore, clock: Clock, region: Region) -> Engine:
    """An engine on a cluster. Raises Invalid when its access file cannot be used."""
    # Thirty megabytes that a platform without a cluster never pays.
    from leeward.engines.kubernetes.engine import KubernetesEngine  # type: ignore[import-not-found,unused-ignore]

    return KubernetesEngine(settings, logs, clock, region)  # type: ignore[no-any-return,unused-ignore]


ENGINES: Mapping[EngineKind, Make] = {EngineKind.KUBERNETES: kubernetes}
