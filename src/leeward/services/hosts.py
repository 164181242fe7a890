"""Who a host name belongs to."""

from collections.abc import AsyncIterator, Sequence

from leeward.model.wish import App
from leeward.plan.domains import platforms_own, taken
from leeward.services.context import Context


async def every_app(context: Context) -> AsyncIterator[App]:
    """All apps, also those being deleted."""
    after = ""
    while True:
        page = await context.stores.apps.list(after, limit=500, deleted=True)
        for app in page.items:
            yield app
        if not page.next:
            return
        after = page.next


async def refuse_taken(context: Context, app: str, hosts: Sequence[str]) -> None:
    """Raises Conflict when a host is another app's, or lies below the platform's own domain."""
    if not hosts:
        return
    problem = platforms_own(app, hosts, context.settings.domain)
    if problem is None:
        problem = taken(app, hosts, [other async for other in every_app(context)])
    if problem is not None:
        raise problem
