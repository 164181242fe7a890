"""What some engines can do beside running workloads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from leeward.model.region import Examined
from leeward.model.run import Wanted


@runtime_checkable
class Renders(Protocol):
    """An engine whose workloads are objects of a foreign system."""

    def render(self, wants: Iterable[Wanted]) -> Sequence[Mapping[str, Any]]:
        """The objects that workloads become, secrets as stars, in the order in which they are applied."""
        ...


@runtime_checkable
class Examines(Protocol):
    """An engine that can say what is right and wrong with its region."""

    async def examine(self) -> Sequence[Examined]:
        """Each thing that was looked at. Never raises for a region that is wrong: that is its answer."""
        ...
