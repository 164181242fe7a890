"""What every use case works with, and the two things each one does: check the caller, note the event."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from leeward.errors import Conflict, Forbidden
from leeward.model.access import Caller, Scope
from leeward.model.event import Event
from leeward.model.wish import App
from leeward.ports import Clock, Edge, Engine, Gits, Places, Stores, Uploads
from leeward.services.ids import Ids
from leeward.services.seen import Seen
from leeward.settings import Settings

Poke = Callable[[str], None]
"""Wakes the loops: `app/<name>`, `deploy/<id>`, `events`."""


@dataclass(frozen=True, slots=True)
class Context:
    """The stores, the world, and who is told."""

    stores: Stores
    engine: Engine
    places: Places
    edge: Edge
    settings: Settings
    clock: Clock
    poke: Poke
    uploads: Uploads
    gits: Gits
    seen: Seen
    ids: Ids = field(default_factory=Ids)

    async def note(
        self, caller: Caller, kind: str, text: str, app: str = "", data: Mapping[str, str] | None = None
    ) -> None:
        """Write the audit event of a mutation."""
        token = {"token": caller.token} if caller.token else {}
        event = Event(kind, text, app=app, actor=caller.name, data={**token, **(data or {})}, at=self.clock.now())
        await self.stores.events.add(event)
        self.poke("events")

    async def standing(self, name: str) -> App:
        """An app that is not being deleted. Raises NotFound, Conflict."""
        return standing(await self.stores.apps.get(name))


def standing(app: App) -> App:
    """The app itself. Raises Conflict when it is being deleted."""
    if app.deleted:
        raise Conflict(
            f"app '{app.name}' is being deleted", hint="wait until it is gone, or choose another name", code="deleting"
        )
    return app


def require(caller: Caller, scope: Scope) -> None:
    """Raises Forbidden when the caller may not do what needs `scope`."""
    if not caller.scope.covers(scope):
        raise Forbidden(
            f"'{caller.name}' has the scope '{caller.scope}', and this needs '{scope}'",
            hint=f"use a token with the scope '{scope}'",
            code="scope-too-small",
        )
