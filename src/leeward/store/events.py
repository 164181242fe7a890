"""Keep what happened, up to a budget."""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.model.event import Event
from leeward.ports import Clock, Notices, Page
from leeward.store.apps import MOST
from leeward.store.database import Database, to_the_end
from leeward.store.rows import clean, dump, moment, seconds
from leeward.store.tables import events

ROWS = 100_000
BYTES = 32 * 1024 * 1024
TEXT_CHARS = 2000
VALUE_CHARS = 1000
VALUES = 32
# What a row takes beside its text.
ROW_BYTES = 100
# Budget checks cost a scan of the table's sizes: one in so many events.
EVERY = 512


class SqlEventStore:
    """Events; the oldest go when there are more than `rows` or `size_bytes`. Publishes `events`."""

    def __init__(
        self, database: Database, notices: Notices, clock: Clock, rows: int = ROWS, size_bytes: int = BYTES
    ) -> None:
        self._database = database
        self._notices = notices
        self._clock = clock
        self._rows = rows
        self._bytes = size_bytes

    @to_the_end
    async def add(self, event: Event) -> Event:
        """Keep an event; with its id. Texts longer than any reader wants are cut."""
        cut = replace(
            event,
            text=clean(event.text)[:TEXT_CHARS],
            data={key[:VALUE_CHARS]: value[:VALUE_CHARS] for key, value in list(event.data.items())[:VALUES]},
            at=event.at or self._clock.now(),
        )
        data = dump(dict(cut.data))
        values = {
            "at": seconds(cut.at),
            "app": cut.app,
            "actor": clean(cut.actor),
            "kind": cut.kind,
            "text": cut.text,
            "data": data,
            "size": len(cut.text.encode()) + len(data) + ROW_BYTES,
        }
        async with self._database.write() as connection:
            number = (await connection.execute(insert(events).values(**values).returning(events.c.id))).scalar_one()
            if number % min(EVERY, self._rows) == 0:
                await self._trim(connection)
        self._notices.publish("events")
        return replace(cut, id=number)

    async def list(self, app: str = "", before: int = 0, limit: int = 50) -> Page[Event]:
        """Newest first, below id `before`."""
        limit = max(1, min(limit, MOST))
        query = select(events).order_by(events.c.id.desc()).limit(limit + 1)
        if app:
            query = query.where(events.c.app == app)
        if before:
            query = query.where(events.c.id < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        more = len(rows) > limit
        return Page(tuple(_event(row) for row in rows[:limit]), str(rows[limit - 1].id) if more else "")

    async def _trim(self, connection: AsyncConnection) -> None:
        newest = events.c.id.desc()
        sums = select(
            events.c.id,
            func.sum(events.c.size).over(order_by=newest).label("size"),
            func.row_number().over(order_by=newest).label("row"),
        ).subquery()
        over = select(func.max(sums.c.id)).where((sums.c.size > self._bytes) | (sums.c.row > self._rows))
        await connection.execute(delete(events).where(events.c.id <= over.scalar_subquery()))


def _event(row: Any) -> Event:
    return Event(
        kind=row.kind,
        text=row.text,
        app=row.app,
        actor=row.actor,
        data=json.loads(row.data),
        at=moment(row.at),
        id=row.id,
    )
