"""The control groups below which a cluster's pods live."""

import contextlib
import os
import time
from pathlib import Path

from tests.cluster.layout import Layout

ROOT = Path("/sys/fs/cgroup")
_WAIT_S = 10.0


def hierarchies() -> list[Path]:
    """One folder for each mounted hierarchy."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink() and path.name != "unified"]


def up(layout: Layout) -> None:
    for node in layout.nodes:
        for hierarchy in hierarchies():
            folder = hierarchy
            for name in node.cgroup.split("/"):
                _pass_on(folder)
                folder /= name
                folder.mkdir(exist_ok=True)
                _fill(folder)
            _pass_on(folder)


def _fill(folder: Path) -> None:
    """A new cpuset of the first kind is empty, and takes no process until it is not."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = folder / name
        if file.exists() and not (folder / "cgroup.controllers").exists() and not file.read_text().strip():
            file.write_text((folder.parent / name).read_text())


def _pass_on(folder: Path) -> None:
    """In the unified hierarchy, a group's controllers are those that its parent passes on."""
    control = folder / "cgroup.subtree_control"
    if control.exists():
        for name in (folder / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                control.write_text(f"+{name}")


def down(layout: Layout) -> list[str]:
    """Remove them; what could not be removed."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        # runc makes its groups in the unified hierarchy too, where there are both kinds.
        every = {*hierarchies(), ROOT / "unified"}
        left = [str(path) for hierarchy in every for path in _remove(hierarchy / layout.cgroup)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _remove(top: Path) -> list[Path]:
    left = []
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            left.append(Path(folder))
    return left
