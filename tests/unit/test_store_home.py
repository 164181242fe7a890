"""Opening a home: its lock, its schema, its budget."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from leeward.errors import Conflict, Unavailable
from leeward.model.event import Event
from leeward.settings import Settings
from leeward.store import open_stores
from leeward.store.database import Database
from leeward.store.events import SqlEventStore
from leeward.store.migrate import migrate, newest, present
from leeward.store.notices import LocalNotices
from leeward.store.tables import metadata

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOW


async def test_a_home_has_one_owner(tmp_path: Path) -> None:
    first = await open_stores(Settings(home=tmp_path), Clock())

    with pytest.raises(Conflict, match=f"pid {os.getpid()} ") as error:
        await open_stores(Settings(home=tmp_path), Clock())
    assert error.value.code == "home-locked"

    await first.close()
    await first.close()
    await (await open_stores(Settings(home=tmp_path), Clock())).close()


async def test_a_killed_owner_leaves_the_home_free(tmp_path: Path) -> None:
    program = (
        "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(os.getpid(), file=f, flush=True)"
    )
    program += "; print(flush=True); input()"
    pipe = asyncio.subprocess.PIPE
    arguments = ("-c", program, str(tmp_path / "leeward.lock"))
    owner = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
    assert owner.stdout is not None and await owner.stdout.readline() == b"\n"
    with pytest.raises(Conflict, match=f"pid {owner.pid} "):
        await open_stores(Settings(home=tmp_path), Clock())

    owner.kill()
    await owner.wait()

    await (await open_stores(Settings(home=tmp_path), Clock())).close()


async def test_a_home_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="cannot be used as home"):
        await open_stores(Settings(home=tmp_path / "file" / "home"), Clock())


async def test_a_failed_opening_lets_go_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "leeward.db").write_text("this is no database, it is only text that was put there by accident")

    for _ in range(2):
        with pytest.raises(Unavailable, match="not a database"):
            await open_stores(Settings(home=tmp_path), Clock())


def shape(engine: Engine | Connection) -> dict[str, Any]:
    """Everything that a server tells about its tables."""
    look = inspect(engine)
    tables = {}
    for table in look.get_table_names():
        if table != "alembic_version":
            tables[table] = {
                "columns": {
                    column["name"]: (
                        str(column["type"]),
                        column["nullable"],
                        column["default"],
                        column.get("primary_key"),
                    )
                    for column in look.get_columns(table)
                },
                "key": look.get_pk_constraint(table)["constrained_columns"],
                "foreign": sorted(str(sorted(key.items())) for key in look.get_foreign_keys(table)),
                "unique": sorted(str(item["column_names"]) for item in look.get_unique_constraints(table)),
                "indexes": sorted(
                    (
                        item["name"],
                        item["column_names"],
                        item["unique"],
                        {key: str(value) for key, value in item["dialect_options"].items()},
                    )
                    for item in look.get_indexes(table)
                ),
            }
    return tables


def test_migrations_end_in_the_metadata(tmp_path: Path) -> None:
    migrated, created = (create_engine(f"sqlite:///{tmp_path / name}") for name in ("migrated.db", "created.db"))
    with migrated.begin() as connection:
        migrate(connection)
        assert present(connection) == newest()
    metadata.create_all(created)

    wanted = shape(created)

    assert {table: item for table, item in shape(migrated).items() if item != wanted.get(table)} == {}
    assert set(shape(migrated)) == set(wanted)
    for engine in (migrated, created):
        with engine.connect() as connection:
            autoincrement = connection.execute(
                text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name")
            )
            assert list(autoincrement.scalars()) == ["deploys", "events"]
        engine.dispose()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'twice.db'}")
    for _ in range(2):
        with engine.begin() as connection:
            migrate(connection)
    engine.dispose()


async def test_events_stay_within_rows_and_bytes(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "events.db")
    try:
        by_rows = SqlEventStore(database, LocalNotices(), Clock(), rows=10)
        for number in range(40):
            await by_rows.add(Event("k", str(number)))
        kept = [event.text for event in (await by_rows.list(limit=100)).items]
        assert len(kept) <= 10 and kept[0] == "39"

        by_bytes = SqlEventStore(database, LocalNotices(), Clock(), rows=20, size_bytes=10_000)
        for number in range(40):
            await by_bytes.add(Event("k", f"{number} " + "x" * 5000, data={"k" * 2000: "v" * 9000}))
        sizes = [len(event.text) + sum(map(len, event.data.values())) for event in (await by_bytes.list()).items]
        assert sum(sizes) <= 10_000 and sizes[0] == 3000
    finally:
        await database.close()
