"""The host names of an app."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from leeward.errors import Invalid, NotFound, Problem
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.wish import App
from leeward.services.context import Context, require, standing
from leeward.services.hosts import refuse_taken
from leeward.services.views import DomainView, hosts

DOMAINS_MAX = 100


class Domains:
    """Host names that are added to an app beside its own and its manifest's."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stores = context.stores
        # One at a time, so that two apps cannot take the same name at once.
        self._one = asyncio.Lock()

    async def list(self, app: str) -> Sequence[DomainView]:
        """The platform's first, then the manifest's, then those that were added. Raises NotFound."""
        wish = await self._stores.apps.get(app)
        return await self._views(wish)

    async def _views(self, wish: App) -> Sequence[DomainView]:
        release = await self._stores.releases.get(wish.name, wish.live) if wish.live is not None else None
        return hosts(wish, release, self._context.settings)

    async def add(self, caller: Caller, app: str, host: str) -> DomainView:
        """Serve the app at a host name too; may be asked again. Raises Invalid, NotFound, Conflict when it is taken."""
        require(caller, Scope.DEPLOY)
        host = _host(host)
        async with self._one:
            wish = await self._context.standing(app)
            views = {view.host: view for view in await self._views(wish)}
            if host in views:
                return views[host]
            if len(wish.domains) >= DOMAINS_MAX:
                raise Invalid([Problem("host", f"an app has at most {DOMAINS_MAX} domains")])
            await refuse_taken(self._context, app, (host,))
            wish = await self._stores.apps.update(app, lambda old: replace(standing(old), domains=(*old.domains, host)))
        await self._context.note(caller, "domain.added", f"domain '{host}' added to '{app}'", app)
        self._context.poke(f"app/{app}")
        return next(view for view in await self._views(wish) if view.host == host)

    async def remove(self, caller: Caller, app: str, host: str) -> None:
        """Stop serving the app at a host name that was added. Raises NotFound, Invalid when it is not removable."""
        require(caller, Scope.DEPLOY)
        host = host.lower().rstrip(".")
        views = {view.host: view for view in await self.list(app)}
        if host not in views:
            known = ", ".join(view for view in views)
            raise NotFound(f"app '{app}' has no domain '{host}'", hint=f"it has {known}")
        if views[host].origin != "added":
            where = "leeward.yaml" if views[host].origin == "manifest" else "the platform"
            raise Invalid([Problem("host", f"'{host}' comes from {where}, and cannot be removed here")])
        await self._stores.apps.update(
            app, lambda old: replace(old, domains=tuple(name for name in old.domains if name != host))
        )
        await self._context.note(caller, "domain.removed", f"domain '{host}' removed from '{app}'", app)
        self._context.poke(f"app/{app}")


def _host(text: str) -> str:
    """The host name as we keep it. Raises Invalid."""
    try:
        return parse.spec({"domains": [text]}).domains[0]
    except Invalid as error:
        raise Invalid([Problem("host", problem.message, problem.hint) for problem in error.problems]) from error
