"""Build every app where its region has its apps built: one builder for each region, seen as one."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.model.region import LOCAL, BuildsIn, Region
from leeward.ports import Builder, BuildJob, Built, Probes, Say

FindRegion = Callable[[str], Awaitable[Region | None]]
Make = Callable[[Region], Builder]


class RegionalBuilder:
    """The port Builder over several. `here` plans for all, and builds what no region has built elsewhere."""

    def __init__(self, here: Builder, find: FindRegion, make: Make) -> None:
        self._here = here
        self._find = find
        self._make = make
        self._made: dict[str, tuple[Region, Builder]] = {}

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """As everywhere: where it is built changes nothing of the image."""
        return self._here.plan(tree, spec, env, versions)

    async def probe(
        self, tree: Path, spec: AppSpec, env: Mapping[str, str], planned: BuildPlan, say: Say
    ) -> Mapping[str, str]:
        """As the builder here finds it out."""
        return await self._here.probe(tree, spec, env, planned, say) if isinstance(self._here, Probes) else {}

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build where the region of the job says. Raises BuildFailed."""
        region = await self._find(job.region)
        if region is None or region.builds is BuildsIn.LOCAL:
            return await self._here.build(job, say)
        if job.region != LOCAL:
            say(f"built where region '{region.name}' has its apps built: {region.builds.value}")
        return await self._of(region).build(job, say)

    def _of(self, region: Region) -> Builder:
        known = self._made.get(region.name)
        if known is None or known[0] != region:
            known = self._made[region.name] = (region, self._make(region))
        return known[1]
