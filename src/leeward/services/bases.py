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

# A release that came from a release that came from …: a rebase of a rebase.
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class BaseView:
    """A base that live releases stand on or were built in; `behind` names the apps on an older content of it."""

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


@dataclass(frozen=True, slots=True)
class RebuildView:
    """What a rebuild does with one app: the deploy that does it, or why there is none."""

    app: str
    release: str
    bases: Sequence[str]
    """The bases that the live release was built in."""
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
                for flavour in (each.base.flavour, *each.base.built_in):
                    standing.setdefault(flavour, []).append(each)
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

    async def rebuild(self, caller: Caller, app: str = "", *, dry_run: bool = False) -> Sequence[RebuildView]:
        """Queue a build of the same code for each app (or for one) that was built in bases of which there is a newer.

        What a compiler puts into a program is no layer of the base: only a build brings it. Raises NotFound.
        """
        require(caller, Scope.ADMIN if not app else Scope.DEPLOY)
        states = await self._stores.images.bases()
        found = []
        for standing in await self._wanted(app):
            view = _outdated(standing, states)
            source = await self._source(standing) if view.fits else None
            if view.fits and source is None:
                view = replace(view, why="its source is not known any more: deploy it again", fits=False)
            if source is not None and not dry_run:
                message = f"rebuilt in the newest {' and '.join(view.bases)}"
                carry = {"bases": "newest"}
                made = await self._deploys.queue(caller, standing.app, DeployKind.CODE, source, message, carry)
                view = replace(view, deploy=made.id)
            found.append(view)
        return tuple(found)

    async def _source(self, standing: Standing) -> SourceRef | None:
        """What the live release was built from, at its commit; None for what was never built here."""
        release = await self._stores.releases.get(standing.app, standing.number)
        for _ in range(_MOST_STEPS):
            if not release.deploy:
                return None
            try:
                source = (await self._stores.deploys.get(release.deploy)).source
                if source.kind is not SourceKind.NONE:
                    built = source.kind is not SourceKind.IMAGE
                    return replace(source, commit=release.commit or source.commit) if built else None
                release = await self._stores.releases.get(standing.app, source.release)
            except NotFound:
                return None
        return None

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
    stands = {each.app: _content(each.base, state.flavour) for each in standing if each.base}
    behind = [app for app, content in stands.items() if state.content and content != state.content]
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


def _content(base: BaseMark, flavour: str) -> str:
    """The content of this flavour that an image stands on, or was built in."""
    return base.content if base.flavour == flavour else base.built_in.get(flavour, "")


def _outdated(standing: Standing, states: Mapping[str, BaseState]) -> RebuildView:
    base, release = standing.base, f"v{standing.number}"
    if base is None or not base.built_in:
        why = "its image was built in no base of the platform, or before that was noted"
        return RebuildView(standing.app, release, (), why, fits=False)
    bases = tuple(sorted(base.built_in))
    said = [_newer(flavour, base.built_in[flavour], states.get(flavour) or BaseState(flavour)) for flavour in bases]
    if reasons := [reason for reason in said if reason]:
        return RebuildView(standing.app, release, bases, "; ".join(reasons), fits=True)
    checked = all((states.get(flavour) or BaseState(flavour)).checked_at for flavour in bases)
    why = "nothing is newer" if checked else "nobody looked for newer packages yet: `lee bases check`"
    return RebuildView(standing.app, release, bases, why, fits=False)


def _newer(flavour: str, content: str, state: BaseState) -> str:
    """What is newer in a base than in the content that an image was built in; '' when nothing is."""
    if state.newer:
        security = sum(upgrade.security for upgrade in state.newer)
        return f"{flavour}: {len(state.newer)} packages are newer, {security} of them for security"
    return f"{flavour}: built in {content}, new builds in {state.content}" if state.content not in ("", content) else ""


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
