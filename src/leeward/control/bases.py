"""Know what the images of apps stand on, and put them on newer bases."""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from leeward.control.loop import named
from leeward.errors import LeewardError, RolloutFailed, StepFailed
from leeward.model.event import Event
from leeward.model.image import Base, BaseMark, BaseState, Upgrade
from leeward.model.release import Deploy, Release
from leeward.plan.rebase import flavours, unfit
from leeward.ports import BaseImages, Clock, Registry, Say, Stores

log = logging.getLogger(__name__)
CHECK_EVERY = timedelta(hours=23)
# An event names so many packages; `lee bases list` has them all.
_NAMED = 3


class Bases:
    """Notes what each release is made of, looks once a day for newer packages, and rebases."""

    def __init__(
        self, stores: Stores, registry: Registry, images: BaseImages, clock: Clock, *, checks: bool = True
    ) -> None:
        self._stores = stores
        self._registry = registry
        self._images = images
        self._clock = clock
        self._checks = checks
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._found: dict[str, tuple[datetime, Base]] = {}

    async def tick(self) -> None:
        """Look into images that nobody looked into, and into the mirrors once a day."""
        used: set[str] = set()
        for standing in await self._stores.images.live():
            base = standing.base
            if base is None:
                release = await self._stores.releases.get(standing.app, standing.number)
                if await self._stores.images.facts(release.app, release.number, release.image) is None:
                    await self.note(release, lambda line: None)
            elif base.content:
                used |= {base.flavour, *base.built_in}
        known = await self._stores.images.bases()
        for flavour in sorted(used):
            await self._settle(known.get(flavour) or BaseState(flavour))
            if self._checks:
                await self._check(known.get(flavour) or BaseState(flavour))

    async def note(self, release: Release, say: Say) -> None:
        """Keep what a release's image is made of; a failure is said, and costs only the list."""
        try:
            await named(self._note(release), "the list of packages")
        except LeewardError as error:
            say(f"note: there is no list of the packages in {release.version}: {error.message}")

    async def prepare(self, deploy: Deploy, say: Say) -> Deploy:
        """Have the newest base of the live release's flavour. Raises StepFailed when there is none."""
        live = await self._live(deploy)
        old = await self._standing(live)
        base = await self._fresh(old.flavour, deploy.created_at, say) if old else Base(BaseMark(""), "")
        if reason := unfit(old, base.mark):
            raise StepFailed(f"app '{deploy.app}' cannot be rebased: {reason}", hint="deploy it again")
        if old and old.content == base.mark.content:
            raise StepFailed(f"app '{deploy.app}' has the newest '{old.flavour}' already", code="nothing-newer")
        carry = {**deploy.carry, "base": base.image, "onto": json.dumps(asdict(base.mark))}
        return replace(deploy, carry=carry)

    async def renew(self, images: Iterable[str], deploy: Deploy, say: Say) -> None:
        """Have the newest content of all these bases, for a build that was asked for because of them."""
        for flavour in flavours(images):
            await self._fresh(flavour, deploy.created_at, say)

    async def rebase(self, deploy: Deploy, say: Say) -> Deploy:
        """Make the release that differs from the live one in its base only. Raises PushFailed."""
        live = await self._live(deploy)
        newest = next(iter((await self._stores.releases.list(deploy.app, limit=1)).items), live)
        # A rebase that is done again finds the release that it made before.
        number = newest.number + (newest.deploy != deploy.id)
        onto = BaseMark(**json.loads(deploy.carry["onto"]))
        image = await self._registry.rebase(live.image, deploy.app, f"v{number}", deploy.carry["base"], onto)
        say(f"rebased {live.version} onto {onto.flavour} {onto.content}: {image}")
        message = deploy.message or f"{live.version} on a newer {onto.flavour}"
        made = await self._stores.releases.add(
            replace(live, number=0, image=image, deploy=deploy.id, message=message, created_at=None)
        )
        await self.note(made, say)
        return replace(deploy, release=made.number, carry={**deploy.carry, "from": str(live.number)})

    async def _fresh(self, flavour: str, since: datetime | None, say: Say) -> Base:
        """The newest base; what was made or found after `since` is new enough, so many deploys look once."""
        async with self._turns[flavour]:
            now = self._clock.now()
            if (known := self._found.get(flavour)) and since and known[0] >= since:
                return known[1]
            base = await self._images.fresh(flavour, say)
            await self._point(base.mark)
            self._found[flavour] = (now, base)
            return base

    async def _settle(self, state: BaseState) -> None:
        """Let new builds get the content that is wished for; where that is gone, what is there is the wish."""
        async with self._turns[state.flavour]:
            try:
                mark = (await self._images.present(state.flavour)).mark
                if mark.content != state.content and not (
                    state.content and await self._images.point(state.flavour, state.content)
                ):
                    await self._point(mark)
            except LeewardError as error:
                log.warning("base %s: %s", state.flavour, error)

    async def _live(self, deploy: Deploy) -> Release:
        app = await self._stores.apps.get(deploy.app)
        if app.live is None:
            raise RolloutFailed(f"app '{app.name}' has no live release", hint="deploy it first")
        return await self._stores.releases.get(app.name, app.live)

    async def _standing(self, release: Release) -> BaseMark | None:
        facts = await self._stores.images.facts(release.app, release.number, release.image)
        return (facts or await self._registry.describe(release.image)).base

    async def _note(self, release: Release) -> None:
        facts = await self._registry.describe(release.image)
        found = await self._registry.contents(release.image, await self._stores.images.known(facts.layers))
        await self._stores.images.put(release.app, release.number, facts, found)

    async def _point(self, mark: BaseMark) -> None:
        """Remember the content that new builds get, and the one before it."""
        state = (await self._stores.images.bases()).get(mark.flavour) or BaseState(mark.flavour)
        if state.content != mark.content:
            changed = replace(state, content=mark.content, former=state.content, newer=())
            await self._stores.images.put_base(changed)

    async def _check(self, state: BaseState) -> None:
        now = self._clock.now()
        if state.checked_at is not None and now - state.checked_at < CHECK_EVERY:
            return
        try:
            newer = tuple(await self._images.newer(state.flavour))
        except LeewardError as error:
            log.warning("base %s: %s", state.flavour, error)
            await self._stores.images.put_base(replace(state, problem=error.message, checked_at=now))
            return
        known = (await self._stores.images.bases()).get(state.flavour) or state
        await self._stores.images.put_base(replace(known, newer=newer, problem="", checked_at=now))
        if newer and newer != state.newer:
            text = f"base '{state.flavour}': {sentence(newer)}"
            data = {"flavour": state.flavour, "packages": str(len(newer))}
            await self._stores.events.add(Event("bases.newer", text, data=data, at=now))


def sentence(newer: Sequence[Upgrade]) -> str:
    """How many packages are newer, with the names of some: those of the security archive first."""
    if not newer:
        return "nothing is newer"
    ordered = sorted(newer, key=lambda upgrade: (not upgrade.security, upgrade.package))
    named = ", ".join(str(upgrade) for upgrade in ordered[:_NAMED])
    more = f", and {len(newer) - _NAMED} more" if len(newer) > _NAMED else ""
    return f"{len(newer)} package{'s are' if len(newer) > 1 else ' is'} newer: {named}{more}"
