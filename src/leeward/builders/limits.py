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
# A quarter of what a container gets by default: builds give way to apps.
_SHARES = 256
_WEIGHT = 25


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
                "pids.max": pids,
            }
            for name, value in values.items():
                _put(self._place("") / name, value)
            return
        # The first may be above the second while they change: the order depends on the direction, so try both.
        for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
            _put(self._place("memory") / name, str(memory))
        _put(self._place("cpu") / "cpu.cfs_period_us", str(_PERIOD_US))
        _put(self._place("cpu") / "cpu.cfs_quota_us", str(quota))
        _put(self._place("cpu") / "cpu.shares", str(_SHARES))
        _put(self._place("pids") / "pids.max", pids)

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

    def _place(self, controller: str) -> Path:
        top = self._root if self._v2 else self._root / controller
        return next((top / parent for parent in _PARENTS if (top / parent).is_dir()), top / _PARENTS[0])

    def _delegate(self) -> None:
        place = self._place("").relative_to(self._root)
        for parent in (*reversed(place.parents), place):
            for controller in ("memory", "cpu", "pids"):
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
