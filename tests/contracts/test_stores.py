"""What every store has to do."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leeward.errors import Conflict, NotFound
from leeward.model.access import Scope, Token, User
from leeward.model.app import AppSpec, Instances, ProcessSpec
from leeward.model.event import Event
from leeward.model.image import (
    BaseMark,
    BaseState,
    Component,
    Ecosystem,
    ImageFacts,
    LayerPackages,
    Upgrade,
)
from leeward.model.login import Login
from leeward.model.region import EngineKind, Profile, Region
from leeward.model.release import (
    Deploy,
    DeployKind,
    DeployStatus,
    Phase,
    Receipt,
    Release,
    SourceKind,
    SourceRef,
    Step,
)
from leeward.model.runtime import LogLine
from leeward.model.secret import Env, Secret, Variable, revealed
from leeward.model.sizes import Size
from leeward.model.wish import App, Override
from leeward.ports import Stores
from leeward.settings import Settings
from leeward.store import open_stores

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
SOURCE = SourceRef(SourceKind.GIT, url="https://example.com/shop.git", ref="main", path="backend")
GUARDED = replace(SOURCE, url="https://ada:to@ken'of-hers@git.example.com/team/shop.git")
LEASE = 15.0


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[Stores]:
    async with await open_stores(Settings(home=tmp_path, logs_mib=4), clock) as stores:
        yield stores


def env(**values: str) -> Env:
    return tuple(Variable(key, Secret(value), key.startswith("S_")) for key, value in values.items())


def deploy(id: str, app: str = "shop", kind: DeployKind = DeployKind.CODE) -> Deploy:
    return Deploy(id, app, kind, SOURCE, actor="ada", created_at=NOW)


def release(deploy: str = "", app: str = "shop") -> Release:
    return Release(
        app=app,
        number=0,
        image="127.0.0.1:5010/shop@sha256:" + "a" * 64,
        spec=AppSpec.model_validate({"processes": {"web": {"size": "nano"}}, "env": {"A": "1"}}),
        env=env(PLAIN="x", S_KEY="hush"),
        commands={"web": "python -m shop", "worker": None},
        commit="c" * 40,
        message="first – ünïcode",
        created_at=NOW,
        deploy=deploy,
    )


async def names(stores: Stores, limit: int, deleted: bool = False) -> list[list[str]]:
    pages, cursor = [], ""
    while True:
        page = await stores.apps.list(cursor, limit, deleted)
        pages.append([app.name for app in page.items])
        cursor = page.next
        if not cursor:
            return pages


class AppStoreContract:
    async def test_an_app_comes_back_as_it_was_put(self, stores: Stores) -> None:
        app = App(
            "shop",
            spec=AppSpec(processes={"web": ProcessSpec(size=Size.NANO)}, domains=("a.example.com",)),
            overrides={"web": Override(Instances(min=2, max=5), Size.XL), "worker": Override()},
            domains=("b.example.com",),
            source=SOURCE,
            live=3,
            generation=1_795_529_190_409,
            cache_generation=2,
            hook_digest="d" * 64,
            webhook_secret=Secret("whisper"),
            versions={"python": "3.13.1"},
            created_at=NOW,
        )

        await stores.apps.create(app)

        assert await stores.apps.get("shop") == app
        assert await stores.apps.find("shop") == app

    async def test_apps_are_found_by_a_part_of_their_name_taken_as_it_is(self, stores: Stores) -> None:
        for name in ("api", "shop", "shop-api", "zoo"):
            await stores.apps.create(App(name, created_at=NOW))

        first = await stores.apps.list(limit=1, part="api")
        rest = await stores.apps.list(first.next, part="api")

        assert [app.name for app in (*first.items, *rest.items)] == ["api", "shop-api"]
        assert [(await stores.apps.list(part=part)).items for part in ("%", "sh_p", "'")] == [(), (), ()]

    async def test_an_address_with_a_login_comes_back_whole(self, stores: Stores) -> None:
        await stores.apps.create(App("shop", source=GUARDED, created_at=NOW))
        await stores.apps.update("shop", lambda app: replace(app, generation=2))

        assert (await stores.apps.get("shop")).source == GUARDED
        assert [app.source for app in (await stores.apps.list()).items] == [GUARDED]

    async def test_a_name_is_taken_once(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))

        with pytest.raises(Conflict, match="'shop'"):
            await stores.apps.create(App("shop"))

    async def test_an_unknown_name_is_answered_with_the_nearest_one(self, stores: Stores) -> None:
        await stores.apps.create(App("finrag-backend"))

        with pytest.raises(NotFound) as error:
            await stores.apps.get("finrag-bakend")

        assert error.value.hint == "did you mean 'finrag-backend'?"
        assert await stores.apps.find("finrag-bakend") is None

    async def test_pages_hold_every_app_once_in_order(self, stores: Stores) -> None:
        for name in ("d", "a", "c", "e", "b"):
            await stores.apps.create(App(name, deleted=name == "c"))

        assert await names(stores, 2) == [["a", "b"], ["d", "e"]]
        assert await names(stores, 2, deleted=True) == [["a", "b"], ["c", "d"], ["e"]]

    async def test_concurrent_updates_lose_nothing(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))

        await asyncio.gather(
            *(stores.apps.update("shop", lambda app: replace(app, generation=app.generation + 1)) for _ in range(20))
        )

        assert (await stores.apps.get("shop")).generation == 20

    async def test_a_host_is_one_apps_of_all_that_ask_at_once(self, stores: Stores) -> None:
        for name in ("a", "b", "c"):
            await stores.apps.create(App(name))
        taking = (
            stores.apps.update("a", lambda app: replace(app, domains=("www.example.com",))),
            stores.apps.update("b", lambda app: replace(app, spec=AppSpec(domains=("www.example.com",)))),
            stores.apps.update("c", lambda app: replace(app, domains=("ww.example.com", "www.example.com"))),
            stores.apps.create(App("d", spec=AppSpec(domains=("www.example.com",)))),
        )

        results = await asyncio.gather(*taking, return_exceptions=True)

        refused = [each for each in results if isinstance(each, Conflict)]
        assert len(refused) == 3 and {each.code for each in refused} == {"taken"}
        owners = [
            app for app in (await stores.apps.list()).items if "www.example.com" in (*app.domains, *app.spec.domains)
        ]
        assert len(owners) == 1

    async def test_an_update_that_raises_changes_nothing(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))

        def change(app: App) -> App:
            raise Conflict("no")

        with pytest.raises(Conflict):
            await stores.apps.update("shop", change)
        with pytest.raises(NotFound):
            await stores.apps.update("other", lambda app: app)

        assert await stores.apps.get("shop") == App("shop")

    async def test_variables_are_added_changed_removed_and_replaced(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))

        first = await stores.apps.set_env("shop", env(A="1", S_B="2", C="3"))
        second = await stores.apps.set_env("shop", env(A="9"), ["C", "NEVER"])
        third = await stores.apps.set_env("shop", env(Z=""), replace=True)

        assert first == env(A="1", C="3", S_B="2")
        assert second == env(A="9", S_B="2")
        assert third == env(Z="") == await stores.apps.env("shop")

    async def test_a_variable_can_become_secret_and_back(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        for secret in (False, True, False, True):
            put = (Variable("KEY", Secret("väl\nue"), secret),)

            assert await stores.apps.set_env("shop", put) == put

    async def test_variables_of_an_unknown_app_are_not_found(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            await stores.apps.env("shop")
        with pytest.raises(NotFound):
            await stores.apps.set_env("shop", env(A="1"))

    async def test_delete_takes_everything_but_events(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        await stores.apps.set_env("shop", env(S_A="1"))
        await stores.deploys.create(deploy("d1"))
        await stores.deploys.step("d1", Step(Phase.FETCH, NOW))
        await stores.releases.add(release("d1"))
        await stores.events.add(Event("app.created", "it is there", app="shop"))

        await stores.apps.delete("shop")
        await stores.apps.delete("shop")
        await stores.apps.create(App("shop"))

        assert await stores.apps.env("shop") == ()
        assert (await stores.releases.list("shop")).items == ()
        assert (await stores.deploys.list("shop")).items == ()
        assert len((await stores.events.list("shop")).items) == 1


class ReleaseStoreContract:
    @pytest.fixture(autouse=True)
    async def _app(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))

    async def test_a_release_comes_back_as_it_was_added(self, stores: Stores) -> None:
        added = await stores.releases.add(release("d1"))

        assert added == replace(release("d1"), number=1)
        assert await stores.releases.get("shop", 1) == added
        assert revealed(added.env) == {"PLAIN": "x", "S_KEY": "hush"}

    async def test_each_app_counts_for_itself_and_each_deploy_makes_one_release(self, stores: Stores) -> None:
        await stores.apps.create(App("other"))

        added = [
            await stores.releases.add(release(id, app))
            for id, app in [("d1", "shop"), ("d2", "shop"), ("d1", "shop"), ("", "shop"), ("", "shop"), ("d3", "other")]
        ]

        assert [item.number for item in added] == [1, 2, 1, 3, 4, 1]

    async def test_pages_run_from_the_newest(self, stores: Stores) -> None:
        for _ in range(5):
            await stores.releases.add(release())

        first = await stores.releases.list("shop", limit=3)
        second = await stores.releases.list("shop", before=int(first.next), limit=3)

        assert [item.number for item in (*first.items, *second.items)] == [5, 4, 3, 2, 1]
        assert second.next == ""

    async def test_what_is_unknown_is_not_found(self, stores: Stores) -> None:
        with pytest.raises(NotFound, match="'v7'"):
            await stores.releases.get("shop", 7)
        with pytest.raises(NotFound, match="no app 'shoppe'"):
            await stores.releases.get("shoppe", 1)
        with pytest.raises(NotFound, match="no app 'shoppe'"):
            await stores.releases.add(release(app="shoppe"))


class DeployStoreContract:
    @pytest.fixture(autouse=True)
    async def _apps(self, stores: Stores) -> None:
        for name in ("shop", "blog"):
            await stores.apps.create(App(name))

    async def claimed(self, stores: Stores, owner: str = "me", now: datetime = NOW) -> Deploy:
        found = await stores.deploys.claim(owner, now, LEASE)
        assert found is not None
        return found

    async def test_a_deploy_comes_back_as_it_was_saved(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        wanted = replace(
            await self.claimed(stores),
            status=DeployStatus.FAILED,
            phase=Phase.BUILD,
            release=4,
            commit="c" * 40,
            message="fix – it",
            error={"step": "build", "code": "x", "message": "m", "hint": ""},
            receipt=Receipt(10, 1, 2.5, 9.0, 3, 0),
            carry={"image": "sha256:1"},
            ended_at=NOW,
        )

        await stores.deploys.save(wanted, "me")

        assert await stores.deploys.get("d1") == wanted

    async def test_a_deploy_comes_back_with_the_login_in_its_address(self, stores: Stores) -> None:
        await stores.deploys.create(replace(deploy("d1"), source=GUARDED))

        found = await self.claimed(stores)

        assert found.source == GUARDED
        assert (await stores.deploys.get("d1")).source == GUARDED

    async def test_claims_go_by_age_and_one_for_each_app(self, stores: Stores) -> None:
        for item in (deploy("a"), deploy("b", kind=DeployKind.ENV), deploy("c", app="blog")):
            await stores.deploys.create(item)

        claimed = [await stores.deploys.claim("me", NOW, LEASE) for _ in range(3)]

        assert [item and item.id for item in claimed] == ["a", "c", None]
        await stores.deploys.save(replace(await stores.deploys.get("a"), status=DeployStatus.LIVE), "me")
        assert (await self.claimed(stores)).id == "b"

    async def test_a_newer_wish_of_the_same_kind_takes_the_place_of_a_queued_one(self, stores: Stores) -> None:
        for item in (deploy("running"), deploy("old"), deploy("env", kind=DeployKind.ENV), deploy("other", "blog")):
            await stores.deploys.create(item)
            if item.id == "running":
                await self.claimed(stores)

        await stores.deploys.create(deploy("new"))

        status = {item.id: item.status.value for item in (await stores.deploys.list()).items}
        assert status == {
            "running": "running",
            "old": "superseded",
            "env": "queued",
            "other": "queued",
            "new": "queued",
        }
        assert (await stores.deploys.get("old")).ended_at == NOW

    async def test_an_abandoned_deploy_goes_to_the_next_owner_with_its_steps(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        await self.claimed(stores, "first")
        await stores.deploys.step("d1", Step(Phase.FETCH, NOW))

        assert await stores.deploys.claim("second", NOW + timedelta(seconds=LEASE - 1), LEASE) is None
        taken = await self.claimed(stores, "second", NOW + timedelta(seconds=LEASE))

        assert taken.id == "d1"
        assert taken.steps == (Step(Phase.FETCH, NOW),)
        assert not await stores.deploys.renew("d1", "first", NOW, LEASE)
        with pytest.raises(Conflict, match="'first'"):
            await stores.deploys.save(replace(taken, status=DeployStatus.LIVE), "first")
        assert (await stores.deploys.get("d1")).status is DeployStatus.RUNNING

    async def test_a_heartbeat_keeps_the_lease(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        await self.claimed(stores, "first")

        assert await stores.deploys.renew("d1", "first", NOW + timedelta(seconds=14), LEASE)

        assert await stores.deploys.claim("second", NOW + timedelta(seconds=20), LEASE) is None

    async def test_a_new_daemon_takes_over_at_once(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        await stores.deploys.create(deploy("d2", "blog"))
        await self.claimed(stores, "dead")
        await self.claimed(stores, "me")

        await stores.deploys.release_leases("me")

        assert (await self.claimed(stores, "me")).id == "d1"
        assert await stores.deploys.renew("d2", "me", NOW, LEASE)
        assert not await stores.deploys.renew("d1", "dead", NOW, LEASE)

    async def test_a_final_status_stays(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        live = replace(await self.claimed(stores), status=DeployStatus.LIVE, ended_at=NOW)
        await stores.deploys.save(live, "me")

        await stores.deploys.save(live, "me")
        with pytest.raises(Conflict):
            await stores.deploys.save(replace(live, status=DeployStatus.RUNNING), "me")
        assert not await stores.deploys.renew("d1", "me", NOW, LEASE)
        assert await stores.deploys.claim("me", NOW + timedelta(days=1), LEASE) is None

        await stores.deploys.set_receipt("d1", Receipt(requests=5))
        assert await stores.deploys.get("d1") == replace(live, receipt=Receipt(requests=5))

    async def test_the_deploy_of_a_deleted_app_is_nobodys(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        running = await self.claimed(stores)

        await stores.apps.delete("shop")

        assert not await stores.deploys.renew("d1", "me", NOW, LEASE)
        with pytest.raises(Conflict, match="gone"):
            await stores.deploys.save(running, "me")

    async def test_cancel_ends_a_queued_one_and_tells_a_running_one(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        running = await self.claimed(stores)
        await stores.deploys.create(deploy("d2"))

        assert (await stores.deploys.cancel("d1")).status is DeployStatus.RUNNING
        assert (await stores.deploys.cancel("d2")).status is DeployStatus.CANCELLED
        with pytest.raises(Conflict):
            await stores.deploys.cancel("d2")

        await stores.deploys.save(replace(running, carry={"a": "b"}), "me")
        assert (await stores.deploys.get("d1")).cancel
        assert [item.id for item in await stores.deploys.active()] == ["d1"]

    async def test_a_step_is_put_by_its_phase(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))
        built = Step(Phase.BUILD, NOW, NOW + timedelta(seconds=3), "cached")

        for step in (Step(Phase.BUILD, NOW), Step(Phase.FETCH, NOW), built):
            await stores.deploys.step("d1", step)

        assert (await stores.deploys.get("d1")).steps == (Step(Phase.FETCH, NOW), built)
        with pytest.raises(NotFound):
            await stores.deploys.step("nobody", built)

    async def test_pages_run_from_the_newest(self, stores: Stores) -> None:
        for number in range(5):
            await stores.deploys.create(deploy(f"d{number}", "blog" if number == 2 else "shop"))

        first = await stores.deploys.list("shop", limit=2)
        second = await stores.deploys.list("shop", before=first.next, limit=2)

        assert [item.id for item in (*first.items, *second.items)] == ["d4", "d3", "d1", "d0"]
        assert second.next == ""

    async def test_what_is_unknown_is_not_found(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            await stores.deploys.get("d1")
        with pytest.raises(NotFound):
            await stores.deploys.cancel("d1")
        with pytest.raises(NotFound, match="no app 'shpo'"):
            await stores.deploys.create(deploy("d1", "shpo"))

    async def test_an_id_is_taken_once(self, stores: Stores) -> None:
        await stores.deploys.create(deploy("d1"))

        with pytest.raises(Conflict):
            await stores.deploys.create(deploy("d1", "blog"))


class EventStoreContract:
    async def test_events_come_newest_first(self, stores: Stores) -> None:
        added = [
            await stores.events.add(Event("k", f"text {number}", app="shop" if number % 2 else "", data={"a": "ü"}))
            for number in range(6)
        ]

        everything = await stores.events.list(limit=4)
        rest = await stores.events.list(before=int(everything.next))
        of_shop = await stores.events.list("shop")

        assert [*everything.items, *rest.items] == added[::-1]
        assert list(of_shop.items) == [added[5], added[3], added[1]]
        assert added[0].at == NOW
        assert rest.next == ""

    async def test_wrong_characters_do_no_harm(self, stores: Stores) -> None:
        added = await stores.events.add(Event("k", "a\udcff\0b", data={"k": "\udcff"}))

        assert (await stores.events.list()).items == (added,)


class AccessStoreContract:
    def token(self, **changes: object) -> Token:
        token = Token("t1", "laptop", "lee_abcdefgh", "f" * 64, Scope.DEPLOY, "ada", NOW)
        return replace(token, **changes)  # type: ignore[arg-type]

    async def test_a_person_is_put_and_found(self, stores: Stores) -> None:
        ada = User("ada", "$argon2id$1", Scope.ADMIN, NOW)
        await stores.access.put_user(ada)
        await stores.access.put_user(replace(ada, password_hash="$argon2id$2", scope=Scope.READ))

        assert await stores.access.find_user("ada") == User("ada", "$argon2id$2", Scope.READ, NOW)
        assert await stores.access.find_user("bob") is None
        assert [user.name for user in await stores.access.users()] == ["ada"]

    async def test_a_session_ends_by_time_or_by_sign_out(self, stores: Stores) -> None:
        ada = User("ada", "h", Scope.ADMIN, NOW)
        await stores.access.put_user(ada)
        await stores.access.add_session("s1", "ada", NOW + timedelta(hours=1))

        assert await stores.access.find_session("s1", NOW) == ada
        assert await stores.access.find_session("s1", NOW + timedelta(hours=1)) is None
        await stores.access.end_session("s1")
        await stores.access.end_session("s1")
        assert await stores.access.find_session("s1", NOW) is None

    async def test_a_token_works_until_it_expires_or_is_revoked(self, stores: Stores) -> None:
        await stores.access.add_token(self.token(expires_at=NOW + timedelta(days=1)))
        await stores.access.add_token(self.token(id="t2", digest="e" * 64))

        found = await stores.access.find_token("f" * 64, NOW)
        assert found is not None and found.id == "t1" and found.scope is Scope.DEPLOY
        assert await stores.access.find_token("f" * 64, NOW + timedelta(days=1)) is None
        await stores.access.revoke_token("t2", NOW)
        assert await stores.access.find_token("e" * 64, NOW) is None
        assert {token.id: token.revoked_at for token in await stores.access.tokens()} == {"t1": None, "t2": NOW}
        with pytest.raises(NotFound):
            await stores.access.revoke_token("t3", NOW)

    async def test_the_last_use_is_noted_once_a_minute(self, stores: Stores) -> None:
        await stores.access.add_token(self.token())
        noted = []

        for seconds in (0, 30, 61):
            await stores.access.find_token("f" * 64, NOW + timedelta(seconds=seconds))
            noted.append((await stores.access.tokens())[0].last_used_at)

        assert noted == [NOW, NOW, NOW + timedelta(seconds=61)]

    async def test_an_answer_is_kept_for_a_day(self, stores: Stores) -> None:
        await stores.access.remember("key", "digest", '{"token": "lee_x"}', NOW)

        assert await stores.access.recall("key", NOW + timedelta(hours=23)) == ("digest", '{"token": "lee_x"}')
        assert await stores.access.recall("key", NOW + timedelta(hours=24)) is None
        assert await stores.access.recall("other", NOW) is None
        await stores.access.remember("key", "digest 2", "new", NOW + timedelta(hours=25))
        assert await stores.access.recall("key", NOW + timedelta(hours=25)) == ("digest 2", "new")


def lines(*texts: str, source: str = "i1", process: str = "web", at: float = 100.0) -> list[LogLine]:
    return [LogLine(at + number, source, "stdout", text, process) for number, text in enumerate(texts)]


def texts(found: Sequence[LogLine]) -> list[str]:
    return [line.text for line in found]


class LogStoreContract:
    async def test_lines_come_back_as_they_were(self, stores: Stores) -> None:
        put = [
            LogLine(1764000000.1234567, "i1", "stdout", "plain", "web"),
            LogLine(1764000000.2, "i2", "stderr", "tab\there ünïcode \x00\x1b[31m\r", "worker"),
            LogLine(1764000001.0, "i1", "stdout", "", "web"),
        ]

        await stores.logs.append("shop", put)

        assert list(await stores.logs.tail("shop")) == put
        assert list(await stores.logs.tail("blog")) == []

    async def test_the_tail_is_chosen_by_source_process_text_and_time(self, stores: Stores) -> None:
        await stores.logs.append("shop", lines("a1", "a2 Needle", "a3"))
        await stores.logs.append("shop", lines("b1", "b2", source="i2", process="worker", at=200))
        await stores.logs.append("shop", lines("c1 needle", source="build/d1", process="", at=300))

        assert texts(await stores.logs.tail("shop")) == ["a1", "a2 Needle", "a3", "b1", "b2"]
        assert texts(await stores.logs.tail("shop", 2)) == ["b1", "b2"]
        assert texts(await stores.logs.tail("shop", source="i1")) == ["a1", "a2 Needle", "a3"]
        assert texts(await stores.logs.tail("shop", process="worker")) == ["b1", "b2"]
        assert texts(await stores.logs.tail("shop", search="needle")) == ["a2 Needle"]
        assert texts(await stores.logs.tail("shop", source="build/d1")) == ["c1 needle"]
        assert texts(await stores.logs.tail("shop", 2, before=102.0)) == ["a1", "a2 Needle"]

    async def test_lines_of_several_instances_are_ordered_by_time(self, stores: Stores) -> None:
        await stores.logs.append("shop", lines("second", "fourth", at=2))
        await stores.logs.append("shop", lines("first", source="i2", at=1.5))
        await stores.logs.append("shop", lines("third", source="i2", at=2.5))

        assert texts(await stores.logs.tail("shop")) == ["first", "second", "third", "fourth"]
        assert texts(await stores.logs.tail("shop", 1)) == ["fourth"]

    async def test_any_line_is_safe(self, stores: Stores) -> None:
        wild = ["x" * 1_000_000, "é" * 20_000, "bad \udcff byte", "two\nlines\n", "1\t2\t3\t4\t5\t6"]

        await stores.logs.append("shop", lines(*wild))
        found = texts(await stores.logs.tail("shop"))

        assert found[0].startswith("xxx") and found[0].endswith("(1000000 characters, cut)")
        assert all(len(text.encode()) <= 16 * 1024 for text in found)
        assert found[2:] == ["bad \ufffd byte", "two", "lines", "1\t2\t3\t4\t5\t6"]

    async def test_the_newest_time_of_a_source_is_known(self, stores: Stores) -> None:
        await stores.logs.append("shop", lines("a", "b", at=50))
        await stores.logs.append("shop", lines("late", at=10))

        assert await stores.logs.last_at("shop", "i1") == 51
        assert await stores.logs.last_at("shop", "i2") == 0.0

    async def test_a_follower_gets_what_comes_after_it(self, stores: Stores) -> None:
        await stores.logs.append("shop", lines("before"))
        everything = stores.logs.follow("shop")
        workers = stores.logs.follow("shop", process="worker")
        builds = stores.logs.follow("shop", source="build/d1")

        await stores.logs.append("shop", lines("w", process="worker"))
        await stores.logs.append("blog", lines("other"))
        await stores.logs.append("shop", lines("b", source="build/d1"))
        await stores.logs.append("shop", lines("a"))

        assert [(await anext(everything)).text for _ in range(2)] == ["w", "a"]
        assert (await anext(workers)).text == "w"
        assert (await anext(builds)).text == "b"

    async def test_a_slow_follower_loses_the_oldest(self, stores: Stores) -> None:
        slow = stores.logs.follow("shop")

        await stores.logs.append("shop", lines(*(str(number) for number in range(10_500))))

        assert (await anext(slow)).text == "500"

    async def test_sweeping_takes_the_oldest_first_and_keeps_builds_apart(self, stores: Stores) -> None:
        noise = [random.Random(number).randbytes(450).hex() for number in range(3000)]
        await stores.logs.append("shop", lines(*noise[:300], source="build/d1"))
        for begin in range(0, len(noise), 300):
            await stores.logs.append("shop", lines(*noise[begin : begin + 300], at=begin))

        before = len(await stores.logs.tail("shop", 5000))
        freed = await stores.logs.sweep(700_000)
        kept = texts(await stores.logs.tail("shop", 5000))

        assert before == 3000 and freed > 0
        assert kept == noise[-len(kept) :]
        assert len(kept) < 3000
        assert len(await stores.logs.tail("shop", 5000, source="build/d1")) == 300
        assert await stores.logs.sweep(10**9) == 0
        await stores.logs.append("shop", lines("goes on", at=9000))
        assert texts(await stores.logs.tail("shop", 1)) == ["goes on"]

    async def test_a_forgotten_app_has_no_lines(self, stores: Stores) -> None:
        await stores.logs.append("shop", lines("a" * 1000) * 600)

        await stores.logs.forget("shop")
        await stores.logs.forget("shop")
        await stores.logs.append("shop", lines("new"))

        assert texts(await stores.logs.tail("shop")) == ["new"]


class SampleStoreContract:
    async def test_series_are_averaged_in_steps(self, stores: Stores) -> None:
        for second in range(0, 60, 10):
            await stores.samples.record(1000.0 + second, {"shop/web/i1/cpu": second / 10, "shop/web/i2/cpu": 1.0})
        await stores.samples.record(1000.0, {"shopper/web/i1/cpu": 5.0})

        found = await stores.samples.series("shop/", 1000.0, 1060.0, 30.0)

        assert found == {
            "shop/web/i1/cpu": [(1000.0, 1.0), (1030.0, 4.0)],
            "shop/web/i2/cpu": [(1000.0, 1.0), (1030.0, 1.0)],
        }

    async def test_old_hours_read_like_new_ones(self, stores: Stores) -> None:
        start = 1_764_000_000.0
        values = {start + number * 15: 0.5 + (number % 7) / 8 for number in range(3 * 240)}
        for at, value in values.items():
            await stores.samples.record(at, {"shop/web/i1/cpu": value, "shop/web/i1/memory": value * 1e9})

        found = await stores.samples.series("shop/", start, start + 3 * 3600, 15.0)

        assert dict(found["shop/web/i1/cpu"]) == pytest.approx(values)
        assert [value for _, value in found["shop/web/i1/memory"]] == pytest.approx(
            [value * 1e9 for value in values.values()]
        )

    async def test_a_sweep_forgets_what_is_older(self, stores: Stores) -> None:
        for hour in range(4):
            await stores.samples.record(hour * 3600.0, {f"shop/{hour}": 1.0})

        await stores.samples.sweep(2 * 3600.0)

        assert sorted(await stores.samples.series("shop/", 0, 4 * 3600.0, 60)) == ["shop/2", "shop/3"]

    async def test_a_number_that_is_none_does_no_harm(self, stores: Stores) -> None:
        await stores.samples.record(10.0, {"a": float("nan"), "b": float("inf"), "c": 1.0})
        await stores.samples.record(10_000.0, {"c": 1.0})

        assert await stores.samples.series("", 0, 20, 20) == {"c": [(0, 1.0)]}


class NoticesContract:
    async def test_a_reader_gets_its_topics_once_each(self, stores: Stores) -> None:
        reader = stores.notices.subscribe("app/", "deploy/d1")

        for topic in ("app/shop", "events", "deploy/d2", "app/shop", "deploy/d1", "app/blog"):
            stores.notices.publish(topic)

        assert [await anext(reader) for _ in range(3)] == ["app/shop", "deploy/d1", "app/blog"]
        stores.notices.publish("app/shop")
        assert await anext(reader) == "app/shop"

    async def test_a_waiting_reader_is_woken(self, stores: Stores) -> None:
        reader = stores.notices.subscribe("events")
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)

        stores.notices.publish("events")

        assert await asyncio.wait_for(waiting, 1) == "events"

    async def test_changes_are_told_by_the_stores_themselves(self, stores: Stores) -> None:
        reader = stores.notices.subscribe("")

        await stores.apps.create(App("shop"))
        await stores.deploys.create(deploy("d1"))
        await stores.events.add(Event("k", "t"))

        assert [await anext(reader) for _ in range(3)] == ["app/shop", "deploy/d1", "events"]

    async def test_an_update_that_changes_nothing_wakes_nobody(self, stores: Stores) -> None:
        await stores.apps.create(App("shop"))
        reader = stores.notices.subscribe("")

        await stores.apps.update("shop", lambda app: app)
        stores.notices.publish("end")

        assert await anext(reader) == "end"


class RegionStoreContract:
    async def test_a_region_is_kept_with_its_credentials(self, stores: Stores) -> None:
        east = Region("east", EngineKind.KUBERNETES, Secret("the-access-file"), "admin", "10.0.0.1:5000")

        await stores.regions.put(east)
        await stores.regions.put(replace(east, profile=Profile.GKE_AUTOPILOT))

        (found,) = await stores.regions.list()
        assert found == replace(east, profile=Profile.GKE_AUTOPILOT, created_at=NOW)
        assert found.credentials is not None and found.credentials.reveal() == "the-access-file"

    async def test_a_region_that_nobody_added_is_named_with_those_that_there_are(self, stores: Stores) -> None:
        await stores.regions.put(Region("east", EngineKind.KUBERNETES))

        for question in (stores.regions.get("west"), stores.regions.delete("west")):
            with pytest.raises(NotFound, match="there is no region 'west', but local, east"):
                await question
        await stores.regions.delete("east")
        assert await stores.regions.list() == []


class LoginStoreContract:
    async def test_a_login_is_kept_and_changed(self, stores: Stores) -> None:
        await stores.logins.put(Login("ghcr.io", "ada", Secret("one")))
        await stores.logins.put(Login("ghcr.io", "bob", Secret("two")))

        (found,) = await stores.logins.list()
        assert found == Login("ghcr.io", "bob", found.password, NOW)
        assert found.password.reveal() == "two"
        assert await stores.logins.find("ghcr.io") == found
        assert await stores.logins.find("quay.io") is None

    async def test_a_login_that_is_not_there_is_named_with_those_that_are(self, stores: Stores) -> None:
        await stores.logins.put(Login("ghcr.io", "ada", Secret("one")))

        with pytest.raises(NotFound, match=r"there is no login for 'quay\.io'") as caught:
            await stores.logins.delete("quay.io")
        assert "ghcr.io" in caught.value.hint
        await stores.logins.delete("ghcr.io")
        assert await stores.logins.list() == []


class TestSqlAppStore(AppStoreContract): ...


class TestSqlReleaseStore(ReleaseStoreContract): ...


class TestSqlDeployStore(DeployStoreContract): ...


class TestSqlEventStore(EventStoreContract): ...


class TestSqlAccessStore(AccessStoreContract): ...


class TestFileLogStore(LogStoreContract): ...


class TestChunkSampleStore(SampleStoreContract): ...


class TestLocalNotices(NoticesContract): ...


class TestSqlRegionStore(RegionStoreContract):
    async def test_the_credentials_of_a_region_are_sealed(self, stores: Stores, tmp_path: Path) -> None:
        await stores.regions.put(Region("east", EngineKind.KUBERNETES, Secret("the-access-file")))

        kept = b"".join(file.read_bytes() for file in tmp_path.glob("leeward.db*"))

        assert b"east" in kept and b"the-access-file" not in kept


# --- images -----------------------------------------------------------------------------------------------

LIBSSL = Component(Ecosystem.DEB, "libssl3", "3.0.15-1", "var/lib/dpkg/status", "amd64")
FLASK = Component(Ecosystem.PYPI, "flask", "3.0.0", "opt/venv/flask.dist-info/METADATA")
MARK = BaseMark("python3.13", "tag", "content", "amd64 libc6", 1)


async def imaged(stores: Stores, app: str, *layers: str, live: bool = True) -> Release:
    if await stores.apps.find(app) is None:
        await stores.apps.create(App(app, created_at=NOW))
    made = await stores.releases.add(release(app=app))
    said = {"base": LayerPackages((LIBSSL,)), "deps": LayerPackages((FLASK,), ("old",), (FLASK.path,))}
    facts = ImageFacts(made.image, layers, "amd64", MARK)
    await stores.images.put(app, made.number, facts, {layer: said.get(layer, LayerPackages()) for layer in layers})
    if live:
        await stores.apps.update(app, lambda now: replace(now, live=made.number))
    return made


async def test_what_an_image_is_made_of_comes_back_as_it_was(stores: Stores) -> None:
    made = await imaged(stores, "shop", "base", "deps", "code")

    facts = await stores.images.facts("shop", made.number, made.image)

    assert facts == ImageFacts(made.image, ("base", "deps", "code"), "amd64", MARK)
    assert await stores.images.packages(facts.layers) == [
        LayerPackages((LIBSSL,)),
        LayerPackages((FLASK,), ("old",), (FLASK.path,)),
        LayerPackages(),
    ]
    assert await stores.images.known(["base", "deps", "other"]) == {"base", "deps"}
    assert await stores.images.facts("shop", 99, made.image) is None


async def test_an_image_that_is_noted_twice_is_noted_once(stores: Stores) -> None:
    made = await imaged(stores, "shop", "base", "deps")

    await stores.images.put("shop", made.number, ImageFacts(made.image, ("base",)), {"base": LayerPackages()})

    facts = await stores.images.facts("shop", made.number, made.image)
    assert facts == ImageFacts(made.image, ("base",))
    assert await stores.images.packages(["base"]) == [LayerPackages((LIBSSL,))]


async def test_apps_are_found_by_a_package_of_their_live_release(stores: Stores) -> None:
    await imaged(stores, "shop", "base", "deps")
    await imaged(stores, "cafe", "base")
    await imaged(stores, "draft", "base", "deps", live=False)

    assert await stores.images.find("libssl3") == [("cafe", 1), ("shop", 1)]
    assert await stores.images.find("libssl*") == [("cafe", 1), ("shop", 1)]
    assert await stores.images.find("flask") == [("shop", 1)]
    assert await stores.images.find("lib_sl3") == []
    assert [standing.app for standing in await stores.images.live()] == ["cafe", "shop"]
    assert (await stores.images.live())[0].base == MARK


async def test_layers_that_no_kept_release_has_are_forgotten(stores: Stores) -> None:
    await imaged(stores, "shop", "base", "deps")
    for _ in range(3):
        await imaged(stores, "shop", "base", "code", live=False)

    await stores.images.sweep(2)

    assert await stores.images.known(["base", "deps", "code"]) == {"base", "deps", "code"}, "release 1 is live"
    await stores.apps.update("shop", lambda now: replace(now, live=4))
    await stores.images.sweep(2)
    assert await stores.images.known(["base", "deps", "code"]) == {"base", "code"}
    await stores.apps.delete("shop")
    await stores.images.sweep(2)
    assert await stores.images.known(["base", "code"]) == frozenset()


async def test_what_is_known_of_a_base_is_kept(stores: Stores) -> None:
    newer = (Upgrade("openssl", "3.0.15-1", "3.0.17-1", "bookworm-security"),)
    await stores.images.put_base(BaseState("static", "a"))
    state = BaseState("static", "b", "a", newer, NOW, "no answer")

    await stores.images.put_base(state)

    assert await stores.images.bases() == {"static": state}


class TestSqlLoginStore(LoginStoreContract): ...
