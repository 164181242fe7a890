"""Read what an instance uses from the kernel's control groups, version 1 and 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds since the start, bytes of memory that cannot be given back, seconds held back by the limit."""

    cpu_s: float
    memory_bytes: int
    throttled_s: float


class Cgroups:
    """Finds each container's groups once, by a process in it, and keeps their paths."""

    def __init__(self, root: Path = _ROOT, proc: Path = _PROC) -> None:
        self._root = root
        self._proc = proc
        self._paths: dict[tuple[str, int], Mapping[str, Path]] = {}

    def used(self, container: str, pid: int) -> Used | None:
        """None when it has just ended."""
        key = (container, pid)
        try:
            if key not in self._paths:
                self._paths[key] = paths(self._root, (self._proc / str(pid) / "cgroup").read_text())
            return _read(self._paths[key])
        except (OSError, ValueError, KeyError):
            self._paths.pop(key, None)
            return None

    def forget(self, alive: frozenset[str]) -> None:
        """Let go of the paths of all other containers."""
        for key in [key for key in self._paths if key[0] not in alive]:
            del self._paths[key]


def paths(root: Path, text: str) -> Mapping[str, Path]:
    """Controller to directory, from the text of `/proc/<pid>/cgroup`; version 2 is the controller ''."""
    found: dict[str, Path] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = root / controllers / path.lstrip("/")
    if "memory" in found:
        return found
    return {"": root / text.strip().splitlines()[-1].split(":", 2)[2].lstrip("/")}


def _read(at: Mapping[str, Path]) -> Used:
    if "memory" not in at:
        return _read_2(at[""])
    cpu = _numbers((at["cpu"] / "cpu.stat").read_text())
    memory = _numbers((at["memory"] / "memory.stat").read_text())
    usage = int((at["memory"] / "memory.usage_in_bytes").read_text())
    return Used(
        cpu_s=int((at["cpuacct"] / "cpuacct.usage").read_text()) / 1e9,
        memory_bytes=max(0, usage - memory.get("total_inactive_file", 0)),
        throttled_s=cpu.get("throttled_time", 0) / 1e9,
    )


def _read_2(at: Path) -> Used:
    cpu = _numbers((at / "cpu.stat").read_text())
    memory = _numbers((at / "memory.stat").read_text())
    usage = int((at / "memory.current").read_text())
    return Used(
        cpu_s=cpu["usage_usec"] / 1e6,
        memory_bytes=max(0, usage - memory.get("inactive_file", 0)),
        throttled_s=cpu.get("throttled_usec", 0) / 1e6,
    )


def _numbers(text: str) -> dict[str, int]:
    return {key: int(value) for key, _, value in (line.partition(" ") for line in text.splitlines()) if value.isdigit()}
