"""Keep releases, which never change."""

import json
from typing import Any

from sqlalchemy import func, insert, select

from leeward.errors import NotFound
from leeward.model.release import Release
from leeward.ports import Clock, Notices, Page
from leeward.store.apps import MOST, no_such_app
from leeward.store.database import Database, to_the_end
from leeward.store.rows import clean, dump, env_of, env_text, moment, seconds, spec
from leeward.store.tables import apps, releases
from leeward.store.vault import Place, Vault


class SqlReleaseStore:
    """Releases by app and number; their environment is sealed as a whole."""

    def __init__(self, database: Database, vault: Vault, notices: Notices, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._notices = notices
        self._clock = clock

    @to_the_end
    async def add(self, release: Release) -> Release:
        """Store with the next number of its app (its own `number` is ignored); once for each `deploy` id."""
        async with self._database.write() as connection:
            if release.deploy:
                same = select(releases).where(releases.c.deploy == release.deploy)
                if row := (await connection.execute(same)).first():
                    return self._release(row)
            project = (await connection.execute(select(apps.c.project).where(apps.c.name == release.app))).scalar()
            if project is None:
                raise await no_such_app(connection, release.app)
            last = select(func.max(releases.c.number)).where(releases.c.app == release.app)
            number = ((await connection.execute(last)).scalar() or 0) + 1
            now = self._clock.now()
            key = await self._vault.data_key(connection, project, now.timestamp())
            values = {
                "app": release.app,
                "number": number,
                "image": release.image,
                "spec": release.spec.model_dump_json(),
                "env": self._vault.seal(key, _place(release.app, number), env_text(release.env)),
                "commands": dump(dict(release.commands)),
                "read_only": release.read_only,
                "commit": release.commit,
                "message": clean(release.message),
                "created_at": seconds(release.created_at or now),
                "deploy": release.deploy,
            }
            row = (await connection.execute(insert(releases).values(**values).returning(releases))).one()
            added = self._release(row)
        self._notices.publish(f"app/{release.app}")
        return added

    async def get(self, app: str, number: int) -> Release:
        """Raises NotFound."""
        query = select(releases).where(releases.c.app == app, releases.c.number == number)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
            if row is not None:
                return self._release(row)
            if (await connection.execute(select(apps.c.name).where(apps.c.name == app))).first() is None:
                raise await no_such_app(connection, app)
        raise NotFound(
            f"app '{app}' has no release 'v{number}'",
            hint=f"'lee releases {app}' shows those that it has",
            code="release-not-found",
        )

    async def list(self, app: str, before: int = 0, limit: int = 50) -> Page[Release]:
        """Newest first, below number `before` (0: from the top)."""
        limit = max(1, min(limit, MOST))
        query = select(releases).where(releases.c.app == app).order_by(releases.c.number.desc()).limit(limit + 1)
        if before:
            query = query.where(releases.c.number < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        more = len(rows) > limit
        return Page(tuple(self._release(row) for row in rows[:limit]), str(rows[limit - 1].number) if more else "")

    def _release(self, row: Any) -> Release:
        return Release(
            app=row.app,
            number=row.number,
            image=row.image,
            spec=spec(row.spec),
            env=env_of(self._vault.open(_place(row.app, row.number), row.env)),
            commands=json.loads(row.commands),
            read_only=bool(row.read_only),
            commit=row.commit,
            message=row.message,
            created_at=moment(row.created_at),
            deploy=row.deploy,
        )


def _place(app: str, number: int) -> Place:
    return ("release", app, "env", str(number))
