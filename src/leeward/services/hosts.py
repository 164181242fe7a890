"""Who a host name belongs to."""

from collections.abc import AsyncIterator, Sequence

from leeward.errors import Conflict
from leeward.model.wish import App
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
    domain = context.settings.domain
    for host in hosts:
        if host != f"{app}.{domain}" and (host == domain or host.endswith(f".{domain}")):
            raise Conflict(
                f"domain '{host}' belongs to the platform", hint=f"'{app}' has '{app}.{domain}' already", code="taken"
            )
    async for other in every_app(context):
        both = set(hosts) & {*other.spec.domains, *other.domains}
        if other.name != app and both:
            raise Conflict(
                f"domain '{min(both)}' belongs to app '{other.name}'",
                hint=f"remove it there first: `lee domains remove {other.name} {min(both)}`",
                code="taken",
            )
