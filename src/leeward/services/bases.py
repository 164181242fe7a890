"""Base images: what apps stand on, what is newer, and how they come to stand on that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from leeward.errors import Conflict, NotFound
from leeward.model.access import Caller, Scope
from leeward.model.image import BaseMark, BaseState, Standing, Upgrade
from leeward.model.release import Deploy, DeployKind, Release, SourceKind, SourceRef
from leeward.plan.rebase import unfit
from leeward.services.context import Context, require
from leeward.services.deploys import Deploys


@dataclass(frozen=True, slots=True)
class BaseView:
    """A base that live releases stand on; `behind` names the apps on an older content of it."""

    flavour: str
    content: str
    former: str
    apps: int
    behind: Sequence[str]
    newer: Sequence[Upgrade]
    checked_at: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class RebaseView:
    """What a rebase does with one app: the deploy that does it, or why there is none."""

    app: str
    release: str
    flavour: str
    why: str
    """What is newer, or why the app is left as it is."""
    fits: bool
    deploy: str = ""


class Bases:
    """The bases in use."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._stores = context.stores
        self._deploys = deploys

    async def list(self) -> Sequence[BaseView]:
        """Every base that a live release stands on, by flavour."""
        states = await self._stores.images.bases()
        standing: dict[str, list[Standing]] = {}
        for each in await self._stores.images.live():
            if each.base is not None:
                standing.setdefault(each.base.flavour, []).append(each)
        return tuple(
            _view(states.get(flavour) or BaseState(flavour), standing[flavour]) for flavour in sorted(standing)
        )

    async def check(self, caller: Caller) -> Sequence[BaseView]:
        """Let the loop look now for newer packages of every base in use; the bases as they are."""
        require(caller, Scope.DEPLOY)
        states = await self._stores.images.bases()
        found = await self.list()
        for base in found:
            state = states.get(base.flavour) or BaseState(base.flavour)
            await self._stores.images.put_base(replace(state, checked_at=None))
        self._context.poke("bases")
        return found

    async def rebase(self, caller: Caller, app: str = "", *, dry_run: bool = False) -> Sequence[RebaseView]:
        """Queue a deploy for each app (or for one) that puts its live release on the newest base, without a build.

        Only apps whose base has newer packages, or is older than the one that new builds get. Raises NotFound.
        """
        require(caller, Scope.ADMIN if not app else Scope.DEPLOY)
        states = await self._stores.images.bases()
        found = []
        for standing in await self._wanted(app):
            view = _judge(standing, states)
            if view.fits and not dry_run:
                source = SourceRef(SourceKind.NONE, release=standing.number)
                message = f"rebase onto the newest {view.flavour}"
                made = await self._deploys.queue(caller, standing.app, DeployKind.REBASE, source, message)
                view = replace(view, deploy=made.id)
            found.append(view)
        return tuple(found)

    async def undo(self, caller: Caller, app: str = "") -> Sequence[Deploy]:
        """Queue a rollback for each app (or for one) whose live release a rebase made; new builds get the base before.

        Raises NotFound, Conflict when there is nothing to undo.
        """
        require(caller, Scope.ADMIN if not app else Scope.DEPLOY)
        queued: list[Deploy] = []
        flavours: set[str] = set()
        for standing in await self._wanted(app):
            release = await self._stores.releases.get(standing.app, standing.number)
            before = await self._before(release)
            if before is None:
                continue
            queued.append(await self._deploys.rollback(caller, standing.app, before))
            flavours |= {standing.base.flavour} if standing.base else set()
        if not queued:
            whose = f"the live release of '{app}'" if app else "no live release"
            said = f"{whose} was not made by a rebase" if app else f"{whose} was made by a rebase"
            raise Conflict(said, hint="`lee rollback` goes back to any release", code="nothing-rebased")
        if not app:
            await self._back(flavours)
        return tuple(queued)

    async def _wanted(self, app: str) -> Sequence[Standing]:
        found = await self._stores.images.live()
        if not app:
            return found
        wish = await self._stores.apps.get(app)
        if wish.live is None:
            raise Conflict(f"app '{app}' has no release yet", hint="deploy it first", code="nothing-live")
        return [standing for standing in found if standing.app == app]

    async def _before(self, release: Release) -> int | None:
        """The release that a rebase began with, None when this one was made otherwise."""
        if not release.deploy:
            return None
        try:
            deploy = await self._stores.deploys.get(release.deploy)
        except NotFound:
            return None
        return deploy.source.release if deploy.kind is DeployKind.REBASE else None

    async def _back(self, flavours: set[str]) -> None:
        """Wish for the content before; the loop points to it."""
        states = await self._stores.images.bases()
        for flavour in sorted(flavours):
            state = states.get(flavour)
            if state is not None and state.former:
                await self._stores.images.put_base(
                    replace(state, content=state.former, former=state.content, checked_at=None)
                )
        self._context.poke("bases")


def _view(state: BaseState, standing: Sequence[Standing]) -> BaseView:
    behind = [each.app for each in standing if each.base and state.content and each.base.content != state.content]
    return BaseView(
        state.flavour,
        state.content,
        state.former,
        len(standing),
        tuple(behind),
        state.newer,
        state.checked_at,
        state.problem,
    )


def _judge(standing: Standing, states: Mapping[str, BaseState]) -> RebaseView:
    base, release = standing.base, f"v{standing.number}"
    reason = unfit(base, base or BaseMark(""))
    if base is None or reason:
        return RebaseView(standing.app, release, base.flavour if base else "", reason, fits=False)
    state = states.get(base.flavour) or BaseState(base.flavour)
    if state.newer:
        security = sum(upgrade.security for upgrade in state.newer)
        said = f"{len(state.newer)} packages are newer, {security} of them for security"
        return RebaseView(standing.app, release, base.flavour, said, fits=True)
    if state.content and state.content != base.content:
        said = f"stands on {base.content}, new builds on {state.content}"
        return RebaseView(standing.app, release, base.flavour, said, fits=True)
    why = "nothing is newer" if state.checked_at else "nobody looked for newer packages yet: `lee bases check`"
    return RebaseView(standing.app, release, base.flavour, why, fits=False)
