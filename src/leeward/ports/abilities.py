"""What some engines can do beside running workloads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from leeward.errors import Problem
from leeward.model.region import Examined
from leeward.model.run import Wanted
from leeward.model.runtime import Workload
from leeward.model.volume import Volume


@runtime_checkable
class Renders(Protocol):
    """An engine whose workloads are objects of a foreign system."""

    def render(self, wants: Iterable[Wanted]) -> Sequence[Mapping[str, Any]]:
        """The objects that workloads become, secrets as stars, in the order in which they are applied."""
        ...


@runtime_checkable
class Leaves(Protocol):
    """An engine that keeps things of the platform's own in its region, beside apps."""

    async def leave(self) -> None:
        """Take them away, for the region is removed; repeatable. Raises Unavailable."""
        ...


@runtime_checkable
class Examines(Protocol):
    """An engine that can say what is right and wrong with its region."""

    async def examine(self) -> Sequence[Examined]:
        """Each thing that was looked at. Never raises for a region that is wrong: that is its answer."""
        ...


@runtime_checkable
class Keeps(Protocol):
    """An engine that keeps volumes: they outlive instances, releases and, unless they are deleted, their app."""

    async def volumes(self, app: str = "") -> Sequence[Volume]:
        """Every volume, of one app or of all, with who has it now."""
        ...

    async def delete_volume(self, volume: Volume) -> None:
        """Remove a volume with all that is in it; repeatable. Raises Conflict while an instance has it."""
        ...

    async def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """What of the volumes of these workloads cannot be had where they are to run."""
        ...


@runtime_checkable
class Wakes(Protocol):
    """Engines that know whether what sleeps in a region can be woken."""

    def wakes(self, region: str) -> bool:
        """Whether something holds requests there for an app that is asleep: the platform's edge, or a part of the
        region's own."""
        ...

    def meets_edge(self, region: str) -> bool:
        """Whether requests for the apps of a region pass the platform's edge; what sleeps elsewhere the region itself
        puts to sleep and wakes."""
        ...
