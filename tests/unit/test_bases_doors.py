"""Bases and bills of materials, as `lee` and the API show them: both are real here, only the loops are played."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.api_stage import door, problem
from tests.unit.services_stage import Stage
from tests.unit.test_cli_with_api import Served
from tests.unit.test_cli_with_api import served as served

from leeward.cli.main import main
from leeward.model.image import BaseMark, BaseState, Component, Ecosystem, ImageFacts, LayerPackages, Upgrade
from leeward.model.release import DeployKind

MARK = BaseMark("python3.13", "tag", "a", "amd64 libc6", 1)
OPENSSL = Component(Ecosystem.DEB, "openssl", "3.0.15-1", "var/lib/dpkg/status", "amd64")
FLASK = Component(Ecosystem.PYPI, "flask", "3.0.0", "opt/venv/flask.dist-info/METADATA")
NEWER = (Upgrade("tzdata", "1", "2", "trixie"), Upgrade("openssl", "3.0.15-1", "3.0.17-1", "trixie-security"))


async def imaged(stage: Stage, app: str, number: int, base: BaseMark | None = MARK) -> None:
    facts = ImageFacts("registry/shop@sha256:1", ("base", "deps"), "amd64", base)
    said = {"base": LayerPackages((OPENSSL,)), "deps": LayerPackages((FLASK,))}
    await stage.stores.images.put(app, number, facts, said)


@pytest.fixture
async def shop(served: Served) -> Served:
    """Two apps on one base, of which the mirror has two newer packages, and one on none."""
    async with served.turn:
        for app, base in (("shop", MARK), ("cafe", MARK), ("foreign", None)):
            await imaged(served.stage, app, await served.stage.live(app), base)
    state = BaseState("python3.13", "a", "", NEWER, served.stage.clock.now())
    await served.stage.stores.images.put_base(state)
    return served


async def test_the_bases_in_use_are_listed_with_what_is_newer(shop: Served) -> None:
    code, found = await shop.lee("bases", "list")

    assert code == 0
    assert [(base["flavour"], base["apps"], base["behind"]) for base in found] == [("python3.13", 2, [])]
    assert found[0]["newer"][1] == {
        "package": "openssl",
        "present": "3.0.15-1",
        "newer": "3.0.17-1",
        "suite": "trixie-security",
    }


async def test_the_table_names_the_security_update_first(shop: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(main, ["bases", "list"]) == 0

    assert "2 packages: openssl 3.0.15-1 -> 3.0.17-1 (trixie-security), …" in capsys.readouterr().out


async def test_a_rebase_queues_a_deploy_for_every_app_that_fits(shop: Served) -> None:
    code, found = await shop.lee("bases", "rebase")

    assert code == 0
    assert [(one["app"], one["fits"], one.get("status")) for one in found] == [
        ("cafe", True, "live"),
        ("foreign", False, None),
        ("shop", True, "live"),
    ]
    assert "stands on no base" in found[1]["why"]
    kinds = [(await shop.stage.stores.deploys.get(one["deploy"])).kind for one in found if one["deploy"]]
    assert kinds == [DeployKind.REBASE, DeployKind.REBASE]


async def test_a_dry_run_changes_nothing(shop: Served) -> None:
    code, found = await shop.lee("bases", "rebase", "--app", "shop", "--dry-run")

    assert (code, [(one["app"], one["fits"], one["deploy"]) for one in found]) == (0, [("shop", True, "")])
    assert found[0]["why"] == "2 packages are newer, 1 of them for security"
    assert len((await shop.stage.stores.deploys.list("shop")).items) == 1


async def test_an_app_behind_the_base_of_new_builds_fits_and_one_on_it_does_not(shop: Served) -> None:
    state = (await shop.stage.stores.images.bases())["python3.13"]
    await shop.stage.stores.images.put_base(replace(state, content="b", newer=()))
    await imaged(shop.stage, "cafe", 1, replace(MARK, content="b"))

    _, found = await shop.lee("bases", "rebase", "--dry-run")

    assert [(one["app"], one["fits"], one["why"]) for one in found if one["flavour"]] == [
        ("cafe", False, "nothing is newer"),
        ("shop", True, "stands on a, new builds on b"),
    ]


BUILT = replace(MARK, flavour="debian13", built="go-build:old")


@pytest.fixture
async def compiled(shop: Served) -> Served:
    """One of the apps is a program that was built in a base of which there is a newer content."""
    async with shop.turn:
        await imaged(shop.stage, "shop", await shop.stage.live("shop"), BUILT)
    await shop.stage.stores.images.put_base(BaseState("go-build", "new", "old", (), shop.stage.clock.now()))
    return shop


async def test_a_base_for_builds_is_listed_with_the_apps_that_were_built_in_it(compiled: Served) -> None:
    _, found = await compiled.lee("bases", "list")

    listed = {base["flavour"]: (base["apps"], base["behind"]) for base in found}
    assert listed == {"debian13": (1, []), "go-build": (1, ["shop"]), "python3.13": (1, [])}


async def test_a_rebuild_builds_the_same_code_in_the_newest_base(compiled: Served) -> None:
    app = await compiled.stage.stores.apps.get("shop")
    release = await compiled.stage.stores.releases.get("shop", app.live or 0)
    before = await compiled.stage.stores.deploys.get(release.deploy)

    code, found = await compiled.lee("bases", "rebuild")

    assert code == 0
    assert [(one["app"], one["fits"]) for one in found] == [("cafe", False), ("foreign", False), ("shop", True)]
    assert found[2]["why"] == "go-build: built in old, new builds in new"
    made = await compiled.stage.stores.deploys.get(found[2]["deploy"])
    assert (made.kind, made.carry["bases"]) == (DeployKind.CODE, "newest")
    assert made.source == replace(before.source, commit=release.commit or before.source.commit)


async def test_what_would_be_rebuilt_is_said_and_nothing_done(compiled: Served) -> None:
    _, found = await compiled.lee("bases", "rebuild", "--dry-run", "--app", "shop")

    assert [(one["app"], one["bases"], one["deploy"]) for one in found] == [("shop", ["go-build"], "")]


async def test_newer_packages_in_a_base_for_builds_are_a_reason_too(compiled: Served) -> None:
    state = BaseState("go-build", "old", "", NEWER, compiled.stage.clock.now())
    await compiled.stage.stores.images.put_base(state)

    _, found = await compiled.lee("bases", "rebuild", "--dry-run", "--app", "shop")

    assert found[0]["why"] == "go-build: 2 packages are newer, 1 of them for security"


async def test_a_program_built_in_the_newest_base_stays(compiled: Served) -> None:
    async with compiled.turn:
        await imaged(compiled.stage, "shop", await compiled.stage.live("shop"), replace(BUILT, built="go-build:new"))

    code, found = await compiled.lee("bases", "rebuild", "--app", "shop")

    assert (code, found[0]["fits"], found[0]["why"]) == (0, False, "nothing is newer")


async def test_an_undo_goes_back_to_the_releases_before_and_wishes_for_the_base_before(shop: Served) -> None:
    await shop.lee("bases", "rebase")
    await shop.stage.stores.images.put_base(BaseState("python3.13", "b", "a"))
    for app in ("shop", "cafe"):
        live = (await shop.stage.stores.apps.get(app)).live
        await imaged(shop.stage, app, live or 0, replace(MARK, content="b"))

    code, found = await shop.lee("bases", "undo")

    assert code == 0
    assert [one["app"] for one in found] == ["cafe", "shop"]
    for one in found:
        deploy = await shop.stage.stores.deploys.get(one["deploy"])
        assert (deploy.kind, deploy.source.release) == (DeployKind.ROLLBACK, 1)
    state = (await shop.stage.stores.images.bases())["python3.13"]
    assert (state.content, state.former) == ("a", "b")
    assert "bases" in shop.stage.pokes


async def test_there_is_nothing_to_undo_without_a_rebase(shop: Served) -> None:
    code, found = await shop.lee("bases", "undo", "--app", "shop")

    assert (code, found["error"]["code"]) == (1, "nothing-rebased")
    assert found["error"]["message"] == "the live release of 'shop' was not made by a rebase"


async def test_a_look_is_asked_for(shop: Served) -> None:
    code, found = await shop.lee("bases", "check")

    assert (code, [base["flavour"] for base in found]) == (0, ["python3.13"])
    assert (await shop.stage.stores.images.bases())["python3.13"].checked_at is None
    assert "bases" in shop.stage.pokes


async def test_a_release_has_a_bill_of_materials(shop: Served) -> None:
    code, live = await shop.lee("sbom", "shop")
    _, first = await shop.lee("sbom", "shop", "v1")

    assert code == 0
    assert live == first
    assert [(one["name"], one["version"]) for one in live["components"]] == [
        ("openssl", "3.0.15-1"),
        ("flask", "3.0.0"),
    ]
    assert live["metadata"]["component"]["version"] == "v1"


async def test_apps_are_found_by_a_package(shop: Served) -> None:
    _, exact = await shop.lee("sbom", "--find", "openssl")
    _, some = await shop.lee("sbom", "--find", "flas*")
    _, none = await shop.lee("sbom", "--find", "log4j")

    assert [(one["app"], one["release"], one["version"]) for one in exact] == [
        ("cafe", "v1", "3.0.15-1"),
        ("foreign", "v1", "3.0.15-1"),
        ("shop", "v1", "3.0.15-1"),
    ]
    assert {one["name"] for one in some} == {"flask"}
    assert none == []


async def test_a_package_that_an_upper_layer_took_away_is_not_found(shop: Served) -> None:
    facts = ImageFacts("registry/shop@sha256:1", ("base", "deps", "without"), "amd64", MARK)
    await shop.stage.stores.images.put("shop", 1, facts, {"without": LayerPackages((), ("opt/venv/",))})

    _, found = await shop.lee("sbom", "--find", "flask")

    assert [one["app"] for one in found] == ["cafe", "foreign"]


@pytest.mark.parametrize("words", [("sbom",), ("sbom", "shop", "--find", "x"), ("sbom", "--find", "*")])
async def test_a_list_of_packages_needs_one_question(shop: Served, words: tuple[str, ...]) -> None:
    assert (await shop.lee(*words))[0] == 2


async def test_a_release_that_nobody_looked_into_says_so(shop: Served, tmp_path: Path) -> None:
    async with shop.turn:
        await shop.stage.live("new")

    code, found = await shop.lee("sbom", "new")

    assert (code, found["error"]["code"]) == (2, "no-sbom")


async def test_who_may_only_deploy_rebases_one_app_and_not_all(tmp_path: Path) -> None:

    async with door(tmp_path) as at:
        await imaged(at.stage, "shop", await at.stage.live("shop"))

        problem(await at.deployer.post("/v1/bases/rebase"), 403, "scope-too-small")
        problem(await at.reader.post("/v1/bases/rebase", json={"app": "shop"}), 403, "scope-too-small")
        assert (await at.deployer.post("/v1/bases/rebase", json={"app": "shop"})).status_code == 202
        problem(await at.admin.post("/v1/bases/rebase", json={"app": "nobody"}), 404, "app-not-found")


async def test_what_needs_the_operator_stands_in_the_status(tmp_path: Path) -> None:

    async with door(tmp_path) as at:
        at.stage.services.seen.warn("images", "the 2 images that rollbacks need take 104 MB")

        status = (await at.reader.get("/v1/status")).json()

        assert status["warnings"] == ["the 2 images that rollbacks need take 104 MB"]
