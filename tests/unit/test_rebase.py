"""A newer base below the same layers: when it fits, what changes, and how it comes about."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.control_stage import Clock, Stage, stage

from leeward.model.image import BaseMark, BaseState, Upgrade
from leeward.model.release import Deploy, DeployKind, DeployStatus, Release
from leeward.plan.rebase import BUILT, LABELS, abi, content, flavours, labels, mark, own_packages, rebased, unfit

OLD = BaseMark("python3.13", "tag", "a", "amd64 libc6", 1)
SSL = Upgrade("openssl", "3.0.15-1", "3.0.17-1", "trixie-security")
TZ = Upgrade("tzdata", "2025a", "2025b", "trixie")


def status(**versions: str) -> str:
    return "\n\n".join(
        f"Package: {name.replace('_', '.')}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}"
        for name, version in versions.items()
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (OLD, replace(OLD, content="b"), ""),
        (None, OLD, "stands on no base of the platform"),
        (replace(OLD, content=""), OLD, "before bases had a digest"),
        (replace(OLD, flavour="python3.11"), OLD, "stands on 'python3.11', not on 'python3.13'"),
        (replace(OLD, tag="other"), OLD, "the recipe of 'python3.13' changed"),
        (replace(OLD, layers=2), OLD, "another number of layers"),
        (
            replace(OLD, abi="amd64 libc6 libssl1.1"),
            replace(OLD, abi="amd64 libc6 libssl3"),
            "libssl1.1, libssl3 changed",
        ),
        (replace(OLD, abi="arm64 libc6"), OLD, "amd64, arm64 changed"),
    ],
)
def test_an_image_fits_only_on_what_its_programs_are_linked_against(
    old: BaseMark | None, new: BaseMark, reason: str
) -> None:
    assert reason in unfit(old, new)
    assert bool(unfit(old, new)) == bool(reason)


def test_labels_say_what_a_base_is_and_are_read_back() -> None:
    assert mark(labels(OLD)) == OLD
    assert mark({"leeward.base": "static"}) == BaseMark("static")
    assert mark({}) is None


def test_the_content_follows_versions_and_the_abi_follows_names() -> None:
    one, two = status(libc6="2.36", openssl="3.0.15"), status(openssl="3.0.17", libc6="2.36")

    assert content(one) != content(two)
    assert content(one) == content(status(openssl="3.0.15", libc6="2.36"))
    assert abi(one) == abi(two) == "amd64 libc6"
    assert abi(status(libc6="1", python3_11_minimal="1").replace("3.11.", "3.11-")) == "amd64 libc6 python3.11-minimal"


def test_packages_that_an_image_has_of_its_own_are_named() -> None:
    assert own_packages(status(libc6="1", b="1"), status(libc6="1", b="2", a="1")) == ["a", "b"]


def test_only_the_lower_layers_their_history_and_the_labels_change() -> None:
    base_step = {"created_by": "LABEL leeward.base=x", "empty_layer": True}
    config = {
        "architecture": "amd64",
        "config": {"Env": ["A=1"], "Labels": {**labels(OLD), "leeward.app": "shop"}, "Cmd": ["run"]},
        "rootfs": {"type": "layers", "diff_ids": ["old1", "deps", "code"]},
        "history": [
            {"created_by": "old"},
            base_step,
            {"created_by": "ENV A=1", "empty_layer": True},
            {"created_by": "COPY deps"},
            {"created_by": "COPY code"},
        ],
    }
    new = replace(OLD, content="b")
    base = {
        "config": {"Env": ["B=2"], "Labels": dict(labels(new))},
        "rootfs": {"type": "layers", "diff_ids": ["new1"]},
        "history": [{"created_by": "new"}, base_step],
    }

    made = rebased(config, base, 1)

    assert made["rootfs"]["diff_ids"] == ["new1", "deps", "code"]
    steps = [step["created_by"] for step in made["history"]]
    assert steps == ["new", "LABEL leeward.base=x", "ENV A=1", "COPY deps", "COPY code"]
    assert made["config"]["Labels"] == {**labels(new), "leeward.app": "shop"}
    assert {**made["config"], "Labels": None} == {**config["config"], "Labels": None}  # type: ignore[dict-item]
    assert config["config"]["Labels"][LABELS["content"]] == "a", "the old one is as it was"  # type: ignore[index]


# --- how it comes about -----------------------------------------------------------------------------------


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Stage]:
    """The app 'shop', live on a base of which the mirror has newer packages."""
    async with stage(tmp_path) as made:
        base = made.images.add("python3.13")
        made.registry.local |= {f"leeward-base/python3.13:tag-{letter}" for letter in "abc"}
        await made.live()
        await _stand(made, replace(OLD, abi=base.mark.abi))
        made.images.mirror["python3.13"] = (TZ, SSL)
        yield made


async def _live(on: Stage) -> Release:
    app = await on.stores.apps.get("shop")
    return await on.stores.releases.get("shop", app.live or 0)


async def _stand(on: Stage, base: BaseMark) -> None:
    release = await _live(on)
    id = on.registry.stored[release.image]
    on.registry.marks[id] = base
    on.registry.layers[id] = ("base-a", "deps", "code")
    await on.bases.note(release, lambda line: None)


async def _rebase(on: Stage, id: str = "r1") -> Deploy:
    live = await _live(on)
    return await on.finish(await on.wish(DeployKind.REBASE, release=live.number, id=id))


async def test_a_rebased_app_is_a_new_release_that_differs_in_its_base_only(on: Stage) -> None:
    before = await _live(on)

    done = await _rebase(on)

    after = await _live(on)
    assert done.status is DeployStatus.LIVE, done.error
    assert after.number == before.number + 1
    assert after.image != before.image
    assert (after.spec, after.env, after.commands, after.commit) == (
        before.spec,
        before.env,
        before.commands,
        before.commit,
    )
    facts = await on.stores.images.facts("shop", after.number, after.image)
    assert facts is not None and facts.base is not None
    assert (facts.base.content, facts.layers[1:]) == ("b", ("deps", "code"))
    assert (await on.stores.images.bases())["python3.13"].content == "b"
    assert (await on.stores.images.bases())["python3.13"].former == ""


async def test_many_rebases_make_the_base_once(on: Stage) -> None:
    wishes = [await on.wish(DeployKind.REBASE, release=1, id=f"r{number}") for number in range(5)]

    carried = [await on.bases.prepare(wish, lambda line: None) for wish in wishes]

    assert {one.carry["base"] for one in carried} == {"leeward-base/python3.13:tag-b"}
    assert on.images.looks == 1


async def test_an_app_on_the_newest_base_is_left_as_it_is(on: Stage) -> None:
    on.images.mirror["python3.13"] = ()

    done = await _rebase(on)

    assert done.status is DeployStatus.FAILED and done.error is not None
    assert done.error["code"] == "nothing-newer"
    assert (await _live(on)).number == 1


async def test_what_depends_on_its_base_is_refused_by_name(on: Stage) -> None:
    on.registry.bound[on.registry.stored[(await _live(on)).image]] = "its image installs libgl1 on top of the base"

    done = await _rebase(on)

    assert done.error is not None
    assert "installs libgl1" in done.error["message"]
    assert "deploy it again" in done.error["hint"]
    assert (await _live(on)).number == 1


async def test_an_incompatible_base_is_refused(on: Stage) -> None:
    on.images.abi = "amd64 libc6 libssl3"

    done = await _rebase(on)

    assert done.error is not None
    assert "libssl3 changed in 'python3.13'" in done.error["message"]


async def test_a_crash_in_the_middle_makes_no_second_release(on: Stage) -> None:
    deploy = await on.wish(DeployKind.REBASE, release=1, id="r1")
    carried = await on.bases.prepare(deploy, lambda line: None)
    one = await on.bases.rebase(carried, lambda line: None)

    two = await on.bases.rebase(carried, lambda line: None)

    assert one.release == two.release == 2
    assert [tag for _, tag in on.registry.pushed[-2:]] == ["v2", "v2"]


# --- the daily look ---------------------------------------------------------------------------------------


async def test_the_look_says_once_what_is_newer_and_security_first(on: Stage) -> None:
    await on.bases.tick()
    await on.bases.tick()

    state = (await on.stores.images.bases())["python3.13"]
    assert state.newer == (TZ, SSL)
    assert on.images.looks == 1
    told = [event for event in (await on.stores.events.list()).items if event.kind == "bases.newer"]
    assert [event.text for event in told] == [
        "base 'python3.13': 2 packages are newer: openssl 3.0.15-1 -> 3.0.17-1 (trixie-security), tzdata 2025a -> 2025b"
    ]


async def test_a_mirror_that_is_away_is_asked_again_the_next_day(on: Stage) -> None:
    on.images.away = True
    await on.bases.tick()
    assert "no answer" in (await on.stores.images.bases())["python3.13"].problem
    state = (await on.stores.images.bases())["python3.13"]
    await on.stores.images.put_base(replace(state, checked_at=Clock().now() - timedelta(days=1)))
    on.images.away = False

    await on.bases.tick()

    assert (await on.stores.images.bases())["python3.13"].problem == ""
    assert (await on.stores.images.bases())["python3.13"].newer == (TZ, SSL)


async def test_new_builds_get_the_content_that_is_wished_for(on: Stage) -> None:
    await _rebase(on)
    state = (await on.stores.images.bases())["python3.13"]
    await on.stores.images.put_base(replace(state, content="a", former="b"))

    await on.bases.tick()

    assert (await on.images.present("python3.13")).mark.content == "a"


async def test_a_wish_for_a_content_that_is_gone_gives_way(on: Stage) -> None:
    await on.stores.images.put_base(BaseState("python3.13", "lost"))

    await on.bases.tick()

    assert (await on.images.present("python3.13")).mark.content == "a"
    assert (await on.stores.images.bases())["python3.13"].content == "a"


async def test_a_release_that_nobody_looked_into_is_looked_into(on: Stage) -> None:
    await on.live(more="2")
    release = await _live(on)
    async with on.stores.images._database.write() as connection:  # type: ignore[attr-defined]
        await connection.exec_driver_sql("DELETE FROM images")
    assert await on.stores.images.facts("shop", release.number, release.image) is None

    await on.bases.tick()

    assert await on.stores.images.facts("shop", release.number, release.image) is not None


# --- the budget -------------------------------------------------------------------------------------------


async def test_older_images_stay_while_there_is_room_and_go_oldest_first(on: Stage) -> None:
    on.registry.young.clear()
    for number in range(4):
        await on.live(more=str(number))
    on.registry.young.clear()
    everything = len(on.registry.stored)

    await replace(on, budget=100_000_000, keep=2).again().collector.tick()
    assert len(on.registry.stored) == everything

    await replace(on, budget=3_000_000, keep=2).again().collector.tick()
    left = [reference for reference in on.registry.stored if "/shop@" in reference]
    assert len(left) == 3, "two that rollbacks need, and the newest of the others"
    assert (await on.stores.releases.get("shop", 1)).image not in left


async def test_a_budget_that_cannot_be_kept_is_said_once_and_nothing_goes(on: Stage) -> None:
    await on.live(more="2")
    on.registry.young.clear()
    tight = replace(on, budget=1_500_000).again()

    await tight.collector.tick()
    await tight.collector.tick()

    assert len(on.registry.stored) == 2
    told = [event.text for event in (await on.stores.events.list()).items if event.kind == "images.over"]
    assert len(told) == 1
    assert "take 2 MB, more than the budget of 1 MB" in told[0]


def test_an_image_says_what_it_was_built_in_and_a_rebase_changes_nothing_of_that() -> None:
    config = {
        "config": {"Labels": {**labels(OLD), BUILT: "go-build:a node24-build:b"}},
        "rootfs": {"diff_ids": ["base", "app"]},
    }
    new = {"config": {"Labels": labels(replace(OLD, content="b"))}, "rootfs": {"diff_ids": ["newer"]}}

    found = mark(rebased(config, new, 1)["config"]["Labels"])

    assert found is not None
    assert found.content == "b"
    assert found.built_in == {"go-build": "a", "node24-build": "b"}
    assert replace(OLD, built="nonsense :x y:").built_in == {}


def test_the_flavours_among_images_are_those_of_our_bases() -> None:
    assert flavours(["leeward-base/go-build:abc", "python:3.13", "leeward-base/debian13:latest"]) == [
        "go-build",
        "debian13",
    ]


async def test_a_base_that_an_app_was_built_in_is_looked_at_too_and_made_anew_for_a_rebuild(on: Stage) -> None:
    built = on.images.add("go-build").mark
    await _stand(on, replace(OLD, built=f"go-build:{built.content}"))
    on.images.mirror["go-build"] = (SSL,)

    await on.bases.tick()
    looked = (await on.stores.images.bases())["go-build"]
    deploy = await on.wish(DeployKind.CODE, id="c1")
    await on.bases.renew(("leeward-base/go-build:x", "python:3.13"), deploy, lambda line: None)

    made = (await on.stores.images.bases())["go-build"]
    assert (looked.content, looked.newer) == (built.content, (SSL,))
    assert made.content not in ("", built.content)
    assert made.newer == ()


async def test_a_build_that_was_asked_for_because_of_its_bases_gets_the_newest_and_no_other_build_does(
    on: Stage,
) -> None:
    on.images.add("go-build")
    on.images.mirror["go-build"] = (SSL,)
    on.builder.planned = replace(on.builder.planned, bases=("leeward-base/go-build:x",))
    usual = await on.finish(await on.wish(tree={"a": "1"}))
    before = (await on.stores.images.bases()).get("go-build")
    asked = await on.wish(tree={"a": "1"})
    await on.stores.deploys.claim("tests", Clock().now(), 15)
    await on.stores.deploys.save(replace(asked, carry={"bases": "newest"}), "tests")

    done = await on.finish(asked)

    assert (usual.status, before) == (DeployStatus.LIVE, None)
    assert done.status is DeployStatus.LIVE, done.error
    assert (await on.stores.images.bases())["go-build"].content
