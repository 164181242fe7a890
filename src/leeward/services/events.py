"""What happened: the audit log."""

from leeward.model.event import Event
from leeward.ports import Page
from leeward.services.context import Context


class Events:
    """Events; they stay when their app is gone."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, app: str = "", before: int = 0, limit: int = 50) -> Page[Event]:
        """Newest first, below the id `before`; of one app, else of all."""
        return await self._context.stores.events.list(app, before, limit)
