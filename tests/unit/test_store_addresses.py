"""Logins in the addresses of repositories: sealed in the database, whole in memory, stars in answers."""

import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leeward.errors import Conflict, Invalid
from leeward.model.address import apart, redacted, together
from leeward.model.release import Deploy, DeployKind, SourceKind, SourceRef
from leeward.model.wish import App
from leeward.ports import Stores
from leeward.services.references import checked
from leeward.services.views import source_view
from leeward.settings import Settings
from leeward.store import open_stores

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKEN = "glpat-of-the-tests"
SOURCE = SourceRef(SourceKind.GIT, url=f"https://ada:{TOKEN}@git.example.com/team/shop.git", ref="main")
CLEAR = (
    '{"commit":"","image":"","kind":"git","path":".","ref":"main","release":0,"upload":"","url":"' + SOURCE.url + '"}'
)


class Clock:
    def now(self) -> datetime:
        return NOW


async def filled(stores: Stores) -> None:
    await stores.apps.create(App("shop", source=SOURCE, created_at=NOW))
    await stores.apps.create(
        App("plain", source=replace(SOURCE, url="https://git.example.com/a@b.git"), created_at=NOW)
    )
    await stores.deploys.create(Deploy("d1", "shop", DeployKind.CODE, SOURCE, created_at=NOW))


def stored(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.glob("leeward.db*"))


def changed(home: Path, statement: str, *values: str) -> None:
    with sqlite3.connect(home / "leeward.db") as database:
        database.execute(statement, values)
    database.close()


async def test_a_login_is_in_no_file_of_the_database(tmp_path: Path) -> None:
    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        await filled(stores)

        kept = stored(tmp_path)

    assert b"git.example.com/team/shop.git" in kept
    assert TOKEN.encode() not in kept + stored(tmp_path)


async def test_rows_of_an_older_version_are_sealed_at_the_start(tmp_path: Path) -> None:
    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        await filled(stores)
    changed(tmp_path, "UPDATE apps SET source = ? WHERE name = 'shop'", CLEAR)
    changed(tmp_path, "UPDATE deploys SET source = ?", CLEAR)
    before = stored(tmp_path)

    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        while_open = stored(tmp_path)
        app, deploy = await stores.apps.get("shop"), await stores.deploys.get("d1")
        plain = await stores.apps.get("plain")

    assert TOKEN.encode() in before
    assert TOKEN.encode() not in while_open + stored(tmp_path)
    assert (app.source, deploy.source) == (SOURCE, SOURCE)
    assert plain.source is not None and plain.source.url == "https://git.example.com/a@b.git"


async def test_a_login_is_given_to_no_other_host(tmp_path: Path) -> None:
    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        await filled(stores)
    changed(tmp_path, "UPDATE apps SET source = replace(source, 'git.example.com', 'evil.example.com')")

    async with await open_stores(Settings(home=tmp_path), Clock()) as stores:
        with pytest.raises(Conflict, match="was not sealed for this place"):
            await stores.apps.get("shop")


@pytest.mark.parametrize(
    ("url", "address", "login"),
    [
        ("https://token@host/a.git", "https://host/a.git", "token"),
        ("https://u:p@ss@host:8443/a@b.git", "https://host:8443/a@b.git", "u:p@ss"),
        ("https://u:it's@host/a.git", "https://host/a.git", "u:it's"),
        ("ssh://git@host/a.git", "ssh://host/a.git", "git"),
        ("https://host/a@b.git", "https://host/a@b.git", ""),
        ("git@host:team/a.git", "git@host:team/a.git", ""),
        ("/srv/git/a@b.git", "/srv/git/a@b.git", ""),
    ],
)
def test_an_address_is_taken_apart_and_put_together(url: str, address: str, login: str) -> None:
    assert apart(url) == (address, login)
    assert together(address, login) == url
    shown = redacted(f"fatal: unable to access '{url}/': it broke")
    assert "p@ss" not in shown and "it's" not in shown and "token" not in shown


def test_what_a_hostile_server_says_is_gone_through_once() -> None:
    began = time.process_time()

    for text in ("a" * 100_000, "a://" * 25_000, "a://" + "b" * 100_000, "a.b+c-" * 17_000):
        redacted(text)

    assert time.process_time() - began < 2


def test_a_login_is_in_no_answer_no_complaint_and_no_printed_value() -> None:
    deploy = Deploy("d1", "shop", DeployKind.CODE, SOURCE, created_at=NOW)
    with pytest.raises(Invalid) as caught:
        checked(replace(SOURCE, url=f"htps://ada:{TOKEN}@git.example.com/shop.git"))

    assert source_view(SOURCE).url == "https://***@git.example.com/team/shop.git"
    assert TOKEN not in repr((SOURCE, deploy, App("shop", source=SOURCE)))
    assert TOKEN not in str(caught.value) + repr(caught.value.problems)
