"""Numbers of apps: over time, and now."""

from collections.abc import Mapping, Sequence

from leeward.errors import Invalid, Problem
from leeward.model.runtime import Usage
from leeward.services.context import Context

MINUTES_MAX = 31 * 24 * 60
POINTS = 120
# As often as samples are taken.
STEP_MIN_S = 10.0

Series = Mapping[str, Sequence[tuple[float, float]]]
"""`process/instance/metric` (or another name below the app's) to pairs of Unix seconds and value."""


class Metrics:
    """Samples and usage."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def series(self, app: str, minutes: int = 60) -> Series:
        """Averages over the last `minutes`, about 120 points for each series. Raises NotFound, Invalid."""
        if not 1 <= minutes <= MINUTES_MAX:
            raise Invalid([Problem("minutes", f"must be 1 to {MINUTES_MAX}, not '{minutes}'")])
        await self._context.stores.apps.get(app)
        until = self._context.clock.now().timestamp()
        step = max(STEP_MIN_S, minutes * 60 / POINTS)
        found = await self._context.stores.samples.series(f"{app}/", until - minutes * 60, until, step)
        return {name.removeprefix(f"{app}/"): points for name, points in found.items()}

    async def usage(self, app: str) -> Sequence[Usage]:
        """What each instance of an app uses now. Raises NotFound."""
        await self._context.stores.apps.get(app)
        return tuple(usage for usage in await self._context.engine.usage() if usage.app == app)
