"""Bounds what all builds use together, by the cgroup in which BuildKit puts their processes.

BuildKit starts each step in `<parent>/buildkit/<step>`. The limits stand on the parent, so they hold for every step at
once, and a step cannot lift them. Both cgroup versions are served.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from leeward.settings import MIB, Settings

ROOT = Path("/sys/fs/cgroup")
# Where dockerd puts BuildKit's steps; the second with the systemd driver inside its own slice.
_PARENTS = ("docker/buildkit", "system.slice/docker/buildkit")
_PERIOD_US = 100_000
# Half of what one process of the system has, an eighth of all apps: builds give way to apps and the edge. Not less,
# and not `cpu.idle`: a build must get on beside busy apps, and where it holds a lock of the kernel everyone waits.
_SHARES = 512
_WEIGHT = 50
# Apps run below this group, where it is: four times what all other containers have together.
_APPS = "leeward"
_APPS_SHARES = 4096
_APPS_WEIGHT = 400
# With cgroup v1 the weight above counts among dockerd's containers only, and apps and the edge run beside these. So the
# steps' processes are put into a group at the top, below everything else that wants the CPU, for that controller alone.
_LAST = "leeward-builds"
# Putting one process there holds up every fork on the machine for a moment; its children follow by themselves.
_MOST_MOVED = 32


@dataclass(frozen=True, slots=True)
class Pressure:
    """What builds use: the most memory in bytes since `reset_peak`, how often the kernel ended one, processes now."""

    memory_peak: int
    killed: int
    pids: int


class Cgroup:
    """The cgroup that all builds share."""

    def __init__(self, settings: Settings, root: Path = ROOT) -> None:
        self._settings = settings
        self._root = root
        self._v2 = (root / "cgroup.controllers").is_file()

    def apply(self) -> None:
        """Have the cgroup, with its limits. May be repeated; what the kernel lacks is left out."""
        cpus = self._settings.build_cpus or max(0.25, (os.cpu_count() or 1) - 0.25)
        memory, quota = self._settings.build_memory_mib * MIB, int(cpus * _PERIOD_US)
        pids = str(self._settings.build_pids)
        for controller in ("",) if self._v2 else ("memory", "cpu", "pids"):
            with contextlib.suppress(OSError):
                self._place(controller).mkdir(parents=True, exist_ok=True)
        if self._v2:
            self._delegate()
            values = {
                "memory.max": str(memory),
                "memory.swap.max": "0",
                "cpu.max": f"{quota} {_PERIOD_US}",
                "cpu.weight": str(_WEIGHT),
                "io.weight": f"default {_WEIGHT}",
                "pids.max": pids,
            }
            for name, value in values.items():
                _put(self._place("") / name, value)
            if self._place("") == self._root / _PARENTS[1]:
                # Nothing but builds is in there: the systemd driver puts containers elsewhere.
                _put(self._place("").parent / "cpu.weight", str(_WEIGHT))
            if (self._root / _APPS).is_dir():
                _put(self._root / _APPS / "cpu.weight", str(_APPS_WEIGHT))
            return
        # The first may be above the second while they change: the order depends on the direction, so try both.
        for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
            _put(self._place("memory") / name, str(memory))
        with contextlib.suppress(OSError):
            self._last.mkdir(exist_ok=True)
        for place in (self._place("cpu"), self._last):
            _put(place / "cpu.cfs_period_us", str(_PERIOD_US))
            _put(place / "cpu.cfs_quota_us", str(quota))
            # An idle group, whoever made it one, takes no shares.
            _put(place / "cpu.idle", "0")
            _put(place / "cpu.shares", str(_SHARES))
        if (self._root / "cpu" / _APPS).is_dir():
            _put(self._root / "cpu" / _APPS / "cpu.shares", str(_APPS_SHARES))
        _put(self._place("blkio") / "blkio.bfq.weight", str(_WEIGHT))
        _put(self._place("pids") / "pids.max", pids)

    def put_last(self, step: str) -> None:
        """Put a step's processes below everything else that wants the CPU; repeatable (cgroup v1)."""
        if self._v2 or not self._last.is_dir():
            return
        for place, _, _ in os.walk(self._place("cpu") / step):
            for pid in _read(Path(place) / "cgroup.procs").split()[:_MOST_MOVED]:
                _put(self._last / "cgroup.procs", pid)

    def steps(self) -> frozenset[str]:
        """The names of the steps that have processes now, of every build."""
        place = self._place("pids")
        with contextlib.suppress(OSError):
            found = [entry.name for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
            # A dockerd that died leaves empty ones behind.
            return frozenset(name for name in found if _number(place / name / "pids.current"))
        return frozenset()

    def processes(self, step: str) -> tuple[int, ...]:
        """The processes of a step, those of nested cgroups too."""
        found: list[int] = []
        for place, _, _ in os.walk(self._place("pids") / step):
            found += [int(pid) for pid in _read(Path(place) / "cgroup.procs").split()]
        return tuple(found)

    def kill(self, step: str) -> None:
        """End every process of a step; they are frozen first, or a fork bomb would outrun the round."""
        if self._v2:
            _put(self._place("") / step / "cgroup.kill", "1")
            return
        self._freeze(step, frozen=True)
        for _ in range(20):
            pids = self.processes(step)
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._freeze(step, frozen=False)
            if not pids:
                return

    def reset_peak(self) -> None:
        """Begin to measure the highest use of memory anew (cgroup v1)."""
        if not self._v2:
            _put(self._place("memory") / "memory.max_usage_in_bytes", "0")

    def pressure(self, step: str = "") -> Pressure:
        """What a step uses, or all of them."""
        memory, pids = self._place("memory") / step, _number(self._place("pids") / step / "pids.current")
        if self._v2:
            return Pressure(_number(memory / "memory.peak"), _table(memory / "memory.events").get("oom_kill", 0), pids)
        # `failcnt` is no longer counted by newer kernels, and `oom_kill` only where the victim was.
        return Pressure(_number(memory / "memory.max_usage_in_bytes"), 0, pids)

    @property
    def _last(self) -> Path:
        return self._root / "cpu" / _LAST

    def refused(self, step: str) -> int:
        """How many processes of a step the bound has refused, where the kernel counts them."""
        return _table(self._place("pids") / step / "pids.events").get("max", 0)

    def _place(self, controller: str) -> Path:
        top = self._root if self._v2 else self._root / controller
        return next((top / parent for parent in _PARENTS if (top / parent).is_dir()), top / _PARENTS[0])

    def _delegate(self) -> None:
        place = self._place("").relative_to(self._root)
        for parent in (*reversed(place.parents), place):
            for controller in ("memory", "cpu", "pids", "io"):
                _put(self._root / parent / "cgroup.subtree_control", f"+{controller}")

    def _freeze(self, step: str, *, frozen: bool) -> None:
        _put(self._place("freezer") / step / "freezer.state", "FROZEN" if frozen else "THAWED")


def _put(path: Path, value: str) -> None:
    with contextlib.suppress(OSError):
        path.write_text(value)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


def _number(path: Path) -> int:
    text = _read(path).strip()
    return int(text) if text.isdigit() else 0


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
