"""Apps, variables and domains: what is wished, refused and shown."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.services_stage import ADMIN, DEPLOYER, GIT, READER, Stage, stage

from leeward.errors import Conflict, Forbidden, Invalid, NotFound
from leeward.model.app import AppSpec, Instances, ProcessSpec
from leeward.model.release import DeployKind, DeployStatus, SourceKind, SourceRef
from leeward.model.runtime import InstanceState
from leeward.model.secret import Env
from leeward.model.sizes import Size
from leeward.model.wish import Override
from leeward.plan.workload import workload
from leeward.services.views import AppStatus

READY, CRASHED, STARTING = InstanceState.READY, InstanceState.CRASHED, InstanceState.STARTING


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_a_new_app_has_its_address_and_nothing_live(st: Stage) -> None:
    view = await st.services.apps.create(DEPLOYER, "shop", {"domains": ["api.example.com"]})

    assert (view.status, view.release, view.url) == (AppStatus.NEW, None, "https://shop.lee.test")
    assert view.urls == ("https://shop.lee.test", "https://api.example.com")
    with pytest.raises(Conflict):
        await st.services.apps.create(DEPLOYER, "shop")
    with pytest.raises(Forbidden):
        await st.services.apps.create(READER, "other")
    with pytest.raises(Invalid, match="project: 'A B' is not a name"):
        await st.services.apps.create(DEPLOYER, "other", project="A B")


async def test_an_app_goes_from_new_over_deploying_to_live_and_crashed(st: Stage) -> None:
    await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    assert (await st.services.apps.show("shop")).status is AppStatus.DEPLOYING

    await st.live("shop")
    st.see("shop", READY, CRASHED)
    assert (await st.services.apps.show("shop")).status is AppStatus.LIVE

    st.see("shop", CRASHED, reason="was killed for using more than 256 MiB", hint="choose a larger size")
    view = await st.services.apps.show("shop")
    assert (view.status, view.reason) == (AppStatus.CRASHED, "web was killed for using more than 256 MiB")
    assert view.hint == "choose a larger size"


async def test_the_first_deploy_that_failed_says_why(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    error = {"step": "plan", "code": "plan-failed", "message": "no way to build", "hint": "add a Dockerfile"}
    await st.end(deploy, DeployStatus.FAILED, error=error)

    view = await st.services.apps.show("shop")

    assert (view.status, view.reason, view.hint) == (AppStatus.FAILED, "no way to build", "add a Dockerfile")
    assert view.deploy is not None and view.deploy.step == "plan"
    assert (await st.services.apps.list()).items[0].status is AppStatus.FAILED


async def test_an_app_that_was_scaled_to_nothing_is_stopped(st: Stage) -> None:
    await st.live("shop")
    deploy = await st.services.apps.scale(DEPLOYER, "shop", {"web": 0})
    await st.end(deploy, DeployStatus.LIVE, 1)

    assert (await st.services.apps.show("shop")).status is AppStatus.STOPPED


async def test_a_list_of_apps_asks_no_engine(st: Stage) -> None:
    for name in ("b", "a", "c"):
        await st.services.apps.create(DEPLOYER, name)
    await st.live("b")
    st.see("b", READY, STARTING)

    page = await st.services.apps.list(limit=2)

    assert [(app.name, app.status, app.ready, app.instances) for app in page.items] == [
        ("a", AppStatus.NEW, 0, 0),
        ("b", AppStatus.LIVE, 1, 2),
    ]
    assert [app.name for app in (await st.services.apps.list(page.next)).items] == ["c"]
    assert st.engine.looks == 0


async def test_deleting_ends_deploys_and_may_be_asked_again(st: Stage) -> None:
    deploy = await st.services.deploys.deploy(DEPLOYER, "shop", GIT)
    with pytest.raises(Forbidden):
        await st.services.apps.delete(DEPLOYER, "shop")

    await st.services.apps.delete(ADMIN, "shop")
    await st.services.apps.delete(ADMIN, "shop")

    assert (await st.services.apps.show("shop")).status is AppStatus.DELETING
    assert (await st.services.deploys.show(deploy.id)).status is DeployStatus.CANCELLED
    assert (await st.kinds()).count("app.deleting") == 1
    with pytest.raises(Conflict, match="is being deleted"):
        await st.services.apps.create(DEPLOYER, "shop")
    with pytest.raises(NotFound):
        await st.services.apps.delete(ADMIN, "nope")


async def test_scaling_stores_the_wish_and_queues_a_deploy_of_the_live_release(st: Stage) -> None:
    await st.live("shop", web="serve", worker="work")

    deploy = await st.services.apps.scale(DEPLOYER, "shop", {"web": {"min": 1, "max": 4}, "worker": 2}, "nano")

    assert (deploy.kind, deploy.source) == (DeployKind.SCALE, SourceRef(SourceKind.NONE, release=1))
    assert (await st.stores.apps.get("shop")).overrides == {
        "web": Override(Instances(min=1, max=4), Size.NANO),
        "worker": Override(Instances(min=2, max=2), Size.NANO),
    }
    await st.services.apps.scale(DEPLOYER, "shop", {"web": 3})
    web = (await st.services.apps.show("shop")).processes[0]
    assert (web.name, web.size, web.min, web.max) == ("web", Size.NANO, 3, 3)


async def test_a_size_alone_is_for_every_process(st: Stage) -> None:
    await st.live("shop", web="serve", worker="work")

    await st.services.apps.scale(DEPLOYER, "shop", size=Size.XL)

    assert {p.name: p.size for p in (await st.services.apps.show("shop")).processes} == {"web": "xl", "worker": "xl"}


async def test_every_wrong_part_of_a_scale_is_named_at_once(st: Stage) -> None:
    await st.live("shop")

    with pytest.raises(Invalid) as caught:
        await st.services.apps.scale(DEPLOYER, "shop", {"wbe": 1, "web": {"min": 51, "max": 51}}, "huge")

    assert {problem.path for problem in caught.value.problems} == {
        "size",
        "processes/wbe",
        "processes/web/min",
        "processes/web/max",
    }
    assert "did you mean 'web'?" in [problem.hint for problem in caught.value.problems]
    for wrong in ({}, {"web": -1}, {"web": {"min": 3, "max": 1}}, {"web": {"mni": 1}}):
        with pytest.raises(Invalid):
            await st.services.apps.scale(DEPLOYER, "shop", wrong)
    assert (await st.stores.apps.get("shop")).overrides == {}


async def test_what_has_nothing_live_is_neither_scaled_nor_restarted_nor_rolled_back(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")

    for ask in (
        st.services.apps.scale(DEPLOYER, "shop", {"web": 2}),
        st.services.apps.restart(DEPLOYER, "shop"),
        st.services.deploys.rollback(DEPLOYER, "shop"),
    ):
        with pytest.raises(Conflict, match="has no release yet"):
            await ask


async def test_a_restart_is_a_deploy_of_its_own_kind(st: Stage) -> None:
    await st.live("shop")

    deploy = await st.services.apps.restart(DEPLOYER, "shop")

    assert (deploy.kind, deploy.source.kind, deploy.source.release) == (DeployKind.RESTART, SourceKind.NONE, 1)
    assert "app.restarted" in await st.kinds()


async def test_emptying_the_cache_is_a_new_cache_generation(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")

    await st.services.apps.purge_cache(DEPLOYER, "shop")

    assert (await st.stores.apps.get("shop")).cache_generation == 1
    assert st.pokes[-1] == "app/shop"


async def test_a_command_runs_in_a_ready_instance(st: Stage) -> None:
    await st.live("shop")
    with pytest.raises(Conflict, match="no instance of 'web'"):
        await st.services.apps.exec(DEPLOYER, "shop", ["true"])
    await _run(st)
    st.engine.answers[("id", "-u")] = (3, b"1000\n")

    assert await st.services.apps.exec(DEPLOYER, "shop", ["id", "-u"]) == (3, b"1000\n")
    assert [view.state for view in await st.services.apps.instances("shop")] == [READY]
    event = next(event for event in (await st.services.events.list("shop")).items if event.kind == "app.exec")
    assert event.data["program"] == "id"
    with pytest.raises(Conflict, match="no instance of 'worker'"):
        await st.services.apps.exec(DEPLOYER, "shop", ["id"], "worker")
    with pytest.raises(Forbidden):
        await st.services.apps.exec(READER, "shop", ["id"])
    for wrong in ([], [""], ["a\0b"], ["x"] * 257):
        with pytest.raises(Invalid):
            await st.services.apps.exec(DEPLOYER, "shop", wrong)


async def _run(st: Stage) -> None:
    app, release = await st.stores.apps.get("shop"), await st.stores.releases.get("shop", 1)
    await st.engine.apply(workload(app, release, 1, "web", ProcessSpec()))
    await st.engine.observe("shop")


# --- variables --------------------------------------------------------------------------------------------


async def test_variables_of_an_app_without_a_release_make_no_deploy(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")

    env, deploy = await st.services.environment.change(DEPLOYER, "shop", {"A": "1"}, {"S": "hidden-value"})

    assert deploy is None and _shown(env) == {"A": "1", "S": "********"}
    assert "hidden-value" not in repr(await st.services.events.list())


async def test_a_change_of_variables_of_a_live_app_is_a_deploy(st: Stage) -> None:
    await st.live("shop")
    await st.services.environment.change(DEPLOYER, "shop", {"A": "1", "B": "2"})

    env, deploy = await st.services.environment.change(DEPLOYER, "shop", {"A": "3"}, unset=["B"])

    assert _shown(env) == {"A": "3"}
    assert deploy is not None and deploy.kind is DeployKind.ENV and deploy.message == "set A, unset B"


async def test_setting_what_is_set_already_changes_nothing(st: Stage) -> None:
    await st.live("shop")
    await st.services.environment.change(DEPLOYER, "shop", {"A": "1"})

    assert (await st.services.environment.change(DEPLOYER, "shop", {"A": "1"}))[1] is None
    assert (await st.services.environment.change(DEPLOYER, "shop", secrets={"A": "1"}))[1] is not None


async def test_every_wrong_variable_is_named_at_once_and_no_value_is_told(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")
    await st.services.environment.change(DEPLOYER, "shop", {"TOKEN": "x", "OLD": "x"})

    with pytest.raises(Invalid) as caught:
        await st.services.environment.change(
            DEPLOYER,
            "shop",
            {"1A": "hidden-value", "B C": "x", "PORT": "80", "NUL": "a\0hidden-value", "OLD": "y"},
            {"BIG": "hidden-value" * 10_000, "OLD": "y"},
            ["TOKNE", "OLD"],
        )

    assert {problem.path for problem in caught.value.problems} == {
        "set/1A",
        "set/B C",
        "set/PORT",
        "set/NUL",
        "secrets/BIG",
        "secrets/OLD",
        "unset/TOKNE",
        "unset/OLD",
    }
    assert "did you mean 'TOKEN'?" in [problem.hint for problem in caught.value.problems]
    assert "hidden-value" not in str(caught.value)
    assert _shown(await st.services.environment.list("shop")) == {"OLD": "x", "TOKEN": "x"}


async def test_variables_are_not_for_readers_nor_for_apps_that_are_not_there(st: Stage) -> None:
    with pytest.raises(Forbidden):
        await st.services.environment.change(READER, "shop", {"A": "1"})
    with pytest.raises(NotFound):
        await st.services.environment.change(DEPLOYER, "shop", {"A": "1"})
    with pytest.raises(NotFound):
        await st.services.environment.list("shop")


def _shown(env: Env) -> dict[str, str]:
    return {variable.key: variable.shown for variable in env}


# --- domains ----------------------------------------------------------------------------------------------


async def test_domains_come_from_the_platform_the_manifest_and_the_owner(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop", {"domains": ["shop.example.com"]})

    added = await st.services.domains.add(DEPLOYER, "shop", "API.Example.com.")
    again = await st.services.domains.add(DEPLOYER, "shop", "api.example.com")

    assert added == again and (added.host, added.url) == ("api.example.com", "https://api.example.com")
    assert [(d.host, d.origin) for d in await st.services.domains.list("shop")] == [
        ("shop.lee.test", "platform"),
        ("shop.example.com", "manifest"),
        ("api.example.com", "added"),
    ]
    assert (await st.kinds()).count("domain.added") == 1


async def test_a_domain_belongs_to_one_app(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")
    await st.services.apps.create(DEPLOYER, "other")
    await st.services.domains.add(DEPLOYER, "shop", "api.example.com")

    with pytest.raises(Conflict, match="belongs to app 'shop'"):
        await st.services.domains.add(DEPLOYER, "other", "api.example.com")
    for host in ("console.lee.test", "shop.lee.test", "lee.test", "a.b.lee.test"):
        with pytest.raises(Conflict, match="belongs to the platform"):
            await st.services.domains.add(DEPLOYER, "other", host)


async def test_what_is_no_domain_is_refused(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop")

    for host in (
        "",
        "example",
        "http://example.com",
        "a b.com",
        "-a.com",
        "*.*.example.com",
        "ä.example.com",
        "x" * 300,
    ):
        with pytest.raises(Invalid, match="host: "):
            await st.services.domains.add(DEPLOYER, "shop", host)


async def test_only_what_was_added_can_be_removed(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop", {"domains": ["shop.example.com"]})
    await st.services.domains.add(DEPLOYER, "shop", "*.example.com")

    await st.services.domains.remove(DEPLOYER, "shop", "*.example.com")

    assert (await st.stores.apps.get("shop")).domains == ()
    with pytest.raises(NotFound):
        await st.services.domains.remove(DEPLOYER, "shop", "*.example.com")
    for host in ("shop.lee.test", "shop.example.com"):
        with pytest.raises(Invalid, match="cannot be removed here"):
            await st.services.domains.remove(DEPLOYER, "shop", host)


async def test_a_process_that_only_the_image_knows_is_shown_with_its_command(st: Stage) -> None:
    await st.live("shop", AppSpec(), web=None, worker="work")
    await st.stores.apps.update("shop", lambda app: replace(app, generation=1))
    st.see("shop", READY, process="ghost")

    assert [(p.name, p.command) for p in (await st.services.apps.show("shop")).processes] == [
        ("web", None),
        ("ghost", None),
        ("worker", "work"),
    ]
