"""Commands of the user's own, run at their places around what the leading buildpack does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from leeward.builders.cnb.phase import Phase, say

# The platform's word: it has read the manifest, variables and the files of other platforms.
GIVEN = "LEEWARD_HOOKS"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What runs before and after the dependencies are installed, and after the build; `install` and `build` replace."""

    before: tuple[str, ...] = ()
    install: str = ""
    between: tuple[str, ...] = ()
    build: str = ""
    after: tuple[str, ...] = ()

    @property
    def need_packages(self) -> bool:
        """Whether a command runs that may want what is installed."""
        return bool(self.install or self.between or self.build or self.after)


def hooks(phase: Phase, buildpack: str) -> Hooks:
    """Those of the buildpack that leads; every other has none."""
    try:
        given = json.loads(phase.env.get(GIVEN) or "{}")
    except ValueError:
        return Hooks()
    if not isinstance(given, dict) or given.get("buildpack") != buildpack:
        return Hooks()
    before, between, after = (tuple(map(str, given.get(name) or ())) for name in ("before", "between", "after"))
    return Hooks(before, str(given.get("install") or ""), between, str(given.get("build") or ""), after)


def run(phase: Phase, *commands: str, env: Mapping[str, str] | None = None) -> None:
    """Run them in the app's directory. Raises Failed."""
    for command in filter(None, commands):
        say(f"$ {command}")
        phase.run("bash", "-c", command, env=env)
