"""Open every store of a home."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from leeward.errors import Unavailable
from leeward.ports import Clock, Stores
from leeward.settings import MIB, Settings
from leeward.store.access import SqlAccessStore
from leeward.store.address import Address, address
from leeward.store.addresses import seal_all
from leeward.store.apps import SqlAppStore
from leeward.store.database import Database
from leeward.store.deploys import SqlDeployStore
from leeward.store.events import SqlEventStore
from leeward.store.files import SqlFileStore
from leeward.store.images import SqlImageStore
from leeward.store.lock import HomeLock
from leeward.store.logins import SqlLoginStore
from leeward.store.logs import FileLogStore
from leeward.store.notices import LocalNotices
from leeward.store.regions import SqlRegionStore
from leeward.store.releases import SqlReleaseStore
from leeward.store.runs import SqlRunStore
from leeward.store.samples import ChunkSampleStore
from leeward.store.sharedlogs import SharedLogStore
from leeward.store.vault import Vault


@dataclass(frozen=True, slots=True)
class OpenStores:
    """The stores, and how to close them; `lost` is set when another control plane may own them now."""

    stores: Stores
    lost: asyncio.Event
    _open: AsyncExitStack

    async def close(self) -> None:
        """Close the files and let go of the home; repeatable."""
        await self._open.aclose()

    async def __aenter__(self) -> Stores:
        return self.stores

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def open_stores(settings: Settings, clock: Clock, waits: Callable[[], None] = lambda: None) -> OpenStores:
    """Take the home, migrate its database and open everything in it.

    With a database server it waits until no other control plane leads there, and says so by `waits`. Raises Conflict
    when another control plane owns the home, or the master key is not that of the database.
    """
    async with AsyncExitStack() as opening:
        opening.callback(HomeLock(settings.home).release)
        lost = asyncio.Event()
        server = address(settings.database_file) if settings.database_file else None
        if server is not None:
            # The driver is not loaded where nobody needs it.
            from leeward.store.leader import Leadership

            leadership = await Leadership.take(server, waits)
            opening.push_async_callback(leadership.release)
            lost = leadership.lost
        try:
            stores = await _stores(settings, clock, opening, server)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                f"the state in '{settings.home}' could not be opened: {str(error).lower()}",
                hint="look at the folder's owner and at the free disk space",
            ) from error
        return OpenStores(stores, lost, opening.pop_all())


async def _stores(settings: Settings, clock: Clock, opening: AsyncExitStack, server: Address | None) -> Stores:
    home = settings.home
    database = await (Database.connect(server) if server else Database.open(_private(home / "leeward.db")))
    opening.push_async_callback(database.close)
    vault = Vault(home / "keys" / "master.key")
    async with database.read() as connection:
        await vault.load(connection)
    await seal_all(database, vault, clock.now().timestamp())
    logs: FileLogStore
    if server is None:
        logs = await asyncio.to_thread(FileLogStore, home / "logs", settings.logs_mib * MIB)
    else:
        logs = await asyncio.to_thread(SharedLogStore, home / "logs", settings.logs_mib * MIB, database)
    opening.push_async_callback(logs.close)
    samples = await asyncio.to_thread(ChunkSampleStore, _private(home / "samples.db"))
    opening.push_async_callback(samples.close)
    notices = LocalNotices()
    return Stores(
        apps=SqlAppStore(database, vault, notices, clock),
        releases=SqlReleaseStore(database, vault, notices, clock),
        deploys=SqlDeployStore(database, vault, notices, clock),
        events=SqlEventStore(database, notices, clock),
        access=SqlAccessStore(database, vault),
        regions=SqlRegionStore(database, vault, clock),
        logins=SqlLoginStore(database, vault, clock),
        images=SqlImageStore(database),
        runs=SqlRunStore(database, notices),
        logs=logs,
        samples=samples,
        notices=notices,
        files=SqlFileStore(database, clock) if server is not None else None,
    )


def _private(file: Path) -> Path:
    """A file that only its owner reads; SQLite gives its other files the same mode."""
    file.touch(mode=0o600)
    return file
