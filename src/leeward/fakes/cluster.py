"""A cluster in memory: an engine that has objects to show and can be examined."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leeward.errors import LeewardError
from leeward.fakes.engine import FakeEngine
from leeward.model.region import Examined
from leeward.model.run import Timed, Wanted


@dataclass(slots=True)
class FakeCluster(FakeEngine):
    """The abilities `Renders` and `Examines` without a world; `found` is what an examination finds."""

    found: list[Examined] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What was taken away when its region was removed."""
    away: list[LeewardError] = field(default_factory=list)
    """Why nothing can be taken away."""

    def render(self, wants: Iterable[Wanted]) -> Sequence[Mapping[str, Any]]:
        """One object for each process."""
        found = [(want.want, "CronJob") if isinstance(want, Timed) else (want, "Deployment") for want in wants]
        return [{"kind": kind, "metadata": {"name": f"{want.app}-{want.process}"}} for want, kind in found]

    async def leave(self) -> None:
        """Notes it; raises what a test put there."""
        if self.away:
            raise self.away[0]
        self.left.append("pool")

    async def examine(self) -> Sequence[Examined]:
        """What a test put there."""
        return tuple(self.found)
