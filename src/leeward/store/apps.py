"""Keep what is wished for."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.errors import Conflict, NotFound
from leeward.model.secret import Env, Secret, Variable
from leeward.model.wish import App
from leeward.ports import Clock, Notices, Page
from leeward.store.addresses import opened, sealed
from leeward.store.claims import refuse_taken
from leeward.store.database import Database, to_the_end
from leeward.store.rows import app_of, app_row
from leeward.store.tables import apps, variables
from leeward.store.vault import Vault

MOST = 1000
# Names that are compared for a did-you-mean: difflib takes about 10 ms for these.
_CANDIDATES = 500


class SqlAppStore:
    """Apps and their variables. Publishes `app/<name>` when one of them changed."""

    def __init__(self, database: Database, vault: Vault, notices: Notices, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._notices = notices
        self._clock = clock

    @to_the_end
    async def create(self, app: App) -> None:
        """Add an app. Raises Conflict when the name, or one of its hosts, is taken."""
        try:
            async with self._database.write() as connection:
                await refuse_taken(connection, None, app)
                values = await self._row(connection, app)
                values["webhook_secret"] = await self._sealed_webhook(connection, app)
                await connection.execute(insert(apps).values(**values))
        except IntegrityError as error:
            raise Conflict(
                f"app '{app.name}' already exists",
                hint="deploy to it, or choose another name",
                code="name-taken",
            ) from error
        self._notices.publish(f"app/{app.name}")

    async def get(self, name: str) -> App:
        """Raises NotFound (with a did-you-mean) when there is none."""
        async with self._database.read() as connection:
            return await self._get(connection, name)

    async def find(self, name: str) -> App | None:
        """The app, or None."""
        async with self._database.read() as connection:
            return await self._find(connection, name)

    async def list(self, after: str = "", limit: int = 50, deleted: bool = False, part: str = "") -> Page[App]:
        """By name, after the cursor `after`; `deleted` adds those that are being taken down; only with `part` in it."""
        limit = max(1, min(limit, MOST))
        query = select(apps).where(apps.c.name > after).order_by(apps.c.name).limit(limit + 1)
        if not deleted:
            query = query.where(apps.c.deleted.is_(False))
        if part:
            query = query.where(apps.c.name.contains(part, autoescape=True))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        more = len(rows) > limit
        return Page(tuple(self._app(row) for row in rows[:limit]), rows[limit - 1].name if more else "")

    @to_the_end
    async def update(self, name: str, change: Callable[[App], App]) -> App:
        """Read, change, write in one transaction; the new value. Raises NotFound, Conflict when a host is another's."""
        async with self._database.write() as connection:
            before = await self._get(connection, name)
            after = change(before)
            if after == before:
                return before
            await refuse_taken(connection, before, after)
            values = await self._row(connection, after)
            if after.webhook_secret != before.webhook_secret:
                values["webhook_secret"] = await self._sealed_webhook(connection, after)
            await connection.execute(update(apps).where(apps.c.name == name).values(**values))
        self._notices.publish(f"app/{name}")
        return after

    @to_the_end
    async def delete(self, name: str) -> None:
        """Remove the row and everything that belongs to it (releases, env, deploys; not events)."""
        async with self._database.write() as connection:
            await connection.execute(delete(apps).where(apps.c.name == name))
        self._notices.publish(f"app/{name}")

    async def env(self, name: str) -> Env:
        """The variables set by `lee env set`, by key. Raises NotFound."""
        async with self._database.read() as connection:
            env = await self._env(connection, name)
            if not env:
                await _must_exist(connection, name)
            return env

    @to_the_end
    async def set_env(self, name: str, put: Env, remove: Sequence[str] = (), *, replace: bool = False) -> Env:
        """Add, change and remove variables at once (`replace` drops all others); all that are set afterwards."""
        async with self._database.write() as connection:
            project = await _must_exist(connection, name)
            mine = variables.c.app == name
            known = {row.key: row for row in await connection.execute(select(variables).where(mine))}
            keep = {variable.key for variable in put}
            gone = (set(known) if replace else set(remove)) - keep
            if gone:
                await connection.execute(delete(variables).where(mine, variables.c.key.in_(sorted(gone))))
            for variable in put:
                version = known[variable.key].version + 1 if variable.key in known else 1
                values = await self._variable_row(connection, name, project, variable, version)
                if variable.key in known:
                    where = (mine, variables.c.key == variable.key)
                    await connection.execute(update(variables).where(*where).values(**values))
                else:
                    await connection.execute(insert(variables).values(**values))
            env = await self._env(connection, name)
        self._notices.publish(f"app/{name}")
        return env

    async def _find(self, connection: AsyncConnection, name: str) -> App | None:
        row = (await connection.execute(select(apps).where(apps.c.name == name))).first()
        return None if row is None else self._app(row)

    async def _get(self, connection: AsyncConnection, name: str) -> App:
        app = await self._find(connection, name)
        if app is None:
            raise await no_such_app(connection, name)
        return app

    def _app(self, row: Any) -> App:
        hidden = row.webhook_secret
        secret = None if hidden is None else Secret(self._vault.open(("webhook", row.name, "secret"), hidden))
        return app_of(row, opened(self._vault, ("app", row.name), row.source), secret)

    async def _row(self, connection: AsyncConnection, app: App) -> dict[str, Any]:
        owner, now = ("app", app.name), self._clock.now().timestamp()
        return app_row(app, await sealed(connection, self._vault, app.project, now, owner, app.source))

    async def _sealed_webhook(self, connection: AsyncConnection, app: App) -> str | None:
        if app.webhook_secret is None:
            return None
        key = await self._vault.data_key(connection, app.project, self._clock.now().timestamp())
        return self._vault.seal(key, ("webhook", app.name, "secret"), app.webhook_secret.reveal())

    async def _env(self, connection: AsyncConnection, name: str) -> Env:
        query = select(variables).where(variables.c.app == name).order_by(variables.c.key)
        return tuple(self._variable(row) for row in await connection.execute(query))

    def _variable(self, row: Any) -> Variable:
        text = row.value
        if row.secret:
            text = self._vault.open(("env", row.app, row.key, str(row.version)), text)
        return Variable(row.key, Secret(text), bool(row.secret))

    async def _variable_row(
        self, connection: AsyncConnection, app: str, project: str, variable: Variable, version: int
    ) -> dict[str, Any]:
        text = variable.value.reveal()
        if variable.secret:
            key = await self._vault.data_key(connection, project, self._clock.now().timestamp())
            text = self._vault.seal(key, ("env", app, variable.key, str(version)), text)
        return {"app": app, "key": variable.key, "value": text, "secret": variable.secret, "version": version}


async def _must_exist(connection: AsyncConnection, name: str) -> str:
    """The app's project. Raises NotFound."""
    project = (await connection.execute(select(apps.c.project).where(apps.c.name == name))).scalar()
    if project is None:
        raise await no_such_app(connection, name)
    return str(project)


async def no_such_app(connection: AsyncConnection, name: str) -> NotFound:
    """The error for a name that no app has, with the nearest name that one has."""
    begins_alike = func.substr(apps.c.name, 1, 2) == name[:2]
    query = (
        select(apps.c.name)
        .where(apps.c.deleted.is_(False), func.length(apps.c.name).between(len(name) - 4, len(name) + 4))
        .order_by(begins_alike.desc(), apps.c.name)
        .limit(_CANDIDATES)
    )
    names = list((await connection.execute(query)).scalars())
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'?" if close else "'lee apps list' shows what there is"
    return NotFound(f"there is no app '{name}'", hint=hint, code="app-not-found")
