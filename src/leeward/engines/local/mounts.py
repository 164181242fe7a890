"""Write volumes as Docker takes them, and read them back. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from leeward.model.runtime import Workload
from leeward.model.volume import Mount

VOLUMES = "leeward.volumes"
HOME = "leeward.home"


def volume_name(home: str, project: str, app: str, process: str, name: str) -> str:
    """Dots stand in no part of it, so that no two volumes have one name."""
    return f"leeward.{home}.{project}.{app}.{process}.{name}"


def create_body(want: Workload, home: str, mount: Mount) -> dict[str, Any]:
    """The body of `POST /volumes/create`; Docker keeps the labels of the first time."""
    return {
        "Name": volume_name(home, want.project, want.app, want.process, mount.name),
        "Driver": "local",
        "Labels": {
            HOME: home,
            "leeward.project": want.project,
            "leeward.app": want.app,
            "leeward.process": want.process,
            "leeward.volume": mount.name,
            "leeward.path": mount.path,
            "leeward.size-mib": str(mount.size_mib),
        },
    }


def container_mounts(want: Workload, home: str) -> list[dict[str, Any]]:
    """The `Mounts` of a container. They begin empty, as on every engine: nothing of the image is copied in."""
    return [
        {
            "Type": "volume",
            "Source": volume_name(home, want.project, want.app, want.process, mount.name),
            "Target": mount.path,
            "VolumeOptions": {"NoCopy": True},
        }
        for mount in want.volumes
    ]


def mounts_text(volumes: tuple[Mount, ...]) -> str:
    """The label of a container that says which volumes it has."""
    return json.dumps([[each.name, each.path, each.size_mib] for each in volumes])


def mounts_of(labels: Mapping[str, str]) -> tuple[Mount, ...]:
    """The volumes of a container, from its labels."""
    text = labels.get(VOLUMES, "")
    return tuple(Mount(name, path, size_mib) for name, path, size_mib in json.loads(text)) if text else ()


def named_user(user: str) -> str:
    """The name that only the image's own `/etc/passwd` can tell the number of; '' when it is a number, or root."""
    name = user.partition(":")[0]
    return "" if not name or name.isdigit() else name


def owner(user: str, passwd: str = "") -> tuple[int, int]:
    """User and group number of an image's `USER`, with the text of its `/etc/passwd`; root for an unknown one."""
    name, _, group = user.partition(":")
    for line in passwd.splitlines():
        parts = line.split(":")
        if len(parts) > 3 and name and parts[0] == name and parts[2].isdigit() and parts[3].isdigit():
            return int(parts[2]), int(group) if group.isdigit() else int(parts[3])
    uid = int(name) if name.isdigit() else 0
    return uid, int(group) if group.isdigit() else uid
