"""Plan a tree without a server."""

from collections.abc import Mapping
from pathlib import Path

from leeward.builders.plan import plan
from leeward.builders.recipes import tags
from leeward.control.phases import spec_in
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan


def plan_tree(path: Path, app: str | None, env: Mapping[str, str]) -> BuildPlan:
    """How the tree at `path` would be built. Raises Invalid, PlanFailed."""
    root = path.resolve()
    spec = spec_in(root, app or "", AppSpec(), strict=app is not None)
    return plan(root, spec, {**spec.env, **env}, {}, tags())
