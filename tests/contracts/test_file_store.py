"""Files that follow the lead, kept by SQLite: what a test without a server can have."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leeward.ports import FileStore
from leeward.store.database import Database
from leeward.store.files import SqlFileStore
from tests.contracts.file_store import FileStoreContract
from tests.contracts.test_stores import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def files(tmp_path: Path, clock: Clock) -> AsyncIterator[FileStore]:
    database = await Database.open(tmp_path / "leeward.db")
    yield SqlFileStore(database, clock)
    await database.close()


class TestSqlFileStore(FileStoreContract): ...
