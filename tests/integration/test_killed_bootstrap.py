"""The making of a base image that is killed in the middle leaves no mount, no process and, once swept, no file."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leeward.builders.bases import Bases
from leeward.builders.scratch import mounts
from leeward.settings import Settings

MAKES = """
import asyncio, sys
from pathlib import Path
from leeward.builders import bootstrap
from leeward.builders.recipes import Recipe
from leeward.builders.scratch import scratch
from leeward.settings import Settings

home = Path(sys.argv[1])
with scratch(home / "bases", "debian12-") as work:
    recipe = Recipe("debian12", "bookworm", ("ca-certificates",))
    asyncio.run(bootstrap.make(recipe, Settings(home=home), work, print))
"""
# Stands where the real tool has its mounts, which takes that one most of a minute to reach.
STANDS = """#!/bin/sh
root=$(mktemp -d "$TMPDIR/mmdebstrap.XXXXXX")
mkdir "$root/proc" "$root/sys" "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
sh -c 'exec sleep 600' "$root" &
wait
"""


def refused() -> bool:
    """Whether this machine lets nobody have mounts of their own."""
    return bool(subprocess.run(("unshare", "--mount", "true"), capture_output=True, check=False).returncode)


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or refused(), reason="mounts of its own need root, and a machine that lets it"
)


class Making:
    """A process that makes a base image in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "bases").mkdir(parents=True)
        (home / "mmdebstrap").write_text(STANDS)
        (home / "mmdebstrap").chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAKES, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": f"{home}:{os.environ['PATH']}"},
        )

    def workers(self) -> dict[int, str]:
        """The processes whose command names the home, but for the first."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            words = _read(entry / "cmdline").replace("\0", " ")
            if str(self.home) in words and int(entry.name) not in {self.process.pid, os.getpid()}:
                found[int(entry.name)] = words
        return found

    def mounted(self) -> bool:
        """Whether one of them has its last mount in the home."""
        return any(f"{self.home}/bases" in line and "/dev " in line for pid in self.workers() for line in _mounts(pid))

    def until(self, true: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 120
        while not true():
            if time.monotonic() > end:
                pytest.fail(f"{what} never came: {self.process.poll()}, {self.workers()}")
            time.sleep(0.05)

    def end(self) -> None:
        for pid in (self.process.pid, *self.workers()):
            if self.process.poll() is None or pid != self.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def making(tmp_path: Path) -> Iterator[Making]:
    made = Making(tmp_path / "home")
    yield made
    made.end()


def test_the_control_plane_is_killed_while_a_base_is_made(making: Making) -> None:
    making.until(making.mounted, "a mount of the bootstrap")
    assert not [mount for mount in mounts() if mount.is_relative_to(making.home)], "its mounts are its own"
    left = next((making.home / "bases").iterdir())
    assert list((left / "tmp").glob("mmdebstrap.*")), "it works inside the home"

    making.process.kill()
    making.process.wait()

    making.until(lambda: not making.workers(), "the end of the bootstrap")
    assert not [mount for mount in mounts() if mount.is_relative_to(making.home)]
    assert left.is_dir()
    assert Bases(Settings(home=making.home), machine_cache=making.home / "machine").sweep() == ()
    assert not left.exists()


def test_the_bootstrap_itself_is_killed(making: Making) -> None:
    making.until(making.mounted, "a mount of the bootstrap")
    pid = next(pid for pid, words in making.workers().items() if words.startswith("/bin/sh"))

    os.kill(pid, signal.SIGKILL)

    said, _ = making.process.communicate(timeout=60)
    assert making.process.returncode == 1
    assert "base image 'debian12' could not be made" in said
    making.until(lambda: not making.workers(), "the end of what it had started")
    assert not list((making.home / "bases").iterdir()), "the maker cleared up by itself"
    assert not [mount for mount in mounts() if mount.is_relative_to(making.home)]


def _mounts(pid: int) -> list[str]:
    return _read(Path(f"/proc/{pid}/mountinfo")).splitlines()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
