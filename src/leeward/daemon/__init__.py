"""The composition root: the only room that knows every adapter.

Every function here imports what it needs when it is called, so that a command that needs little starts fast.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leeward.daemon.machine import UpAnswer
    from leeward.host.doctor import Finding
    from leeward.model.build import BuildPlan
    from leeward.settings import Settings

Say = Callable[[str], None]


def plan_here(path: Path, app: str | None, env: Mapping[str, str]) -> "BuildPlan":
    """How the tree at `path` would be built; no server, no network. Raises Invalid, PlanFailed."""
    from leeward.daemon.planning import plan_tree

    return plan_tree(path, app, env)


def machine_up(settings: "Settings", say: Say) -> "UpAnswer":
    """Bring the platform up on this machine, with the example live. Raises LeewardError."""
    import asyncio

    from leeward.daemon.machine import up

    return asyncio.run(up(settings, say))


def machine_down(settings: "Settings", purge: bool, say: Say) -> None:
    """Stop the platform; with `purge` remove all of it."""
    import asyncio

    from leeward.daemon.machine import down

    asyncio.run(down(settings, purge, say))


def machine_doctor(settings: "Settings") -> "list[Finding]":
    """What is right and wrong with this machine."""
    import asyncio

    from leeward.daemon.machine import doctor

    return asyncio.run(doctor(settings))


def serve(settings: "Settings") -> None:
    """Run the control plane until it is told to stop."""
    from leeward.daemon.serve import main

    main(settings)
