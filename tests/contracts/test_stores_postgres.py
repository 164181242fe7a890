"""The stores on a real PostgreSQL keep the same contract, and of several control planes one leads."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from leeward.errors import Conflict, Invalid, Unavailable
from leeward.model.wish import App
from leeward.ports import FileStore, Stores
from leeward.settings import Settings
from leeward.store import OpenStores, open_stores
from leeward.store.leader import LEADS
from leeward.store.tables import metadata
from tests.contracts.file_store import FileStoreContract
from tests.contracts.postgres import Server, binaries, server
from tests.contracts.run_store import RunStoreContract
from tests.contracts.test_stores import (
    AccessStoreContract,
    AppStoreContract,
    Clock,
    DeployStoreContract,
    EventStoreContract,
    LogStoreContract,
    RegionStoreContract,
    ReleaseStoreContract,
    lines,
    texts,
)
from tests.unit.test_store_home import shape

BIN = binaries()
pytestmark = pytest.mark.skipif(BIN is None, reason="no PostgreSQL server is installed")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    assert BIN is not None
    with server(BIN) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def url(postgres: Server) -> str:
    return await postgres.database()


def settings(home: Path, url: str) -> Settings:
    home.mkdir(exist_ok=True)
    file = home / "database.url"
    file.write_text(f"{url}\n")
    return Settings(home=home, logs_mib=4, database_file=file)


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock, url: str) -> AsyncIterator[Stores]:
    async with await open_stores(settings(tmp_path, url), clock) as stores:
        yield stores


class TestPostgresAppStore(AppStoreContract): ...


class TestPostgresReleaseStore(ReleaseStoreContract): ...


class TestPostgresDeployStore(DeployStoreContract): ...


class TestPostgresEventStore(EventStoreContract): ...


class TestPostgresAccessStore(AccessStoreContract): ...


class TestPostgresRunStore(RunStoreContract): ...


class TestPostgresRegionStore(RegionStoreContract): ...


class TestSharedLogStore(LogStoreContract):
    async def test_the_oldest_lines_of_builds_go_over_the_budget(self, stores: Stores) -> None:
        for number in range(8):
            noise = random.Random(number).randbytes(4000).hex()
            await stores.logs.append("shop", lines(noise, source=f"build/d{number}", process="", at=number))

        assert await stores.logs.sweep(80_000) > 0

        assert list(await stores.logs.tail("shop", source="build/d0")) == []
        assert len(await stores.logs.tail("shop", source="build/d7")) == 1


@pytest.fixture
def files(stores: Stores) -> FileStore:
    assert stores.files is not None
    return stores.files


class TestPostgresFileStore(FileStoreContract): ...


async def _opens_within(opening: "asyncio.Task[OpenStores]", seconds: float) -> bool:
    done, _ = await asyncio.wait({opening}, timeout=seconds)
    return bool(done)


async def test_migrations_end_in_the_metadata_here_too(tmp_path: Path, clock: Clock, postgres: Server) -> None:
    migrated, created = await postgres.database(), await postgres.database()
    await (await open_stores(settings(tmp_path, migrated), clock)).close()

    shapes = []
    for url in (migrated, created):
        engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
        async with engine.begin() as connection:
            if url == created:
                await connection.run_sync(metadata.create_all)
            shapes.append(await connection.run_sync(shape))
        await engine.dispose()

    assert len(shapes[0]) > 10
    assert shapes[0] == shapes[1]


class TestLeadership:
    async def test_the_next_leader_has_the_files_and_what_builds_printed(
        self, tmp_path: Path, clock: Clock, url: str
    ) -> None:
        (tmp_path / "sent").write_bytes(b"a tree")
        async with await open_stores(settings(tmp_path / "a", url), clock) as first:
            await first.logs.append("shop", lines("one", "two", source="build/d1", process=""))
            await first.logs.append("shop", lines("three", source="build/d1", process="", at=200))
            assert first.files is not None
            await first.files.put("upload/1", tmp_path / "sent")
        (tmp_path / "b" / "keys").mkdir(parents=True)
        (tmp_path / "b" / "keys" / "master.key").write_bytes((tmp_path / "a" / "keys" / "master.key").read_bytes())

        async with await open_stores(settings(tmp_path / "b", url), clock) as second:
            assert texts(await second.logs.tail("shop", source="build/d1")) == ["one", "two", "three"]
            assert texts(await second.logs.tail("shop", 1, source="build/d1")) == ["three"]
            assert await second.logs.last_at("shop", "build/d1") == 200
            assert second.files is not None and await second.files.get("upload/1", tmp_path / "brought")
            await second.logs.forget("shop")
            assert list(await second.logs.tail("shop", source="build/d1")) == []
        assert (tmp_path / "brought").read_bytes() == b"a tree"

    async def test_a_second_control_plane_waits_and_leads_once_the_first_has_ended(
        self, tmp_path: Path, clock: Clock, url: str
    ) -> None:
        first = await open_stores(settings(tmp_path / "a", url), clock)
        (tmp_path / "b" / "keys").mkdir(parents=True)
        (tmp_path / "b" / "keys" / "master.key").write_bytes((tmp_path / "a" / "keys" / "master.key").read_bytes())
        second = asyncio.create_task(open_stores(settings(tmp_path / "b", url), clock))
        waited = not await _opens_within(second, 0.5)
        await first.stores.apps.create(App("shop"))

        await first.close()

        assert waited and await _opens_within(second, 5)
        async with await second as stores:
            assert (await stores.apps.get("shop")).name == "shop"

    async def test_who_has_to_wait_says_so_and_is_told_when_the_server_goes_away(
        self, tmp_path: Path, clock: Clock, url: str, postgres: Server
    ) -> None:
        waits = asyncio.Event()
        leader = await asyncpg.connect(url)
        await leader.execute(f"SELECT pg_advisory_lock({LEADS})")
        second = asyncio.create_task(open_stores(settings(tmp_path, url), clock, waits.set))
        await asyncio.wait_for(waits.wait(), 10)

        assert await postgres.end_sessions("leeward leader") == 1
        with pytest.raises(Unavailable, match="did not answer"):
            await asyncio.wait_for(second, 20)
        await leader.close()

    async def test_a_leader_that_is_cut_off_knows_it_and_the_next_one_leads(
        self, tmp_path: Path, clock: Clock, url: str, postgres: Server
    ) -> None:
        first = await open_stores(settings(tmp_path / "a", url), clock)

        assert await postgres.end_sessions("leeward leader") == 1
        await asyncio.wait_for(first.lost.wait(), 5)

        await first.close()
        async with await open_stores(settings(tmp_path / "a", url), clock) as stores:
            await stores.apps.create(App("shop"))

    async def test_nobody_writes_beside_a_writer_that_still_has_its_session(
        self, tmp_path: Path, clock: Clock, url: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("leeward.store.database.BUSY_MS", 300)
        first = await open_stores(settings(tmp_path / "a", url), clock)
        await postgres.end_sessions("leeward leader")

        with pytest.raises(Unavailable, match="lock timeout"):
            await open_stores(settings(tmp_path / "b", url), clock)

        await first.close()

    async def test_a_waiting_control_plane_can_be_stopped(self, tmp_path: Path, clock: Clock, url: str) -> None:
        async with await open_stores(settings(tmp_path / "a", url), clock):
            second = asyncio.create_task(open_stores(settings(tmp_path / "b", url), clock))
            assert not await _opens_within(second, 0.3)

            second.cancel()

            assert await _opens_within(second, 5) and second.cancelled()

    async def test_a_master_key_of_another_home_is_refused(self, tmp_path: Path, clock: Clock, url: str) -> None:
        async with await open_stores(settings(tmp_path / "a", url), clock) as stores:
            await stores.access.remember("key", "digest", "answer", clock.now())

        with pytest.raises(Conflict, match=r"master\.key' is missing"):
            await open_stores(settings(tmp_path / "b", url), clock)


class TestAddress:
    @pytest.mark.parametrize("text", ["", "mysql://me:pa55@host/shop", "postgresql://me:pa55@host", "pa55"])
    async def test_what_is_no_address_is_refused_without_its_password(
        self, tmp_path: Path, clock: Clock, text: str
    ) -> None:
        with pytest.raises(Invalid, match="does not hold the URL of a PostgreSQL database") as caught:
            await open_stores(settings(tmp_path, text), clock)

        assert "pa55" not in str(caught.value)

    async def test_a_server_that_is_not_there_is_named_without_its_password(self, tmp_path: Path, clock: Clock) -> None:
        with pytest.raises(Unavailable, match=r"'postgresql://me:\*\*\*@127\.0\.0\.1:9/shop' did not answer") as caught:
            await open_stores(settings(tmp_path, "postgresql://me:pa55@127.0.0.1:9/shop"), clock)

        assert "pa55" not in str(caught.value)
