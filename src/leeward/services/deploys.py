"""Deploys: make something live, see how far it is, end it, go back."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from leeward.errors import Conflict, Invalid, NotFound, Problem
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.app import AppSpec
from leeward.model.release import Deploy, DeployKind, DeployStatus, Release, SourceKind, SourceRef
from leeward.model.wish import App
from leeward.ports import Page, every
from leeward.services.context import Context, require, standing
from leeward.services.hosts import refuse_taken
from leeward.services.references import checked
from leeward.services.views import DeployView, ReleaseView, deploy_view, release_view
from leeward.services.watching import changes

KEY_MAX = 200


class Deploys:
    """The queue of deploys and the releases that they made."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stores = context.stores
        self._once = asyncio.Lock()

    async def deploy(
        self,
        caller: Caller,
        app: str,
        source: SourceRef | None = None,
        spec: Mapping[str, Any] | AppSpec | None = None,
        message: str = "",
        idempotency_key: str = "",
    ) -> Deploy:
        """Queue a deploy of new code; the app is created when there is none.

        Without a source the app's last one is fetched again; without a spec the app's own is kept. The same
        `idempotency_key` of the same caller gives the deploy that it gave before. Raises Invalid, Conflict, Forbidden.
        """
        require(caller, Scope.DEPLOY)
        wished = spec if isinstance(spec, AppSpec) or spec is None else parse.spec(spec)
        if source is not None:
            source = checked(source)
        if not idempotency_key:
            return await self._deploy(caller, app, source, wished, message)
        async with self._once:
            return await self._deploy_once(caller, app, source, wished, message, idempotency_key)

    async def _deploy_once(
        self, caller: Caller, app: str, source: SourceRef | None, spec: AppSpec | None, message: str, key: str
    ) -> Deploy:
        if len(key) > KEY_MAX:
            raise Invalid([Problem("Idempotency-Key", f"is {len(key)} characters long, more than {KEY_MAX}")])
        slot, digest = f"deploy/{caller.name}/{key}", _digest(app, source, spec, message)
        known = await self._stores.access.recall(slot, self._context.clock.now())
        if known is not None and known[0] != digest:
            raise Conflict(
                f"the Idempotency-Key '{key}' was used for another request", hint="use a new key", code="key-reused"
            )
        if known is not None:
            return await self._stores.deploys.get(known[1])
        deploy = await self._deploy(caller, app, source, spec, message)
        await self._stores.access.remember(slot, digest, deploy.id, self._context.clock.now())
        return deploy

    async def _deploy(
        self, caller: Caller, name: str, source: SourceRef | None, spec: AppSpec | None, message: str
    ) -> Deploy:
        app = await self._stores.apps.find(name)
        if app is not None:
            standing(app)
        source = source or (app.source if app else None)
        if source is None or source.kind is SourceKind.NONE:
            raise Invalid(
                [Problem("source", f"app '{name}' has no source yet", "give one of 'git', 'upload' or 'image'")]
            )
        if spec is not None:
            await refuse_taken(self._context, name, spec.domains)
        if app is None and await self._created(caller, name, source, spec):
            return await self.queue(caller, name, DeployKind.CODE, source, message)
        await self._stores.apps.update(name, lambda old: _wish(standing(old), source, spec))
        return await self.queue(caller, name, DeployKind.CODE, source, message)

    async def _created(self, caller: Caller, name: str, source: SourceRef, spec: AppSpec | None) -> bool:
        """Whether we made the app; False when another request was first. Raises Invalid."""
        parse.spec({"name": name})
        try:
            await self._stores.apps.create(
                App(name, spec=spec or AppSpec(), source=followed(source), created_at=self._context.clock.now())
            )
        except Conflict as error:
            if error.code != "name-taken":
                raise
            return False
        await self._context.note(caller, "app.created", f"app '{name}' created", name)
        return True

    async def queue(
        self,
        caller: Caller,
        app: str,
        kind: DeployKind,
        source: SourceRef,
        message: str = "",
        carry: Mapping[str, str] | None = None,
    ) -> Deploy:
        """Queue a deploy of any kind and tell the loops. The caller's right was checked before."""
        now = self._context.clock.now()
        deploy = await self._stores.deploys.create(
            Deploy(
                id=self._context.ids.next(now),
                app=app,
                kind=kind,
                source=source,
                commit=source.commit,
                message=message.strip()[:500],
                actor=caller.name,
                created_at=now,
                carry=dict(carry or {}),
            )
        )
        await self._context.note(
            caller, "deploy.queued", f"{kind} deploy of '{app}' queued", app, {"deploy": deploy.id, "kind": kind.value}
        )
        self._context.poke(f"deploy/{deploy.id}")
        self._context.poke(f"app/{app}")
        return deploy

    async def renew(self, caller: Caller, app: App, kind: DeployKind, message: str) -> Deploy:
        """Queue a deploy that re-uses the image of the live release. Raises Conflict when nothing is live."""
        if app.live is None:
            raise Conflict(f"app '{app.name}' has no release yet", hint="deploy it first", code="nothing-live")
        return await self.queue(caller, app.name, kind, SourceRef(SourceKind.NONE, release=app.live), message)

    async def show(self, id: str) -> Deploy:
        """Raises NotFound."""
        return await self._stores.deploys.get(id)

    async def list(self, app: str = "", before: str = "", limit: int = 50) -> Page[Deploy]:
        """Newest first; of one app (which must exist), else of all."""
        if app:
            await self._stores.apps.get(app)
        return await self._stores.deploys.list(app, before, limit)

    async def view(self, deploy: Deploy) -> DeployView:
        """A deploy as it is shown, with the image of its release."""
        image = ""
        if deploy.release is not None:
            try:
                image = (await self._stores.releases.get(deploy.app, deploy.release)).image
            except NotFound:
                image = ""
        return deploy_view(deploy, self._context.settings, image)

    async def cancel(self, caller: Caller, id: str) -> Deploy:
        """Ask for the end of a deploy. Raises NotFound, Conflict when it has ended."""
        require(caller, Scope.DEPLOY)
        deploy = await self._stores.deploys.cancel(id)
        await self._context.note(
            caller, "deploy.cancel", f"cancelled a deploy of '{deploy.app}'", deploy.app, {"deploy": id}
        )
        self._context.poke(f"deploy/{id}")
        self._context.poke(f"app/{deploy.app}")
        return deploy

    async def rollback(self, caller: Caller, app: str, release: int | None = None) -> Deploy:
        """Make an earlier release live again, by default the one before. Raises NotFound, Conflict."""
        require(caller, Scope.DEPLOY)
        wish = await self._context.standing(app)
        if wish.live is None:
            raise Conflict(f"app '{app}' has no release yet", hint="deploy it first", code="nothing-live")
        target = await self._target(app, wish.live, release)
        if target.number == wish.live:
            raise Conflict(
                f"{target.version} of '{app}' is live already", hint=f"see the others with `lee releases {app}`"
            )
        await refuse_taken(self._context, app, target.spec.domains)
        source = SourceRef(SourceKind.NONE, release=target.number, commit=target.commit or "")
        return await self.queue(caller, app, DeployKind.ROLLBACK, source, f"back to {target.version}")

    async def _target(self, app: str, live: int, wanted: int | None) -> Release:
        if wanted is not None:
            return await self._stores.releases.get(app, wanted)
        async for deploy in every(lambda before: self._stores.deploys.list(app, before=before)):
            # A release that never was live is nothing to go back to.
            if deploy.status is DeployStatus.LIVE and deploy.release not in (None, live):
                return await self._stores.releases.get(app, deploy.release or 0)
        raise Conflict(f"app '{app}' was never live before v{live}", hint=f"see its releases with `lee releases {app}`")

    async def releases(self, app: str, before: int = 0, limit: int = 50) -> Page[ReleaseView]:
        """Newest first. Raises NotFound."""
        live = (await self._stores.apps.get(app)).live
        page = await self._stores.releases.list(app, before, limit)
        return Page(tuple(release_view(release, live) for release in page.items), page.next)

    async def watch(self, id: str) -> AsyncIterator[Deploy]:
        """The deploy now and at each change; ends after a final status. Raises NotFound."""
        last: Deploy | None = None
        async for _ in changes(self._stores.notices, f"deploy/{id}"):
            deploy = await self._stores.deploys.get(id)
            if deploy != last:
                yield deploy
            if deploy.status.final:
                return
            last = deploy


def _wish(app: App, source: SourceRef, spec: AppSpec | None) -> App:
    return replace(app, source=followed(source), spec=spec if spec is not None else app.spec)


def followed(source: SourceRef) -> SourceRef:
    """What a later deploy without a source fetches: the branch of today, not the commit that a push named."""
    return replace(source, commit="") if source.ref else source


def _digest(app: str, source: SourceRef | None, spec: AppSpec | None, message: str) -> str:
    request = {
        "app": app,
        "source": asdict(source) if source else None,
        "spec": spec.model_dump(mode="json") if spec else None,
        "message": message,
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
