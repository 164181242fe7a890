"""Watches one build while it runs, and ends it when it goes over a bound."""

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from leeward.builders.limits import Cgroup, Pressure
from leeward.errors import BuildFailed
from leeward.settings import MIB, Settings

_EVERY_S = 0.1
# Counting what a build wrote reads every entry: at most this often, and at most a twentieth of the time.
_COUNT_EVERY_S = 3.0
_COUNT_SHARE = 20
_MOST_FILES = 2_000_000
_LEAST_FREE = 256 * MIB
_KILLED = re.compile(r"exit code: 137|\bKilled\b|signal: killed|SIGKILL")
REFUSED_FORK = re.compile(
    r"can't fork|Cannot fork|fork: (?:retry: )?Resource temporarily|BlockingIOError: \[Errno 11\]|spawn \S+ EAGAIN"
)
# Refused forks in a row until a build is ended: a few are a program that asks politely and waits.
_REFUSED = 20


class Watch:
    """The steps of one build, found by a marker in their environment that the build's cache key does not see."""

    def __init__(self, settings: Settings, cgroup: Cgroup, data_root: Path, marker: str) -> None:
        self._settings, self._cgroup, self._data_root, self._marker = settings, cgroup, data_root, marker
        self._strangers: set[str] = set()
        self._steps: set[str] = set()
        self._written: dict[Path, int] = {}
        self._files: dict[Path, int] = {}
        self._caches: dict[Path, int] = {}
        if not cgroup.steps():
            cgroup.reset_peak()
        self._killed = cgroup.pressure().killed
        self._refused = 0
        self._free, self._free_files = self._disk()

    async def run(self) -> None:
        """Look again and again, until cancelled. Raises BuildFailed when a bound is passed."""
        next_count, took = time.monotonic() + _COUNT_EVERY_S, 0.0
        while True:
            self._find()
            for step in self._steps & self._cgroup.steps():
                self._cgroup.put_last(step)
            self._check_processes()
            free, free_files = self._disk()
            gone = self._free - free > self._limit or self._free_files - free_files > _MOST_FILES
            low = free < _LEAST_FREE and self._free - free > _LEAST_FREE
            if gone or low or time.monotonic() > next_count:
                began = time.monotonic()
                await asyncio.to_thread(self._count)
                took = time.monotonic() - began
                self._check_disk(low)
                next_count = time.monotonic() + max(_COUNT_EVERY_S, took * _COUNT_SHARE)
            await asyncio.sleep(max(_EVERY_S, took if gone else 0.0))

    async def end(self) -> None:
        """End every process that the build left; returns when none is left."""
        for _ in range(100):
            self._find()
            left = self._steps & self._cgroup.steps()
            if not left:
                return
            for step in left:
                await asyncio.to_thread(self._cgroup.kill, step)
            await asyncio.sleep(0.05)

    def out_of_memory(self, output: str) -> bool:
        """Whether a failure with this output is due to the memory limit."""
        now = self._cgroup.pressure()
        full = now.memory_peak >= self._settings.build_memory_mib * MIB * 0.97
        return (full or now.killed > self._killed) and bool(_KILLED.search(output))

    @property
    def memory_mib(self) -> int:
        """The most memory that builds used together since this one began."""
        return self._cgroup.pressure().memory_peak // MIB

    def out_of_processes(self, output: str) -> bool:
        """Whether a failure with this output is due to the bound on processes."""
        return bool(REFUSED_FORK.search(output))

    @property
    def _limit(self) -> int:
        return self._settings.build_disk_mib * MIB

    def _find(self) -> None:
        for step in self._cgroup.steps() - self._steps - self._strangers:
            mine = self._is_mine(step)
            if mine is not None:
                (self._steps if mine else self._strangers).add(step)

    def _is_mine(self, step: str) -> bool | None:
        """None while that cannot be said yet."""
        try:
            spec = json.loads((self._data_root / "buildkit" / "executor" / step / "config.json").read_bytes())
            variables = spec["process"]["env"]
        except (OSError, ValueError, KeyError):
            return None
        return any(self._marker in variable for variable in variables)

    def _check_processes(self) -> None:
        total: Pressure = self._cgroup.pressure()
        mine = [self._cgroup.pressure(step) for step in self._steps & self._cgroup.steps()]
        pids = sum(part.pids for part in mine)
        full = total.pids >= self._settings.build_pids * 0.97 and pids * 2 > total.pids
        self._refused = self._refused + 1 if full else 0
        if self._refused >= _REFUSED:
            raise too_many_processes(self._settings.build_pids)

    def _disk(self) -> tuple[int, int]:
        facts = os.statvfs(self._data_root)
        return facts.f_bavail * facts.f_frsize, facts.f_favail

    def _check_disk(self, low: bool) -> None:
        written, files = sum(self._written.values()), sum(self._files.values())
        if written > self._limit:
            raise BuildFailed(
                f"the build wrote more than {self._settings.build_disk_mib} MiB",
                hint="look for what it writes; LEEWARD_BUILD_DISK_MIB sets the bound",
                code="build-disk",
            )
        if files > _MOST_FILES:
            raise BuildFailed(
                f"the build made more than {_MOST_FILES:,} files",
                hint="look for a loop that makes files",
                code="build-disk",
            )
        if low and written > _LEAST_FREE:
            raise BuildFailed("the disk is nearly full", hint="free disk space: see `lee status`", code="build-disk")

    def _count(self) -> None:
        """Count what the build's running steps wrote; what ended steps wrote stays counted."""
        for step in self._steps & self._cgroup.steps():
            for place, cache in self._places(step):
                size, files = usage(place)
                if cache:
                    size -= self._caches.setdefault(place, size)
                    files = 0
                self._written[place], self._files[place] = size, files

    def _places(self, step: str) -> Iterator[tuple[Path, bool]]:
        """The folders that a step writes to, and whether it is a cache that outlives the build."""
        for pid in self._cgroup.processes(step)[:1]:
            with contextlib.suppress(OSError):
                yield from _writable(Path(f"/proc/{pid}/mountinfo").read_text(), self._data_root)


def too_many_processes(limit: int) -> BuildFailed:
    """The failure of a build that starts processes without end."""
    return BuildFailed(
        f"the build started more than {limit} processes",
        hint="look for a loop that starts processes, or build with fewer jobs at once",
        code="build-processes",
    )


def _writable(mountinfo: str, data_root: Path) -> Iterator[tuple[Path, bool]]:
    for line in mountinfo.splitlines():
        fields = line.split()
        root, point, options = fields[3], fields[4], fields[5]
        if point == "/":
            upper = re.search(r"upperdir=([^,\s]+)", line)
            if upper:
                yield Path(upper[1]), False
        elif options.startswith("rw") and (inside := re.search(r"/overlay2/[^/]+/diff", root)):
            yield Path(f"{data_root}{inside[0]}"), True


def usage(place: Path) -> tuple[int, int]:
    """Bytes on disk and entries below a folder; never leaves it."""
    size = files = 0
    waiting = [str(place)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                files += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size, files
