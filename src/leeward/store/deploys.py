"""Keep deploys: a queue with one running deploy for each app, leases and fencing.

    create ─► queued ─claim─► running ─save─► live | failed | cancelled
                 │               ▲ │
                 │               └─┘ claim again, by another owner, once the lease ran out
                 ├─ a newer one of the same kind ─► superseded
                 └─ cancel ─► cancelled

Every write of a running deploy names its owner; a write of one who lost the lease changes nothing.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, and_, bindparam, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.errors import Conflict, NotFound
from leeward.model.release import PHASES, Deploy, DeployStatus, Receipt, Step
from leeward.ports import Clock, Notices, Page
from leeward.store.addresses import opened, sealed
from leeward.store.apps import MOST, no_such_app
from leeward.store.database import Database, to_the_end
from leeward.store.rows import clean, deploy_of, deploy_row, progress_row, receipt_text, seconds, step_of
from leeward.store.tables import apps, deploys, steps
from leeward.store.vault import Vault

QUEUED, RUNNING = DeployStatus.QUEUED.value, DeployStatus.RUNNING.value


class SqlDeployStore:
    """The queue. Publishes `deploy/<id>` when a deploy changed."""

    def __init__(self, database: Database, vault: Vault, notices: Notices, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._notices = notices
        self._clock = clock

    @to_the_end
    async def create(self, deploy: Deploy) -> Deploy:
        """Queue it. A queued (not running) older deploy of the same app and kind becomes SUPERSEDED."""
        now = self._clock.now()
        queued = replace(deploy, status=DeployStatus.QUEUED, created_at=deploy.created_at or now, cancel=False)
        older = (deploys.c.app == deploy.app, deploys.c.kind == deploy.kind.value, deploys.c.status == QUEUED)
        supersede = (
            update(deploys)
            .where(*older)
            .values(status=DeployStatus.SUPERSEDED.value, ended_at=seconds(now))
            .returning(deploys.c.id)
        )
        try:
            async with self._database.write() as connection:
                owned = select(apps.c.project).where(apps.c.name == deploy.app)
                if (project := (await connection.execute(owned)).scalar()) is None:
                    raise await no_such_app(connection, deploy.app)
                superseded = list((await connection.execute(supersede)).scalars())
                owner, at = ("deploy", deploy.id), now.timestamp()
                source = await sealed(connection, self._vault, project, at, owner, deploy.source)
                await connection.execute(insert(deploys).values(**deploy_row(queued, source)))
        except IntegrityError as error:
            raise Conflict(f"a deploy '{deploy.id}' already exists", hint="give each deploy a new id") from error
        self._publish(*superseded, deploy.id)
        return replace(queued, steps=())

    async def get(self, id: str) -> Deploy:
        """With its steps. Raises NotFound."""
        async with self._database.read() as connection:
            return await self._get(connection, id)

    async def list(self, app: str = "", before: str = "", limit: int = 50) -> Page[Deploy]:
        """Newest first (of all apps when `app` is '')."""
        limit = max(1, min(limit, MOST))
        query = select(deploys).order_by(deploys.c.seq.desc()).limit(limit + 1)
        if app:
            query = query.where(deploys.c.app == app)
        if before:
            place = select(deploys.c.seq).where(deploys.c.id == before).scalar_subquery()
            query = query.where(deploys.c.seq < place)
        async with self._database.read() as connection:
            found = await self._all(connection, query)
        return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else "")

    @to_the_end
    async def claim(self, owner: str, now: datetime, lease_s: float) -> Deploy | None:
        """Take the oldest deploy that is queued, or running with a lease that ran out, of an app with no other one
        running; it is RUNNING then. At most one running for each app, by a partial unique index."""
        try:
            async with self._database.write() as connection:
                begin = now.timestamp()
                taken = {"claimed_by": owner, "claimed_at": begin, "claimed_until": begin + lease_s}
                row = (await connection.execute(claim_statement(), taken)).first()
                if row is None:
                    return None
                claimed = (await self._with_steps(connection, [row]))[0]
        except IntegrityError:
            # PostgreSQL only: another owner took a deploy of the same app at the same moment.
            return None
        self._publish(claimed.id)
        return claimed

    async def renew(self, id: str, owner: str, now: datetime, lease_s: float) -> bool:
        """Heartbeat; False when the lease is another's now (stop at once)."""
        mine = (deploys.c.id == id, deploys.c.owner == owner, deploys.c.status == RUNNING)
        return await self._write(update(deploys).where(*mine).values(lease_until=now.timestamp() + lease_s)) == 1

    async def release_leases(self, owner: str) -> None:
        """Let go of everything that is not `owner`'s: the daemon says so at its start, holding the home's lock."""
        others = (deploys.c.status == RUNNING, deploys.c.owner != owner)
        await self._write(update(deploys).where(*others).values(owner="", lease_until=0.0))

    async def save(self, deploy: Deploy, owner: str) -> None:
        """Write phase, carry, release, commit, message, status, error, receipt, ended_at; fenced by `owner`.
        Raises Conflict when the lease is another's, or the deploy is gone with its app."""
        values = progress_row(deploy)
        if deploy.status is DeployStatus.QUEUED:
            values |= {"owner": "", "lease_until": 0.0}
        # A final status may be written once more, and never changed.
        unchanged = deploys.c.status == deploy.status.value
        fence = (deploys.c.id == deploy.id, deploys.c.owner == owner, or_(deploys.c.status == RUNNING, unchanged))
        if await self._write(update(deploys).where(*fence).values(**values)) == 0:
            async with self._database.read() as connection:
                found = await self._all(connection, select(deploys).where(deploys.c.id == deploy.id))
            state = found[0].status.value if found else "gone with its app"
            raise Conflict(
                f"deploy '{deploy.id}' is {state}, and not in the hands of '{owner}'",
                hint="stop working on it",
                code="lease-lost",
            )
        self._publish(deploy.id)

    @to_the_end
    async def step(self, id: str, step: Step) -> None:
        """Put one line of the timeline (by phase). Raises NotFound."""
        values = {
            "started_at": seconds(step.started_at),
            "ended_at": seconds(step.ended_at),
            "detail": clean(step.detail),
        }
        line = (steps.c.deploy == id, steps.c.phase == step.phase.value)
        try:
            async with self._database.write() as connection:
                if (await connection.execute(update(steps).where(*line).values(**values))).rowcount == 0:
                    await connection.execute(insert(steps).values(deploy=id, phase=step.phase.value, **values))
        except IntegrityError as error:
            raise _not_found(id) from error
        self._publish(id)

    @to_the_end
    async def cancel(self, id: str) -> Deploy:
        """Ask for the end: a queued deploy is CANCELLED at once, a running one gets `cancel`. Raises NotFound,
        Conflict when it is final."""
        async with self._database.write() as connection:
            stored = await self._get(connection, id)
            if stored.status.final:
                raise Conflict(
                    f"deploy '{id}' is {stored.status.value} already",
                    hint=f"'lee rollback {stored.app}' brings the release before it back",
                    code="deploy-final",
                )
            wished = replace(stored, cancel=True)
            if stored.status is DeployStatus.QUEUED:
                wished = replace(wished, status=DeployStatus.CANCELLED, ended_at=self._clock.now())
            values = {"cancel": True, "status": wished.status.value, "ended_at": seconds(wished.ended_at)}
            await connection.execute(update(deploys).where(deploys.c.id == id).values(**values))
        self._publish(id)
        return wished

    async def set_receipt(self, id: str, receipt: Receipt) -> None:
        """Write the receipt of a final deploy (the drain ends after it is live). Raises NotFound."""
        change = update(deploys).where(deploys.c.id == id).values(receipt=receipt_text(receipt))
        if await self._write(change) == 0:
            raise _not_found(id)
        self._publish(id)

    async def active(self) -> Sequence[Deploy]:
        """All that are queued or running, oldest first."""
        query = select(deploys).where(deploys.c.status.in_((QUEUED, RUNNING))).order_by(deploys.c.seq)
        async with self._database.read() as connection:
            return await self._all(connection, query)

    @to_the_end
    async def _write(self, statement: Update) -> int:
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount

    async def _get(self, connection: AsyncConnection, id: str) -> Deploy:
        found = await self._all(connection, select(deploys).where(deploys.c.id == id))
        if not found:
            raise _not_found(id)
        return found[0]

    async def _all(self, connection: AsyncConnection, query: Select[Any]) -> Sequence[Deploy]:
        return await self._with_steps(connection, (await connection.execute(query)).all())

    async def _with_steps(self, connection: AsyncConnection, rows: Sequence[Any]) -> Sequence[Deploy]:
        timelines: dict[str, list[Step]] = defaultdict(list)
        if rows:
            query = select(steps).where(steps.c.deploy.in_([row.id for row in rows]))
            for row in await connection.execute(query):
                timelines[row.deploy].append(step_of(row))
        return [
            deploy_of(
                row,
                opened(self._vault, ("deploy", row.id), row.source),
                tuple(sorted(timelines[row.id], key=lambda step: PHASES.index(step.phase))),
            )
            for row in rows
        ]

    def _publish(self, *ids: str) -> None:
        for id in ids:
            self._notices.publish(f"deploy/{id}")


@functools.cache
def claim_statement() -> Any:
    """Find and take in one statement, so that no two owners take the same deploy; made once, as it runs all day."""
    mine, other = deploys.alias("mine"), deploys.alias("other")
    alone: ColumnElement[bool] = ~exists().where(other.c.app == mine.c.app, other.c.status == RUNNING)
    waiting = and_(mine.c.status == QUEUED, alone)
    abandoned = and_(mine.c.status == RUNNING, mine.c.lease_until <= bindparam("claimed_at"))
    oldest = (
        select(mine.c.seq)
        .where(or_(waiting, abandoned))
        .order_by(mine.c.seq)
        .limit(1)
        .with_for_update(skip_locked=True, of=mine)
        .scalar_subquery()
    )
    return (
        update(deploys)
        .where(deploys.c.seq == oldest)
        .values(status=RUNNING, owner=bindparam("claimed_by"), lease_until=bindparam("claimed_until"))
        .returning(deploys)
    )


def _not_found(id: str) -> NotFound:
    return NotFound(
        f"there is no deploy '{id}'", hint="'lee apps show APP' names the last one", code="deploy-not-found"
    )
