"""Let one control plane of several lead, by locks that PostgreSQL holds for a session and lets go of with it.

    standby --waits for--> leadership --then--> the writer's own lock --then--> writes

The leader's only writing connection holds a lock of its own, so that a leader that was cut off cannot write beside the
next one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import asyncpg

from leeward.errors import Unavailable
from leeward.store.address import Address

log = logging.getLogger(__name__)

# Any two numbers that nobody else uses in this database: the first letters of our name, and which lock it is.
LEADS = 0x6C656577_00000001
WRITES = 0x6C656577_00000002
# A peer that vanished without a word is given up after 5 + 2 * 2 seconds, on both ends.
KEEPALIVE = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "2"}
_CONNECT_S = 10.0
_ROUND_S = 5


class Leadership:
    """Held from `take` to `release`; `lost` is set when the server ended it."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self.lost = asyncio.Event()
        connection.add_termination_listener(lambda _: self.lost.set())

    @classmethod
    async def take(cls, address: Address, waits: Callable[[], None] = lambda: None) -> "Leadership":
        """Wait until no other control plane leads, then lead; `waits` is called when it has to wait.

        Raises Unavailable when the server does not answer, also when it stops to while we wait.
        """
        try:
            connection = await asyncpg.connect(
                address.dsn, timeout=_CONNECT_S, server_settings={**KEEPALIVE, "application_name": "leeward leader"}
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise unreachable(address, error) from error
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADS):
                log.info("another control plane leads: waiting")
                waits()
                await _turn(connection)
                log.info("this control plane leads now")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            connection.terminate()
            raise unreachable(address, error) from error
        except asyncio.CancelledError:
            connection.terminate()
            raise
        return cls(connection)

    async def release(self) -> None:
        """Let go; repeatable."""
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._connection.close(timeout=2)


async def _turn(connection: "asyncpg.Connection[Any]") -> None:
    """Wait for the lock. Asked again every few seconds: a server that vanished without a word would not be noticed."""
    await connection.execute(f"SET lock_timeout = '{_ROUND_S}s'")
    while True:
        try:
            await connection.execute(f"SELECT pg_advisory_lock({LEADS})", timeout=_ROUND_S + _CONNECT_S)
            break
        except asyncpg.LockNotAvailableError:
            continue
    await connection.execute("SET lock_timeout = 0")


def unreachable(address: Address, error: BaseException) -> Unavailable:
    """The database server did not answer, or refused us."""
    return Unavailable(
        f"the database '{address}' did not answer: {str(error).strip().lower() or type(error).__name__}",
        hint="look at the URL in LEEWARD_DATABASE_FILE: host, port, user, password and name",
    )
