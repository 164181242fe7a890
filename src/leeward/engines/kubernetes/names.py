"""Name objects, and label them so that they are found again. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from leeward.engines.kubernetes.rules import Rules
from leeward.model.runtime import Workload

OURS = "app.kubernetes.io/managed-by"
HOME = "leeward.dev/home"
PROJECT = "leeward.dev/project"
APP = "leeward.dev/app"
PROCESS = "leeward.dev/process"
RELEASE = "leeward.dev/release"
GENERATION = "leeward.dev/generation"
ROLE = "leeward.dev/role"
TAKES = "leeward.dev/takes-requests"
DRAINING = "leeward.dev/draining"
DISK = "leeward.dev/disk"
"""On pods that have a disk which is on one node at a time, while that node may be there."""
APPLIED = "leeward.dev/applied"
COST = "controller.kubernetes.io/pod-deletion-cost"
INSTANCE = "instance"
ONCE = "once"
RUN = "run"
DUE = "leeward.dev/due"
ACCOUNT = "leeward-app"
PULL_SECRET = "leeward-registry"

# A pod's name is the Deployment's, a hash of 10 and 5 random letters; more than 63 would be cut off.
_STEM = 31


def namespace(project: str) -> str:
    """The namespace of a project."""
    return f"leeward-{project}"


def stem(app: str, process: str) -> str:
    """A name for a process of an app that no other pair has: hyphens alone could not tell `a-b`/`c` from `a`/`b-c`."""
    plain = f"{app}-{process}"
    if "-" not in app + process and len(plain) <= _STEM:
        return plain
    return f"{plain[: _STEM - 7].rstrip('-')}-{digest(f'{app}/{process}', 6)}"


def group_name(app: str, process: str, generation: int) -> str:
    """The Deployment of one generation of a process."""
    return f"{stem(app, process)}-g{generation}"


def service_name(app: str, process: str) -> str:
    """The name under which other apps of the project find it: the app's own for `web`."""
    return app if process == "web" else f"{process}-{digest(f'{app}/{process}', 6)}"


def labels(rules: Rules, project: str, app: str = "", process: str = "") -> dict[str, str]:
    """The labels of everything that we make."""
    return {
        OURS: "leeward",
        HOME: rules.home,
        PROJECT: project,
        **({APP: app, "app.kubernetes.io/name": app} if app else {}),
        **({PROCESS: process, "app.kubernetes.io/component": process} if process else {}),
    }


def selector(want: Workload) -> dict[str, str]:
    """What all instances of one generation have in common."""
    return {APP: want.app, PROCESS: want.process, GENERATION: str(want.generation), ROLE: INSTANCE}


def metadata(
    name: str,
    rules: Rules,
    project: str,
    app: str = "",
    process: str = "",
    *,
    generation: int | None = None,
    cluster: bool = False,
) -> dict[str, Any]:
    """The metadata of an object in the project's namespace."""
    more = {GENERATION: str(generation)} if generation is not None else {}
    return {
        "name": name,
        **({} if cluster else {"namespace": namespace(project)}),
        "labels": {**labels(rules, project, app, process), **more},
    }


def group_metadata(want: Workload, rules: Rules) -> dict[str, Any]:
    """The metadata of an object that one generation of a process has by its own name."""
    name = group_name(want.app, want.process, want.generation)
    return metadata(name, rules, want.project, want.app, want.process, generation=want.generation)


def stamped(made: Mapping[str, Any]) -> dict[str, Any]:
    """The object with a short fingerprint of itself: as long as it is the same, nothing has to be sent."""
    text = json.dumps(made, sort_keys=True, separators=(",", ":"))
    meta = made["metadata"]
    annotations = {**meta.get("annotations", {}), APPLIED: digest(text, 16)}
    return {**made, "metadata": {**meta, "annotations": annotations}}


def digest(text: str, length: int) -> str:
    """A short fingerprint."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
