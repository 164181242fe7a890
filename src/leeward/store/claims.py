"""Give each host name to one app, whoever asks, and however many at once."""

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.model.wish import App
from leeward.plan.domains import taken
from leeward.store import rows
from leeward.store.tables import apps, releases


async def refuse_taken(connection: AsyncConnection, before: App | None, after: App) -> None:
    """Raises Conflict when a change gives an app a host of another one.

    An app has what its wish names, what was added to it, and what its live release serves. The writer is alone, so
    that of two who ask at once the second sees the first.
    """
    had = {*before.spec.domains, *before.domains} if before else set()
    wanted = {*after.spec.domains, *after.domains} - had
    if after.live is not None and (before is None or after.live != before.live):
        wanted |= {*await _served(connection, after.name, after.live)}
    if not wanted:
        return
    live = (releases.c.app == apps.c.name) & (releases.c.number == apps.c.live)
    named = (column.like(f'%"{host}"%') for host in wanted for column in (apps.c.spec, apps.c.domains, releases.c.spec))
    query = (
        select(apps.c.name, apps.c.spec, apps.c.domains, releases.c.spec.label("served"))
        .outerjoin(releases, live)
        .where(apps.c.name != after.name, or_(*named))
        .order_by(apps.c.name)
    )
    for row in await connection.execute(query):
        served = rows.spec(row.served).domains if row.served else ()
        theirs = (*rows.spec(row.spec).domains, *rows.texts(row.domains), *served)
        if (problem := taken(after.name, sorted(wanted), row.name, theirs)) is not None:
            raise problem


async def _served(connection: AsyncConnection, app: str, number: int) -> tuple[str, ...]:
    query = select(releases.c.spec).where(releases.c.app == app, releases.c.number == number)
    text = (await connection.execute(query)).scalar()
    return rows.spec(text).domains if text else ()
