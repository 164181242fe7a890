"""Secrets at rest."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leeward.errors import Conflict
from leeward.model.app import AppSpec
from leeward.model.release import Release
from leeward.model.secret import Secret, Variable
from leeward.model.wish import App
from leeward.settings import Settings
from leeward.store import OpenStores, open_stores

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PLAIN = "correct horse battery staple"


class Clock:
    def now(self) -> datetime:
        return NOW


async def opened(home: Path) -> OpenStores:
    return await open_stores(Settings(home=home), Clock())


async def filled(home: Path) -> None:
    async with await opened(home) as stores:
        env = (Variable("PASSWORD", Secret(PLAIN), True), Variable("OTHER", Secret("another"), True))
        for name in ("shop", "blog"):
            await stores.apps.create(App(name, webhook_secret=Secret(PLAIN)))
            await stores.apps.set_env(name, env)
            await stores.releases.add(Release(name, 0, "image", AppSpec(), env, {}))
            await stores.releases.add(Release(name, 0, "image", AppSpec(), env, {}))
        await stores.access.remember("key", "digest", PLAIN, NOW)


@contextmanager
def tampered(home: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home / "leeward.db")) as connection, connection:
        yield connection


async def test_no_file_of_the_home_holds_a_secret_or_lets_others_read(tmp_path: Path) -> None:
    await filled(tmp_path)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert len(files) >= 4
    assert [path.name for path in files if PLAIN.encode() in path.read_bytes()] == []
    key = tmp_path / "keys" / "master.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "leeward.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "move",
    [
        "UPDATE variables SET value = (SELECT value FROM variables WHERE app = 'blog' AND key = 'PASSWORD')"
        " WHERE app = 'shop' AND key = 'PASSWORD'",
        "UPDATE variables SET value = (SELECT value FROM variables WHERE app = 'shop' AND key = 'OTHER')"
        " WHERE app = 'shop' AND key = 'PASSWORD'",
        "UPDATE variables SET version = version + 1 WHERE app = 'shop'",
        "UPDATE variables SET value = '1.nokey.AAAA' WHERE app = 'shop'",
        "UPDATE variables SET value = 'plain' WHERE app = 'shop'",
    ],
    ids=["of another app", "of another key", "of another version", "of an unknown key", "of no key"],
)
async def test_a_ciphertext_of_another_row_is_refused(tmp_path: Path, move: str) -> None:
    await filled(tmp_path)
    with tampered(tmp_path) as connection:
        connection.execute(move)

    async with await opened(tmp_path) as stores:
        with pytest.raises(Conflict) as error:
            await stores.apps.env("shop")
        assert error.value.code == "secret-refused"
        assert "staple" not in str(error.value)
        assert len(await stores.apps.env("blog")) == 2


async def test_an_older_ciphertext_of_the_same_row_is_refused(tmp_path: Path) -> None:
    await filled(tmp_path)
    with tampered(tmp_path) as connection:
        old = connection.execute("SELECT value FROM variables WHERE app = 'shop' AND key = 'PASSWORD'").fetchone()[0]
    async with await opened(tmp_path) as stores:
        await stores.apps.set_env("shop", (Variable("PASSWORD", Secret("rotated"), True),))
    with tampered(tmp_path) as connection:
        connection.execute("UPDATE variables SET value = ? WHERE app = 'shop' AND key = 'PASSWORD'", (old,))

    async with await opened(tmp_path) as stores:
        with pytest.raises(Conflict):
            await stores.apps.env("shop")


async def test_a_release_and_a_webhook_take_no_secret_of_another(tmp_path: Path) -> None:
    await filled(tmp_path)
    with tampered(tmp_path) as connection:
        connection.execute(
            "UPDATE releases SET env = (SELECT env FROM releases WHERE app = 'shop' AND number = 1) WHERE number = 2"
        )
        connection.execute(
            "UPDATE apps SET webhook_secret = (SELECT webhook_secret FROM apps WHERE name = 'blog') WHERE name = 'shop'"
        )

    async with await opened(tmp_path) as stores:
        for app in ("shop", "blog"):
            with pytest.raises(Conflict):
                await stores.releases.get(app, 2)
            assert (await stores.releases.get(app, 1)).number == 1
        with pytest.raises(Conflict):
            await stores.apps.get("shop")


async def test_secrets_open_after_a_restart_and_in_another_project(tmp_path: Path) -> None:
    await filled(tmp_path)

    async with await opened(tmp_path) as stores:
        await stores.apps.update("shop", lambda app: replace(app, project="other"))
        await stores.apps.set_env("shop", (Variable("OTHER", Secret("changed"), True),))

    async with await opened(tmp_path) as stores:
        env = {variable.key: variable.value.reveal() for variable in await stores.apps.env("shop")}
        assert env == {"PASSWORD": PLAIN, "OTHER": "changed"}
        assert (await stores.apps.get("shop")).webhook_secret == Secret(PLAIN)
        assert await stores.access.recall("key", NOW) == ("digest", PLAIN)


async def test_a_lost_or_wrong_master_key_is_never_replaced(tmp_path: Path) -> None:
    await filled(tmp_path)
    key = tmp_path / "keys" / "master.key"
    right = key.read_bytes()

    for wrong, code in ((bytes(32), "master-key-wrong"), (b"short", "master-key-wrong"), (None, "master-key-missing")):
        key.unlink()
        if wrong is not None:
            key.write_bytes(wrong)
        with pytest.raises(Conflict) as error:
            await opened(tmp_path)
        assert error.value.code == code
        key.write_bytes(right)

    async with await opened(tmp_path) as stores:
        assert len(await stores.apps.env("shop")) == 2
    assert key.stat().st_mode & 0o777 == 0o600
