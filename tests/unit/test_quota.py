"""A project asks for no more than its quota, wherever its apps run."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit import control_stage, services_stage
from tests.unit.services_stage import ADMIN, DEPLOYER

from leeward.engines.kubernetes.rules import Bounds, Quota, bounded
from leeward.errors import Conflict
from leeward.model.app import AppSpec
from leeward.model.parse import spec
from leeward.model.quota import NO_BOUND, ProjectQuota, parse_quotas, quota_of
from leeward.model.release import DeployKind, DeployStatus
from leeward.model.wish import App
from leeward.plan.quota import Use, over_quota, use_of


def app(instances: object = 1, size: str = "small", **more: object) -> AppSpec:
    return spec({"processes": {"web": {"instances": instances, "size": size}, **more}})


def test_a_bound_without_a_name_is_that_of_each_project_and_one_with_a_name_wins() -> None:
    found = parse_quotas("instances=50; cores=0.5 ;shop.instances=100;shop.memory_gib=2")

    assert quota_of(found, "other") == ProjectQuota(50, 500, None)
    assert quota_of(found, "shop") == ProjectQuota(100, 500, 2048)
    assert quota_of(parse_quotas("shop.cores=1"), "other") == NO_BOUND


@pytest.mark.parametrize(
    "text", ["many", "instances=many", "instances=1.5", "nodes=3", "instances=1 cores=2", "cores=-3"]
)
def test_a_bound_that_is_none_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=text.split("=")[0]):
        parse_quotas(text)


def test_of_each_process_its_most_instances_count_with_their_size() -> None:
    many = app({"min": 0, "max": 4}, "medium", worker={"size": "nano", "instances": 2})

    assert use_of(many) == Use(6, 4 * 1000 + 2 * 100, 4 * 2048 + 2 * 256)


def test_each_bound_that_is_passed_is_told_with_its_numbers() -> None:
    problem = over_quota(ProjectQuota(10, 4000, 999_999), "shop", "web", app(8), app(1), Use(4, 1500, 0))

    assert problem is not None
    assert problem.code == "over-quota"
    assert problem.message == (
        "project 'shop' has no room for 'web': "
        "it asks for 8 instances, the project's other apps for 4, and the quota is 10; "
        "it asks for 4 CPU, the project's other apps for 1.5, and the quota is 4"
    )


def test_what_just_fits_is_taken_and_one_more_is_not() -> None:
    assert over_quota(ProjectQuota(instances=10), "p", "a", app(6), None, Use(4)) is None
    assert over_quota(ProjectQuota(instances=10), "p", "a", app(7), None, Use(4)) is not None


def test_an_app_that_asks_for_no_more_than_it_has_is_never_refused() -> None:
    assert over_quota(ProjectQuota(instances=2), "p", "a", app(6), app(6), Use(9)) is None
    assert over_quota(ProjectQuota(instances=2), "p", "a", app(5), app(6), Use(9)) is None


def test_the_api_server_leaves_room_for_both_sides_of_a_rollout_and_for_no_more_than_the_operator_says() -> None:
    assert bounded(Quota(200, 200, 400), ProjectQuota(10, 1250, 1536)) == Bounds("20", "2500m", "3Gi")
    assert bounded(Quota(5, 1, 1), ProjectQuota(10, 8000, 8192)) == Bounds("5", "1", "1Gi")
    assert bounded(Quota(200, 200, 400), NO_BOUND) == Bounds("200", "200", "400Gi")


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[services_stage.Stage]:
    async with services_stage.stage(tmp_path) as made:
        bounded = made.settings.model_copy(update={"project_quota": "instances=5"})
        yield replace(made, services=replace(made.services, settings=bounded))


async def test_a_scale_over_the_quota_is_refused_at_once_and_nothing_is_kept_of_it(st: services_stage.Stage) -> None:
    await st.live("shop")
    await st.live("blog", app(3))

    with pytest.raises(Conflict, match=r"asks for 3 instances, the project's other apps for 3, and the quota is 5"):
        await st.services.apps.scale(DEPLOYER, "shop", {"web": 3})

    assert not (await st.stores.apps.get("shop")).overrides
    await st.services.apps.scale(DEPLOYER, "shop", {"web": 2})


async def test_an_app_that_is_being_deleted_is_not_counted(st: services_stage.Stage) -> None:
    await st.live("shop")
    await st.live("blog", app(3))
    await st.services.apps.delete(ADMIN, "blog")

    await st.services.apps.scale(DEPLOYER, "shop", {"web": 3})

    assert (await st.stores.apps.get("shop")).overrides


async def test_another_project_is_not_counted(st: services_stage.Stage) -> None:
    await st.services.apps.create(DEPLOYER, "blog", project="press")
    await st.live("blog", app(5))
    await st.live("shop")

    await st.services.apps.scale(DEPLOYER, "shop", {"web": 5})

    listed = {each.name: each for each in await st.services.projects.list()}
    assert (listed["press"].instances, listed["press"].quota_instances, listed["press"].quota_cores) == (5, 5, None)
    assert (listed["default"].apps, listed["default"].cores) == (("shop",), 0.5)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[control_stage.Stage]:
    async with control_stage.stage(tmp_path) as made:
        made.quota = "instances=2"
        yield made.again()


async def test_a_manifest_over_the_quota_fails_in_its_plan_and_what_was_live_serves(plane: control_stage.Stage) -> None:
    await plane.live()
    more = control_stage.MANIFEST.replace("size: nano", "size: nano, instances: 3")

    done = await plane.finish(await plane.wish(tree={"main.py": "2", "leeward.yaml": more}))

    assert done.error is not None
    assert (done.status, done.error["step"], done.error["code"]) == (DeployStatus.FAILED, "plan", "over-quota")
    assert "asks for 3 instances, the project's other apps for 0, and the quota is 2" in done.error["message"]
    assert (await plane.stores.apps.get("shop")).live == 1


async def test_a_release_that_has_no_room_any_more_is_refused_before_anything_of_it_runs(
    plane: control_stage.Stage,
) -> None:
    wide = control_stage.MANIFEST.replace("size: nano", "size: nano, instances: 2")
    await plane.finish(await plane.wish(tree={"main.py": "1", "leeward.yaml": wide}))
    await plane.live()
    await plane.stores.apps.create(App("blog", created_at=control_stage.Clock().now()))
    release = await plane.stores.releases.get("shop", 2)
    other = await plane.stores.releases.add(replace(release, app="blog", deploy="elsewhere"))
    await plane.stores.apps.update("blog", lambda old: replace(old, live=other.number))

    done = await plane.finish(await plane.wish(DeployKind.ROLLBACK, release=1))

    assert done.error is not None
    assert (done.error["step"], done.error["code"]) == ("rollout", "over-quota")
    assert {one.release for one in (await plane.engine.observe("shop")).instances} == {2}
