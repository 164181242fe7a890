"""What processes and builds printed."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from leeward.model.release import Deploy
from leeward.model.runtime import LogLine
from leeward.services.context import Context
from leeward.services.deploys import Deploys
from leeward.services.watching import Primed, merged

TAIL_MAX = 5000
# A build's last lines may come after its end by this many.
LATE = 500


class Logs:
    """Lines of apps and builds."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._logs = context.stores.logs
        self._deploys = deploys

    async def tail(
        self,
        app: str,
        limit: int = 100,
        search: str = "",
        process: str = "",
        source: str = "",
        before: float = 0.0,
    ) -> Sequence[LogLine]:
        """The last lines, oldest first. Raises NotFound."""
        await self._context.stores.apps.get(app)
        return await self._logs.tail(app, min(limit, TAIL_MAX), source, process, search, before)

    async def follow(self, app: str, process: str = "", source: str = "", recent: int = 0) -> AsyncIterator[LogLine]:
        """The last `recent` lines, then each one as it comes; endless. Raises NotFound at the first one asked for."""
        await self._context.stores.apps.get(app)
        stream, shown = Primed(self._logs.follow(app, source, process)), _Shown()
        try:
            await asyncio.sleep(0)
            for line in shown.new(await self.tail(app, recent, process=process, source=source) if recent else ()):
                yield line
            async for line in stream:
                for new in shown.new((line,)):
                    yield new
        finally:
            await stream.aclose()

    async def build_log(self, deploy: str, limit: int = TAIL_MAX) -> Sequence[LogLine]:
        """What a deploy's build printed, oldest first. Raises NotFound."""
        app = (await self._deploys.show(deploy)).app
        return await self._logs.tail(app, min(limit, TAIL_MAX), source=build_source(deploy))

    async def deploy_events(self, deploy: str) -> AsyncIterator[Deploy | LogLine]:
        """A deploy at each change and its build's lines, from the first one; ends after a final status."""
        shown = _Shown()
        app = (await self._deploys.show(deploy)).app
        lines = Primed(self._logs.follow(app, build_source(deploy)))
        await asyncio.sleep(0)
        final: Deploy | None = None
        for line in shown.new(await self.build_log(deploy)):
            yield line
        stream: AsyncIterator[Deploy | LogLine] = merged(self._deploys.watch(deploy), lines)
        async for item in stream:
            if isinstance(item, LogLine):
                for line in shown.new((item,)):
                    yield line
            elif item.status.final:
                final = item
            else:
                yield item
        # Lines that were written while nobody listened, or right before the end.
        for line in shown.new(await self.build_log(deploy, LATE)):
            yield line
        if final is not None:
            yield final


class _Shown:
    """Remembers the lines that were given, so that none comes twice."""

    def __init__(self) -> None:
        self._recent: dict[tuple[float, str], None] = {}

    def new(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """Those that were not given before, in their order."""
        fresh = []
        for line in lines:
            key = (line.at, line.text)
            if key in self._recent or (len(self._recent) >= 2 * LATE and line.at < self._oldest):
                continue
            self._recent[key] = None
            if len(self._recent) > 2 * LATE:
                del self._recent[next(iter(self._recent))]
            fresh.append(line)
        return fresh

    @property
    def _oldest(self) -> float:
        return next(iter(self._recent))[0]


def build_source(deploy: str) -> str:
    """The log source of a deploy's build."""
    return f"build/{deploy}"
