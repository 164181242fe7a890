"""One database, SQLite or PostgreSQL: a single writer, a few readers."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Table, event, insert, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from leeward.errors import Unavailable
from leeward.store.address import Address
from leeward.store.migrate import migrate

P = ParamSpec("P")
T = TypeVar("T")

READERS = 3
BUSY_MS = 10_000
CONNECT_S = 10
# Page cache in KiB of one connection: the hot part of 20,000 apps is far smaller, and memory counts.
CACHE_KIB = 1024


def to_the_end(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A method that writes: when its caller is cancelled, the transaction ends first, then the caller.

    A connection that is given up in mid-transaction keeps the write lock until its cursors are collected.
    """

    @functools.wraps(method)
    async def run(*args: P.args, **named: P.kwargs) -> T:
        task = asyncio.ensure_future(method(*args, **named))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                # Whoever cancels again waits just as long: a transaction takes milliseconds.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({task})
            if not task.cancelled():
                task.exception()
            raise

    return run


class Database:
    """Gives connections: `write` is one transaction of the only writer, `read` sees the last committed state."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, file: Path) -> "Database":
        """Open the SQLite file, made and migrated when needed."""
        url = URL.create("sqlite+aiosqlite", database=str(file))
        writer = _engine(url, 1)
        # Wait for the write lock at the beginning: a transaction that began by reading could not get it later.
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        # A reader has no transaction: there is nothing to roll back when it is given back.
        reader = _engine(url, READERS, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        database = cls(writer, reader)
        async with contextlib.AsyncExitStack() as opening:
            opening.push_async_callback(database.close)
            async with database.write() as connection:
                await connection.run_sync(migrate)
            opening.pop_all()
        return database

    @classmethod
    async def connect(cls, address: Address) -> "Database":
        """Connect to PostgreSQL as its leader, migrated when needed. Raises Unavailable.

        The writer's session waits for the end of an earlier leader's, and no other can write while it lasts.
        """
        from leeward.store.leader import KEEPALIVE, WRITES, unreachable

        options = {"connect_args": {"server_settings": KEEPALIVE, "timeout": CONNECT_S}, "pool_pre_ping": True}
        writer = _pool(address.url, 1, **options)
        reader = _pool(address.url, READERS, isolation_level="AUTOCOMMIT", **options)

        def alone(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET lock_timeout = {BUSY_MS}")
            cursor.execute(f"SELECT pg_advisory_lock({WRITES})")
            cursor.execute("SET lock_timeout = 0")
            cursor.close()
            # A lock of a session outlives the transaction that the driver began for it.
            connection.commit()

        event.listen(writer.sync_engine, "connect", alone)
        database = cls(writer, reader)
        async with contextlib.AsyncExitStack() as opening:
            opening.push_async_callback(database.close)
            try:
                async with database.write() as connection:
                    await connection.run_sync(migrate)
            except OSError as error:
                raise unreachable(address, error) from error
            opening.pop_all()
        return database

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end, rolled back by any exception."""
        try:
            async with self._writer.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeout, ConnectionError) as error:
            raise _unavailable(error) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries; each one sees what was committed before it."""
        try:
            async with self._reader.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeout, ConnectionError) as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        await self._reader.dispose()
        await self._writer.dispose()


async def put(
    connection: AsyncConnection,
    table: Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    first: Mapping[str, Any] | None = None,
) -> None:
    """Change the row with this key, or add it, then with `first` too: the writer is alone, so nobody comes between."""
    change = update(table).where(*(table.c[name] == value for name, value in key.items())).values(**values)
    if (await connection.execute(change)).rowcount == 0:
        await connection.execute(insert(table).values(**key, **values, **(first or {})))


def _engine(url: URL, size: int, **options: Any) -> AsyncEngine:
    engine = _pool(url, size, **options)
    event.listen(engine.sync_engine, "connect", _prepare)
    return engine


def _pool(url: URL, size: int, **options: Any) -> AsyncEngine:
    return create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_use_lifo=True,
        query_cache_size=200,
        **options,
    )


def _prepare(connection: Any, _record: object) -> None:
    """Settings of one connection. FULL: a deploy that was acknowledged outlives a power cut."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"cache_size=-{CACHE_KIB}",
        "journal_size_limit=8388608",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _unavailable(error: Exception) -> Unavailable:
    cause = getattr(error, "orig", None) or error
    return Unavailable(
        f"the database did not answer: {str(cause).lower()}",
        hint="look at the free disk space and at who else has the file open: 'lee doctor'",
    )
