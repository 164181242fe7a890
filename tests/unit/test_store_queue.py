"""The deploy queue under any order of events."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from leeward.errors import Conflict
from leeward.model.release import Deploy, DeployKind, DeployStatus, SourceKind, SourceRef
from leeward.model.wish import App
from leeward.ports import Stores
from leeward.settings import Settings
from leeward.store import open_stores
from leeward.store.database import to_the_end
from leeward.store.deploys import claim_statement

NOW = datetime(2026, 11, 24, tzinfo=UTC)
APPS = ("a", "b")
OWNERS = ("one", "two")
LEASE = 10.0


class Clock:
    def now(self) -> datetime:
        return NOW


class Model:
    """What must be true of the queue, kept beside it: who holds which deploy until when."""

    def __init__(self, stores: Stores) -> None:
        self.deploys = stores.deploys
        self.now = NOW
        self.made = 0
        self.held: dict[str, tuple[str, datetime]] = {}
        self.believed: dict[str, dict[str, Deploy]] = {owner: {} for owner in OWNERS}

    async def create(self, app: str, kind: DeployKind) -> None:
        self.made += 1
        await self.deploys.create(Deploy(f"d{self.made}", app, kind, SourceRef(SourceKind.NONE)))

    async def claim(self, owner: str) -> None:
        before = await self.deploys.active()
        running = {deploy.app: deploy for deploy in before if deploy.status is DeployStatus.RUNNING}
        free = [
            deploy.id
            for deploy in before
            if (deploy.app not in running)
            or (deploy.id == running[deploy.app].id and self.held[deploy.id][1] <= self.now)
        ]
        claimed = await self.deploys.claim(owner, self.now, LEASE)
        assert (claimed.id if claimed else None) == (free[0] if free else None)
        if claimed:
            assert claimed.status is DeployStatus.RUNNING
            self.held[claimed.id] = (owner, self.now + timedelta(seconds=LEASE))
            self.believed[owner][claimed.id] = claimed

    async def renew(self, owner: str) -> None:
        for id in self.believed[owner]:
            mine = self.held.get(id, ("", NOW))[0] == owner
            assert await self.deploys.renew(id, owner, self.now, LEASE) is mine
            if mine:
                self.held[id] = (owner, self.now + timedelta(seconds=LEASE))

    async def save(self, owner: str, status: DeployStatus) -> None:
        """Everything that an owner believes to hold: it is written exactly where it still does."""
        for id, deploy in list(self.believed[owner].items()):
            mine = self.held.get(id, ("", NOW))[0] == owner
            before = await self.deploys.get(id)
            try:
                await self.deploys.save(replace(deploy, status=status, carry={"by": owner}), owner)
                assert mine
            except Conflict:
                assert not mine
                assert await self.deploys.get(id) == before
            if status.final or not mine:
                del self.believed[owner][id]
                if mine:
                    del self.held[id]

    async def check(self) -> None:
        active = await self.deploys.active()
        running = Counter(deploy.app for deploy in active if deploy.status is DeployStatus.RUNNING)
        queued = Counter((deploy.app, deploy.kind) for deploy in active if deploy.status is DeployStatus.QUEUED)
        assert all(count == 1 for count in running.values())
        assert all(count == 1 for count in queued.values())
        assert {deploy.id for deploy in active if deploy.status is DeployStatus.RUNNING} == set(self.held)


MOVES = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(APPS), st.sampled_from([DeployKind.CODE, DeployKind.ENV])),
    st.tuples(st.just("claim"), st.sampled_from(OWNERS)),
    st.tuples(st.just("renew"), st.sampled_from(OWNERS)),
    st.tuples(st.just("save"), st.sampled_from(OWNERS), st.sampled_from([DeployStatus.RUNNING, DeployStatus.LIVE])),
    st.tuples(st.just("wait"), st.sampled_from([3.0, 10.0])),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVES, min_size=5, max_size=25))
def test_one_deploy_of_an_app_runs_and_only_its_holder_writes(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, ...]]
) -> None:
    async def run() -> None:
        async with await open_stores(Settings(home=tmp_path_factory.mktemp("queue")), Clock()) as stores:
            for app in APPS:
                await stores.apps.create(App(app))
            model = Model(stores)
            for name, *arguments in moves:
                if name == "wait":
                    model.now += timedelta(seconds=float(arguments[0]))
                else:
                    await getattr(model, name)(*arguments)
                await model.check()

    asyncio.run(run())


async def test_many_claimers_at_once_take_each_deploy_once(tmp_path: Path) -> None:
    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        for number in range(8):
            await stores.apps.create(App(f"app-{number}"))
            for kind in (DeployKind.CODE, DeployKind.ENV):
                await stores.deploys.create(
                    Deploy(f"{kind.value}-{number}", f"app-{number}", kind, SourceRef(SourceKind.NONE))
                )

        claimed = await asyncio.gather(*(stores.deploys.claim(f"o{n}", NOW, LEASE) for n in range(20)))

        taken = sorted(deploy.id for deploy in claimed if deploy)
        assert taken == sorted(f"code-{number}" for number in range(8))


async def test_the_database_itself_refuses_a_second_running_deploy(tmp_path: Path) -> None:
    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        await stores.apps.create(App("a"))
        for kind in (DeployKind.CODE, DeployKind.ENV):
            await stores.deploys.create(Deploy(kind.value, "a", kind, SourceRef(SourceKind.NONE)))

        with closing(sqlite3.connect(tmp_path / "leeward.db")) as connection, pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE deploys SET status = 'running'")


async def test_a_write_that_is_cancelled_leaves_the_writer_free(tmp_path: Path) -> None:
    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        await stores.apps.create(App("a"))
        for turns in range(12):
            task = asyncio.ensure_future(
                stores.apps.update("a", lambda app: replace(app, generation=app.generation + 1))
            )
            for _ in range(turns):
                await asyncio.sleep(0.0002)
            task.cancel()
            await asyncio.wait({task})

        before = (await stores.apps.get("a")).generation
        after = await asyncio.wait_for(
            stores.apps.update("a", lambda app: replace(app, generation=app.generation + 1)), 2
        )

        assert after.generation == before + 1


async def test_whoever_cancels_a_write_waits_for_its_end() -> None:
    may_end, ended = asyncio.Event(), []

    @to_the_end
    async def write() -> None:
        await may_end.wait()
        ended.append(True)

    caller = asyncio.ensure_future(write())
    await asyncio.sleep(0)
    for _ in range(3):
        caller.cancel("stop")
        await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    await asyncio.wait({caller})

    assert caller.cancelled() and ended == [True]


def test_the_claim_is_one_statement_for_both_servers() -> None:
    statement = claim_statement()

    texts = {
        name: str(statement.compile(dialect=dialect))
        for name, dialect in (("sqlite", sqlite.dialect()), ("postgresql", postgresql.dialect()))
    }

    assert all(text.startswith("UPDATE deploys SET") and "RETURNING" in text for text in texts.values())
    assert "FOR UPDATE OF mine SKIP LOCKED" in texts["postgresql"]
    assert "FOR UPDATE" not in texts["sqlite"]
