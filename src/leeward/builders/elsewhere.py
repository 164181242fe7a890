"""What builders on other machines have in common: what they refuse, and where they pull our base images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leeward.builders.bases import Bases
from leeward.builders.recipes import RECIPES
from leeward.errors import PlanFailed
from leeward.model.app import Strategy
from leeward.ports import BuildJob, Say, Shelf
from leeward.settings import Settings


def refuse_buildpacks(job: BuildJob) -> None:
    """Raises PlanFailed for what is built on this machine only."""
    if job.plan.strategy == Strategy.BUILDPACKS:
        raise PlanFailed(
            f"'{job.app}' is built with buildpacks, which region '{job.region}' cannot do",
            hint="leave 'build.strategy' out, or write a Dockerfile; `--builds local` builds on this machine",
            code="no-buildpacks",
        )


@dataclass(frozen=True, slots=True)
class PulledBases:
    """Our base images as another machine pulls them; `target` is the registry in its words."""

    settings: Settings
    bases: Bases
    shelf: Shelf
    target: str

    async def names(self, flavours: Iterable[str], say: Say) -> Mapping[str, str]:
        """Each image to its name there; those that nobody keeps there are made and pushed. Raises Unavailable."""
        return {RECIPES[flavour].image: await self._name(flavour, say) for flavour in dict.fromkeys(flavours)}

    async def _name(self, flavour: str, say: Say) -> str:
        if self.settings.base_registry:
            return f"{self.settings.base_registry}/{flavour}:{RECIPES[flavour].tag}"
        await self.bases.ensure([flavour], say)
        base = await self.bases.present(flavour)
        await self.shelf.publish(base.image)
        return f"{self.target}/{base.image}"
