"""The store of runs on SQLite keeps the contract."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leeward.ports import Stores
from leeward.settings import Settings
from leeward.store import open_stores
from tests.contracts.run_store import RunStoreContract


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 24, tzinfo=UTC)


class TestSqlRunStore(RunStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with await open_stores(Settings(home=tmp_path, logs_mib=4), _Clock()) as stores:
            yield stores
