"""How the platform itself is."""

import asyncio
import shutil
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import psutil

from leeward.errors import LeewardError
from leeward.model.sizes import SIZES
from leeward.ports import every_app
from leeward.services.context import Context

PART_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the platform: whether it answers, else why not."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PlatformView:
    """The platform at a glance; bytes are bytes."""

    version: str
    domain: str
    console: str
    apps: int
    instances: int
    deploys_active: int
    disk_total: int
    disk_free: int
    memory_total: int
    memory_available: int
    cpus: int
    parts: Sequence[Part]
    warnings: Sequence[str] = ()
    """What needs the operator, in one sentence each."""


@dataclass(frozen=True, slots=True)
class SizeView:
    """A size, its limits and its price."""

    name: str
    millicpu: int
    memory_mib: int
    usd_per_month: float


class Platform:
    """Counts and health of the whole installation."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def status(self) -> PlatformView:
        """Version, counts, disk, memory, and the health of each part; answers even when parts do not."""
        context = self._context
        parts = await asyncio.gather(
            _part("engine", context.engine.apps()), _part("edge", context.edge.peers("console"))
        )
        disk = shutil.disk_usage(context.settings.home)
        memory = psutil.virtual_memory()
        return PlatformView(
            version=version(),
            domain=context.settings.domain,
            console=context.settings.console_url,
            apps=len([app.name async for app in every_app(context.stores.apps)]),
            instances=sum(len(seen.instances) for seen in context.seen.all().values()),
            deploys_active=len(await context.stores.deploys.active()),
            disk_total=disk.total,
            disk_free=disk.free,
            memory_total=memory.total,
            memory_available=memory.available,
            cpus=psutil.cpu_count() or 1,
            parts=(Part("store", True, ""), *parts),
            warnings=context.seen.warnings(),
        )

    def sizes(self) -> Sequence[SizeView]:
        """The sizes that an instance can have."""
        return tuple(
            SizeView(size.value, limits.millicpu, limits.memory_mib, limits.usd_per_month)
            for size, limits in SIZES.items()
        )


async def _part(name: str, question: Awaitable[object]) -> Part:
    try:
        await asyncio.wait_for(question, PART_TIMEOUT_S)
    except TimeoutError:
        return Part(name, False, f"no answer within {PART_TIMEOUT_S:g} s")
    except LeewardError as error:
        return Part(name, False, error.message)
    return Part(name, True, "")


def version() -> str:
    """Of this installation."""
    try:
        return installed("leeward")
    except PackageNotFoundError:
        return "0"
