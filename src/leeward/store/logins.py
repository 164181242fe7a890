"""Keep the logins at foreign registries, their passwords sealed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select

from leeward.errors import NotFound
from leeward.model.login import Login
from leeward.model.secret import Secret
from leeward.ports import Clock
from leeward.store.access import PLATFORM
from leeward.store.database import Database, put, to_the_end
from leeward.store.rows import moment, seconds
from leeward.store.tables import logins
from leeward.store.vault import Vault


class SqlLoginStore:
    """Logins by host."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database, self._vault, self._clock = database, vault, clock

    @to_the_end
    async def put(self, login: Login) -> None:
        """Add a login, or change it; its time of creation stays."""
        async with self._database.write() as connection:
            key = await self._vault.data_key(connection, PLATFORM, self._clock.now().timestamp())
            sealed = self._vault.seal(key, _place(login.host), login.password.reveal())
            values = {"username": login.username, "password": sealed}
            made = seconds(login.created_at or self._clock.now())
            await put(connection, logins, {"host": login.host}, values, {"created_at": made})

    async def find(self, host: str) -> Login | None:
        """The login at this host."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(logins).where(logins.c.host == host))).first()
        return None if row is None else self._login(row)

    async def list(self) -> Sequence[Login]:
        """All by host."""
        async with self._database.read() as connection:
            return [self._login(row) for row in await connection.execute(select(logins).order_by(logins.c.host))]

    @to_the_end
    async def delete(self, host: str) -> None:
        """Forget one. Raises NotFound."""
        async with self._database.write() as connection:
            gone = (await connection.execute(delete(logins).where(logins.c.host == host))).rowcount
        if not gone:
            there = ", ".join(login.host for login in await self.list())
            raise NotFound(
                f"there is no login for '{host}'",
                hint=f"there are logins for {there}" if there else "add one with `lee registries add`",
                code="no-login",
            )

    def _login(self, row: Any) -> Login:
        password = Secret(self._vault.open(_place(row.host), row.password))
        return Login(row.host, row.username, password, moment(row.created_at))


def _place(host: str) -> tuple[str, ...]:
    return ("login", host, "password")
