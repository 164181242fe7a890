"""Plan a tree without a server."""

from collections.abc import Mapping
from pathlib import Path

from leeward.builders.plan import plan
from leeward.builders.recipes import tags
from leeward.control.phases import spec_said
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan


def plan_tree(path: Path, app: str | None, env: Mapping[str, str]) -> BuildPlan:
    """How the tree at `path` would be built. Raises Invalid, PlanFailed."""
    root = path.resolve()
    spec = spec_said(root, app or "", strict=app is not None) or AppSpec()
    return plan(root, spec, {**spec.env, **env}, {}, tags())
