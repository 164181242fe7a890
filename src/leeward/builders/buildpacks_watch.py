"""Watches the container of one phase, and says when the build goes over a bound."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from leeward.builders.limits import Cgroup
from leeward.builders.watch import too_many_processes, usage
from leeward.errors import BuildFailed
from leeward.settings import MIB, Settings

_EVERY_S = 0.1
_COUNT_EVERY_S = 3.0
_COUNT_SHARE = 20
# Refused forks in a row until a build is ended: a few are a program that asks politely and waits.
_FULL = 20
# Or refused so often at all: tools that cannot start a thread die, and what they leave is below the bound.
_REFUSED = 50
_MOST_FILES = 2_000_000

LayerOf = Callable[[str], Awaitable[Path | None]]
"""The folder that a container's own writes go to."""


class PhaseWatch:
    """Counts processes by the container's cgroup, and what the build wrote into its folders."""

    def __init__(
        self, settings: Settings, cgroup: Cgroup, id_file: Path, folders: Sequence[Path], layer_of: LayerOf
    ) -> None:
        self._settings, self._cgroup, self._id_file, self._folders = settings, cgroup, id_file, list(folders)
        self._layer_of: LayerOf | None = layer_of
        self._full = 0

    async def run(self) -> None:
        """Look again and again, until cancelled. Raises BuildFailed when a bound is passed."""
        next_count = time.monotonic() + _COUNT_EVERY_S
        while True:
            self._check_processes()
            if time.monotonic() > next_count:
                began = time.monotonic()
                await self._add_layer()
                await asyncio.to_thread(self._check_disk)
                next_count = time.monotonic() + max(_COUNT_EVERY_S, (time.monotonic() - began) * _COUNT_SHARE)
            await asyncio.sleep(_EVERY_S)

    def _check_processes(self) -> None:
        with contextlib.suppress(OSError):
            id = self._id_file.read_text().strip()
            pids = self._cgroup.pressure(id).pids
            self._full = self._full + 1 if pids >= self._settings.build_pids * 0.97 else 0
            if id and self._cgroup.refused(id) >= _REFUSED:
                raise too_many_processes(self._settings.build_pids)
        if self._full >= _FULL:
            raise too_many_processes(self._settings.build_pids)

    async def _add_layer(self) -> None:
        """Count the container's own layer too."""
        if self._layer_of is not None:
            with contextlib.suppress(OSError):
                if layer := await self._layer_of(self._id_file.read_text().strip()):
                    self._folders.append(layer)
            self._layer_of = None

    def _check_disk(self) -> None:
        sizes = [usage(folder) for folder in self._folders if os.path.isdir(folder)]
        if sum(size for size, _ in sizes) > self._settings.build_disk_mib * MIB:
            raise BuildFailed(
                f"the build wrote more than {self._settings.build_disk_mib} MiB",
                hint="look for what it writes; LEEWARD_BUILD_DISK_MIB sets the bound",
                code="build-disk",
            )
        if sum(files for _, files in sizes) > _MOST_FILES:
            raise BuildFailed(
                f"the build made more than {_MOST_FILES:,} files",
                hint="look for a loop that makes files",
                code="build-disk",
            )
