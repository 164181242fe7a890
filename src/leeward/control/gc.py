"""Keep disk use within its budgets, and never take what a rollback needs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from leeward.model.event import Event
from leeward.model.release import Phase
from leeward.plan.images import spare
from leeward.ports import Registry, Stores, every_app

_MAKING = (Phase.BUILD, Phase.PUSH)
log = logging.getLogger(__name__)


class Collector:
    """Removes images, logs and sources that nothing needs any more."""

    def __init__(
        self,
        stores: Stores,
        registry: Registry,
        keep_releases: int,
        logs_bytes: int,
        sweep_sources: Callable[[], Awaitable[None]],
        images: asyncio.Lock,
        images_bytes: int,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._stores = stores
        self._registry = registry
        self._keep_releases = keep_releases
        self._logs_bytes = logs_bytes
        self._sweep_sources = sweep_sources
        self._images = images
        self._images_bytes = images_bytes
        self._warn = warn
        self._over = ""

    async def tick(self) -> None:
        """One pass over everything that grows."""
        freed = 0
        async with self._images:
            # An image that is built or pushed just now belongs to no release yet.
            if not any(deploy.phase in _MAKING for deploy in await self._stores.deploys.active()):
                freed += await self._registry.collect(await self._spared(await self.kept()))
        await self._stores.images.sweep(self._keep_releases)
        freed += await self._stores.logs.sweep(self._logs_bytes)
        await self._sweep_sources()
        if freed:
            log.info("freed %d MB", freed // 1_000_000)

    async def _spared(self, kept: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """What is kept, and of older images as many as there is room for; of a deleted app none."""
        held = [image for image in await self._registry.held() if image.app in kept]
        protected = frozenset(reference for references in kept.values() for reference in references)
        sparing = spare(held, protected, self._images_bytes)
        if sparing.over and not self._over:
            await self._stores.events.add(Event("images.over", sparing.over))
        self._over = sparing.over
        self._warn(sparing.over)
        for image in held:
            if image.reference in sparing.keep:
                kept[image.app] |= {image.reference}
        return kept

    async def kept(self) -> dict[str, frozenset[str]]:
        """The images that must stay: of the last releases, the live one, and those of deploys that run."""
        busy = {deploy.app for deploy in await self._stores.deploys.active()}
        kept: dict[str, frozenset[str]] = {}
        async for app in every_app(self._stores.apps):
            limit = self._keep_releases + (5 if app.name in busy else 0)
            releases = (await self._stores.releases.list(app.name, limit=limit)).items
            images = {release.image for release in releases}
            if app.live is not None:
                images.add((await self._stores.releases.get(app.name, app.live)).image)
            kept[app.name] = frozenset(images)
        return kept
