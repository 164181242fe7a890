"""Deploys: what is queued, refused, repeated, watched."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.services_stage import ADMIN, COMMIT, DEPLOYER, GIT, IMAGE, NOW, READER, Stage, stage

from leeward.errors import Conflict, Forbidden, Invalid, NotFound
from leeward.model.app import AppSpec
from leeward.model.release import DeployKind, DeployStatus, SourceKind, SourceRef
from leeward.model.runtime import LogLine
from leeward.services.ids import Ids
from leeward.services.references import checked
from leeward.services.views import source_view


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_a_deploy_creates_the_app_and_wakes_the_loops(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT, {"processes": {"web": {"size": "nano"}}}, "first")

    app = await st.stores.apps.get("shop")
    assert (deploy.kind, deploy.status, deploy.source) == (DeployKind.CODE, DeployStatus.QUEUED, GIT)
    assert (deploy.actor, deploy.message) == ("dan", "first")
    assert app.spec.processes["web"].size == "nano" and app.source == GIT
    assert await st.kinds() == ["app.created", "deploy.queued"]
    assert {f"deploy/{deploy.id}", "app/shop"} <= set(st.pokes)


async def test_the_audit_event_names_who_and_with_which_token(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT)

    event = (await st.services.events.list("shop")).items[0]
    assert (event.actor, event.at) == ("dan", NOW)
    assert event.data == {"token": "ci", "deploy": deploy.id, "kind": "code"}


async def test_without_a_source_the_last_one_is_fetched_again_and_the_spec_stays(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT, {"edge": {"cache": "all"}})

    again = await st.services.deploys.deploy(DEPLOYER, "shop")

    assert again.source == GIT
    assert (await st.stores.apps.get("shop")).spec.edge.cache == "all"


async def test_a_wrong_name_is_refused_and_nothing_is_made(st: Stage) -> None:
    for name in ("my shop", "Shop", "s" * 64, "läden", "", "-shop", "shop-", "1shop", "a/b", "a\0b", "shop\n"):
        with pytest.raises(Invalid) as caught:
            await st.services.deploys.deploy(DEPLOYER, name, GIT)
        assert [problem.path for problem in caught.value.problems] == ["name"]

    assert (await st.stores.apps.list()).items == () and (await st.stores.deploys.list()).items == ()


async def test_a_reserved_name_is_refused(st: Stage) -> None:
    with pytest.raises(Invalid, match="'console' is reserved"):
        await st.services.deploys.deploy(DEPLOYER, "console", GIT)


async def test_every_unknown_key_of_a_spec_is_named_with_what_was_meant(st: Stage) -> None:
    with pytest.raises(Invalid) as caught:
        await st.services.deploys.deploy(DEPLOYER, "shop", GIT, {"proceses": {}, "edge": {"cach": "all"}})

    found = {problem.path: problem.hint for problem in caught.value.problems}
    assert found == {"proceses": "did you mean 'processes'?", "edge/cach": "did you mean 'cache'?"}
    assert await st.stores.apps.find("shop") is None


async def test_more_than_fifty_instances_of_a_process_are_refused(st: Stage) -> None:
    with pytest.raises(Invalid, match="processes/web/instances/min"):
        await st.services.deploys.deploy(DEPLOYER, "shop", GIT, {"processes": {"web": {"instances": 51}}})


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (SourceRef(SourceKind.GIT, url=""), "git/url"),
        (SourceRef(SourceKind.GIT, url="--upload-pack=sh"), "git/url"),
        (SourceRef(SourceKind.GIT, url="ext::sh -c id"), "git/url"),
        (SourceRef(SourceKind.GIT, url="javascript:alert(1)"), "git/url"),
        (SourceRef(SourceKind.GIT, url="https://x/y.git", ref="--force"), "git/ref"),
        (SourceRef(SourceKind.GIT, url="https://x/y.git", ref="a..b"), "git/ref"),
        (SourceRef(SourceKind.GIT, url="https://x/y.git", commit="HEAD"), "git/commit"),
        (SourceRef(SourceKind.GIT, url="https://x/y.git", path="../etc"), "path"),
        (SourceRef(SourceKind.GIT, url="https://x/y.git", path="/etc"), "path"),
        (SourceRef(SourceKind.UPLOAD, upload="../../etc/passwd"), "upload"),
        (SourceRef(SourceKind.IMAGE, image="Not An Image"), "image"),
        (SourceRef(SourceKind.IMAGE, image="-v"), "image"),
        (SourceRef(SourceKind.NONE, release=1), "source"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused(source: SourceRef, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked(source)

    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize("url", ["git@host.example:me/shop.git", "file:///srv/shop", "/srv/shop", "ssh://h/x"])
def test_every_way_to_write_a_git_url_is_taken(url: str) -> None:
    assert checked(SourceRef(SourceKind.GIT, url=url, path="./backend/")).path == "backend"


async def test_an_app_without_a_source_says_what_to_give(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")

    with pytest.raises(Invalid, match="has no source yet") as caught:
        await st.services.deploys.deploy(DEPLOYER, "shop")

    assert "'git', 'upload' or 'image'" in caught.value.hint


async def test_a_reader_may_not_deploy(st: Stage) -> None:
    with pytest.raises(Forbidden, match="needs 'deploy'"):
        await st.services.deploys.deploy(READER, "shop", GIT)


async def test_an_app_that_is_being_deleted_takes_no_deploy(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    await st.services.apps.delete(ADMIN, "shop")

    with pytest.raises(Conflict, match="'shop' is being deleted"):
        await st.services.deploys.deploy(DEPLOYER, "shop", GIT)


async def test_the_same_key_gives_the_same_deploy_also_at_once(st: Stage) -> None:
    wishes = [st.services.deploys.deploy(DEPLOYER, "shop", IMAGE, idempotency_key="k1") for _ in range(5)]

    deploys = await asyncio.gather(*wishes)

    assert len({deploy.id for deploy in deploys}) == 1
    assert len((await st.stores.deploys.list()).items) == 1


async def test_the_same_key_for_another_request_is_refused(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", IMAGE, idempotency_key="k1")

    with pytest.raises(Conflict, match="another request"):
        await st.services.deploys.deploy(DEPLOYER, "shop", GIT, idempotency_key="k1")


async def test_two_first_deploys_at_once_are_two_deploys_of_one_app(st: Stage) -> None:
    wishes = [st.services.deploys.deploy(DEPLOYER, "shop", source) for source in (GIT, IMAGE)]

    deploys = await asyncio.gather(*wishes)

    assert {deploy.app for deploy in deploys} == {"shop"} and (await st.kinds()).count("app.created") == 1


async def test_a_key_belongs_to_its_caller(st: Stage) -> None:
    first = await st.services.deploys.deploy(DEPLOYER, "shop", IMAGE, idempotency_key="k1")
    second = await st.services.deploys.deploy(ADMIN, "shop", IMAGE, idempotency_key="k1")

    assert first.id != second.id


async def test_a_deploy_is_cancelled_once(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT)

    assert (await st.services.deploys.cancel(DEPLOYER, deploy.id)).status is DeployStatus.CANCELLED
    with pytest.raises(Conflict):
        await st.services.deploys.cancel(DEPLOYER, deploy.id)
    with pytest.raises(NotFound):
        await st.services.deploys.cancel(DEPLOYER, "nope")
    with pytest.raises(Forbidden):
        await st.services.deploys.cancel(READER, deploy.id)


async def test_a_rollback_goes_to_the_release_before_the_live_one(st: Stage) -> None:
    await st.live("shop")
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    await st.live("shop")

    deploy = await st.services.deploys.rollback(DEPLOYER, "shop")

    assert deploy.kind is DeployKind.ROLLBACK
    assert deploy.source == SourceRef(SourceKind.NONE, release=1, commit=COMMIT)


async def test_a_rollback_passes_over_a_release_that_never_was_live(st: Stage) -> None:
    await st.live("shop")
    first = await st.stores.releases.get("shop", 1)
    await st.stores.releases.add(replace(first, deploy="failed"))
    await st.live("shop")

    deploy = await st.services.deploys.rollback(DEPLOYER, "shop")

    assert deploy.source.release == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/a/b.git", "https://example.com/a/b.git"),
        ("https://user:token@example.com/a.git", "https://***@example.com/a.git"),
        ("https://token@example.com/a.git", "https://***@example.com/a.git"),
        ("file:///srv/a", "file:///srv/a"),
    ],
)
def test_a_token_in_a_git_address_is_not_shown(url: str, shown: str) -> None:
    assert source_view(SourceRef(SourceKind.GIT, url=url)).url == shown


async def test_a_rollback_to_what_is_not_there_or_live_is_refused(st: Stage) -> None:
    await st.live("shop")

    with pytest.raises(NotFound):
        await st.services.deploys.rollback(DEPLOYER, "shop", 7)
    with pytest.raises(Conflict, match="v1 of 'shop' is live already"):
        await st.services.deploys.rollback(DEPLOYER, "shop", 1)
    with pytest.raises(Conflict, match="never live before v1"):
        await st.services.deploys.rollback(DEPLOYER, "shop")


async def test_releases_are_listed_newest_first_without_values(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    await st.services.environment.change(DEPLOYER, "shop", secrets={"KEY": "hidden-value"})
    await st.live("shop")
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    await st.live("shop")

    page = await st.services.deploys.releases("shop", limit=1)

    assert [(item.release, item.live, item.env_keys) for item in page.items] == [("v2", True, ("KEY",))]
    assert "hidden-value" not in repr(page)
    assert (await st.services.deploys.releases("shop", int(page.next))).items[0].release == "v1"


async def test_a_deploy_is_watched_to_its_end(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    seen, begun = [], asyncio.Event()

    async def watch() -> None:
        async for now in st.services.deploys.watch(deploy.id):
            seen.append(now.status)
            begun.set()

    task = asyncio.create_task(watch())
    await begun.wait()
    await st.live("shop")
    await asyncio.wait_for(task, 2)

    assert seen[0] is DeployStatus.QUEUED and seen[-1] is DeployStatus.LIVE


async def test_the_stream_of_a_deploy_has_its_log_once_and_ends_with_its_status(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    await st.stores.logs.append("shop", [_line(deploy.id, 1, "early")])
    seen: list[str] = []
    begun = asyncio.Event()

    async def follow() -> None:
        async for item in st.services.logs.deploy_events(deploy.id):
            seen.append(item.text if isinstance(item, LogLine) else item.status.value)
            if not isinstance(item, LogLine):
                begun.set()

    task = asyncio.create_task(follow())
    await begun.wait()
    await st.stores.logs.append("shop", [_line(deploy.id, 2, "middle"), _line("other", 2, "not mine")])
    await st.stores.logs.append("shop", [_line(deploy.id, 3, "late")])
    await st.live("shop")
    await asyncio.wait_for(task, 3)

    assert seen[0] == "early" and seen[-1] == "live"
    assert [seen.count(text) for text in ("early", "middle", "late", "not mine")] == [1, 1, 1, 0]


async def test_the_view_of_a_deploy_has_the_image_of_its_release(st: Stage) -> None:
    await st.live("shop")
    deploy = (await st.services.deploys.list("shop")).items[0]

    view = await st.services.deploys.view(deploy)

    assert (view.release, view.image, view.url) == ("v1", "registry/shop@sha256:1", "https://shop.lee.test")


async def test_a_manifest_may_not_take_the_domain_of_another_app(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT, {"domains": ["api.example.com"]})

    with pytest.raises(Conflict, match="belongs to app 'shop'"):
        await st.services.deploys.deploy(DEPLOYER, "other", GIT, AppSpec(domains=("api.example.com",)))


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = Ids()

    made = [ids.next(NOW) for _ in range(100)]

    assert made == sorted(made) and len(set(made)) == 100


def _line(deploy: str, at: float, text: str) -> LogLine:
    return LogLine(at, f"build/{deploy}", "stdout", text)
