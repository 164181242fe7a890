"""Plan as any builder does, and build nothing: a control plane in a cluster runs images that others built."""

from collections.abc import Mapping
from pathlib import Path

from leeward.builders.recipes import tags
from leeward.errors import PlanFailed
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob, Built, Say


class ImagesOnly:
    """The port Builder where there is no container engine to build with."""

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """Decide how it would be built. Raises PlanFailed for everything but an image."""
        from leeward.builders.plan import plan

        found = plan(tree, spec, env, versions, tags())
        if found.strategy != Strategy.IMAGE:
            raise PlanFailed(
                f"'{spec.name or 'the app'}' must be built, and a control plane in a cluster builds nothing",
                hint="build its image elsewhere, push it to a registry, and deploy that: `lee deploy --image NAME`",
                code="no-builds",
            )
        return found

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Never asked for: no plan leads here. Raises PlanFailed."""
        raise PlanFailed(f"'{job.app}' cannot be built by a control plane in a cluster", code="no-builds")
