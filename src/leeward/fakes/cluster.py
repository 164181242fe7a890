"""A cluster in memory: an engine that has objects to show and can be examined."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leeward.fakes.engine import FakeEngine
from leeward.model.region import Examined
from leeward.model.runtime import Workload


@dataclass(slots=True)
class FakeCluster(FakeEngine):
    """The abilities `Renders` and `Examines` without a world; `found` is what an examination finds."""

    found: list[Examined] = field(default_factory=list)

    def render(self, wants: Iterable[Workload]) -> Sequence[Mapping[str, Any]]:
        """One object for each process."""
        return [{"kind": "Deployment", "metadata": {"name": f"{want.app}-{want.process}"}} for want in wants]

    async def examine(self) -> Sequence[Examined]:
        """What a test put there."""
        return tuple(self.found)
