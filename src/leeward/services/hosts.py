"""Who a host name belongs to."""

from collections.abc import Sequence

from leeward.plan.domains import refused
from leeward.ports import every_app
from leeward.services.context import Context


async def refuse_taken(context: Context, app: str, hosts: Sequence[str]) -> None:
    """Raises Conflict when a host is another app's, or lies below the platform's own domain."""
    if not hosts:
        return
    others = [other async for other in every_app(context.stores.apps)]
    if (problem := refused(app, hosts, context.settings.domain, others)) is not None:
        raise problem
