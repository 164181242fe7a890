"""Keep what processes with a schedule did, up to a number for each."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select

from leeward.errors import NotFound
from leeward.model.run import Mark, Run, RunState, Trigger
from leeward.ports import Notices, Page
from leeward.store.apps import MOST, no_such_app
from leeward.store.database import Database, put, to_the_end
from leeward.store.rows import clean, dump, moment, seconds
from leeward.store.tables import apps, runs, schedules

_CHARS = 1000


class SqlRunStore:
    """Runs and marks. Publishes `app/<name>` when one of them changed."""

    def __init__(self, database: Database, notices: Notices) -> None:
        self._database = database
        self._notices = notices

    @to_the_end
    async def put(self, run: Run, keep: int) -> None:
        """Add a run, or change it; of its process only the last `keep` stay. One that ended stays as it is.

        Raises NotFound where the app is gone.
        """
        key = {"app": run.app, "id": run.id}
        where = (runs.c.app == run.app, runs.c.id == run.id)
        async with self._database.write() as connection:
            ended = (await connection.execute(select(runs.c.ended_at).where(*where))).scalar()
            if ended is not None:
                return
            if (await connection.execute(select(apps.c.name).where(apps.c.name == run.app))).first() is None:
                raise await no_such_app(connection, run.app)
            values = _row(run)
            # Somebody may have asked for its end since `run` was read.
            first = {} if run.cancel else {"cancel": values.pop("cancel")}
            await put(connection, runs, key, values, first)
            mine = (runs.c.app == run.app, runs.c.process == run.process)
            newest = select(runs.c.scheduled_at).where(*mine).order_by(runs.c.scheduled_at.desc())
            oldest = (await connection.execute(newest.offset(keep - 1).limit(1))).scalar()
            if oldest is not None:
                old = (*mine, runs.c.scheduled_at < oldest, runs.c.ended_at.is_not(None))
                await connection.execute(delete(runs).where(*old))
        self._notices.publish(f"app/{run.app}")

    @to_the_end
    async def cancel(self, app: str, id: str, why: str) -> Run:
        """Have a run end, for this reason; the first one stays. Raises NotFound."""
        async with self._database.write() as connection:
            run = await self._get(connection, app, id)
            if not run.cancel and not run.state.final:
                await put(connection, runs, {"app": app, "id": id}, {"cancel": clean(why)[:_CHARS]})
                run = await self._get(connection, app, id)
        self._notices.publish(f"app/{app}")
        return run

    async def get(self, app: str, id: str) -> Run:
        """Raises NotFound."""
        async with self._database.read() as connection:
            return await self._get(connection, app, id)

    async def list(self, app: str, process: str = "", before: float = 0.0, limit: int = 50) -> Page[Run]:
        """Newest first, those that were due before `before` (Unix seconds; 0: from the top)."""
        limit = max(1, min(limit, MOST))
        query = select(runs).where(runs.c.app == app).order_by(runs.c.scheduled_at.desc(), runs.c.id).limit(limit + 1)
        if process:
            query = query.where(runs.c.process == process)
        if before:
            query = query.where(runs.c.scheduled_at < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        more = len(rows) > limit
        return Page(tuple(_run(row) for row in rows[:limit]), repr(rows[limit - 1].scheduled_at) if more else "")

    async def known(self, app: str) -> Sequence[Run]:
        """All of one app."""
        async with self._database.read() as connection:
            return [_run(row) for row in await connection.execute(select(runs).where(runs.c.app == app))]

    async def going_on(self) -> frozenset[str]:
        """The apps of which a run has not ended."""
        query = select(runs.c.app).where(runs.c.ended_at.is_(None)).distinct()
        async with self._database.read() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def marks(self, app: str) -> Sequence[Mark]:
        """Since when each schedule of an app counts."""
        async with self._database.read() as connection:
            found = await connection.execute(select(schedules).where(schedules.c.app == app))
            return [Mark(row.app, row.process, row.text, datetime.fromtimestamp(row.since, UTC)) for row in found]

    @to_the_end
    async def put_mark(self, mark: Mark) -> None:
        """Let a schedule count since then."""
        key = {"app": mark.app, "process": mark.process}
        async with self._database.write() as connection:
            await put(connection, schedules, key, {"text": mark.text, "since": seconds(mark.since)})

    @to_the_end
    async def drop_mark(self, mark: Mark) -> None:
        """Let a schedule count no more."""
        mine = (schedules.c.app == mark.app, schedules.c.process == mark.process)
        async with self._database.write() as connection:
            await connection.execute(delete(schedules).where(*mine))

    async def _get(self, connection: Any, app: str, id: str) -> Run:
        query = select(runs).where(runs.c.app == app, runs.c.id == id)
        row = (await connection.execute(query)).first()
        if row is None:
            raise NotFound(f"app '{app}' has no run '{id}'", hint=f"`lee runs {app}` lists them", code="run-not-found")
        return _run(row)


def _row(run: Run) -> dict[str, Any]:
    return {
        "process": run.process,
        "release": run.release,
        "cause": run.trigger.value,
        "scheduled_at": seconds(run.scheduled_at),
        "state": run.state.value,
        "instance": run.instance,
        "started_at": seconds(run.started_at),
        "ended_at": seconds(run.ended_at),
        "attempts": run.attempts,
        "exit_code": run.exit_code,
        "reason": clean(run.reason)[:_CHARS],
        "hint": clean(run.hint)[:_CHARS],
        "tail": dump([clean(line)[:_CHARS] for line in run.tail]),
        "actor": clean(run.actor),
        "cancel": clean(run.cancel)[:_CHARS],
    }


def _run(row: Any) -> Run:
    return Run(
        id=row.id,
        app=row.app,
        process=row.process,
        release=row.release,
        trigger=Trigger(row.cause),
        scheduled_at=datetime.fromtimestamp(row.scheduled_at, UTC),
        state=RunState(row.state),
        instance=row.instance,
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        attempts=row.attempts,
        exit_code=row.exit_code,
        reason=row.reason,
        hint=row.hint,
        tail=tuple(json.loads(row.tail)),
        actor=row.actor,
        cancel=row.cancel,
    )
