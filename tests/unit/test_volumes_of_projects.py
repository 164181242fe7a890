"""Volumes of two apps that had one name, in two projects: neither is taken for the other's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.api_stage import door
from tests.unit.cli_stage import PROBLEM, Answer, Stage, staged
from tests.unit.control_stage import stage as control
from tests.unit.kubernetes_stage import WORKER
from tests.unit.services_stage import ADMIN
from tests.unit.web_stage import Dashboard, dashboard

from leeward.cli.main import main
from leeward.errors import Conflict, NotFound
from leeward.model import parse
from leeward.model.volume import Mount

MANIFEST = "name: shop\nprocesses: {{web: {{command: serve, size: nano, health: {{deadline: 1, drain: 0}}{}}}}}\n"
DATA = Mount("data", "/data", 1024)
OF_B = replace(WORKER, app="shop", process="web", project="b", region="local", volumes=(DATA,))
TWO = [{"process": "web", "name": "data", "size": "1Gi", "app": "shop", "region": "local", "project": project}
       for project in ("default", "b")]  # fmt: skip


def keep(made: Dashboard, project: str) -> None:
    """Have a volume `web/data` that nothing uses."""
    made.stage.engine.kept.ensure(replace(OF_B, project=project))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with staged() as made:
        monkeypatch.setenv("LEEWARD_URL", made.url)
        monkeypatch.setenv("LEEWARD_TOKEN", "secret")
        yield made


async def test_one_title_in_two_projects_is_deleted_only_with_the_project_said(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "home") as made:
        volumes = made.stage.services.volumes
        keep(made, "a")
        keep(made, "b")

        with pytest.raises(Conflict) as caught:
            await volumes.delete(ADMIN, "shop", "web", "data")
        with pytest.raises(NotFound, match="app 'shop' has no volume 'web/data' in project 'c'"):
            await volumes.delete(ADMIN, "shop", "web", "data", project="c")
        await volumes.delete(ADMIN, "shop", "web", "data", project="b")

        assert caught.value.message == "volume 'web/data' of 'shop' is in projects a, b"
        assert caught.value.hint == "name one with --project"
        assert [one.project for one in await volumes.list("shop")] == ["a"]
        newest = (await made.stage.stores.events.list(limit=1)).items[0]
        assert (newest.kind, newest.data["project"]) == ("volume.deleted", "b")


async def test_a_kept_volume_of_another_project_is_not_the_live_apps(tmp_path: Path) -> None:
    async with door(tmp_path / "home") as at:
        volumes = at.stage.services.volumes
        await at.stage.services.apps.create(ADMIN, "shop", project="b")
        await at.stage.live("shop", parse.manifest("processes: {web: {volumes: {data: {path: /data}}}}"))
        for project in ("a", "b"):
            at.stage.engine.kept.ensure(replace(OF_B, project=project))

        assert [(one.project, one.state) for one in await volumes.list("shop")] == [("a", "kept"), ("b", "idle")]
        await volumes.delete(ADMIN, "shop", "web", "data", project="a")
        with pytest.raises(Conflict, match="in the live release"):
            await volumes.delete(ADMIN, "shop", "web", "data", project="b")


async def test_the_app_page_shows_no_volumes_of_another_project(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "home") as made:
        keep(made, "b")

        assert "Volumes</h2>" not in (await made.browser.get("/apps/shop")).text


async def test_the_app_page_deletes_the_volume_of_the_project_it_names(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "home") as made:
        keep(made, "a")
        keep(made, "b")
        where = {"sec-fetch-site": "same-origin"}

        form = {"process": "web", "name": "data", "region": "local", "project": "a"}
        answer = await made.browser.post("/apps/shop/volumes/delete", data=form, headers=where)

        assert answer.status_code == 303
        assert [one.project for one in await made.stage.services.volumes.list("shop")] == ["b"]


async def test_the_api_lists_and_deletes_of_one_project(tmp_path: Path) -> None:
    async with door(tmp_path / "home") as at:
        for project in ("a", "b"):
            at.stage.engine.kept.ensure(replace(OF_B, project=project))

        async def projects(url: str) -> list[str]:
            return [one["project"] for one in (await at.admin.get(url)).json()["items"]]

        assert await projects("/v1/volumes") == await projects("/v1/apps/shop/volumes") == ["a", "b"]
        assert await projects("/v1/volumes?project=a") == await projects("/v1/apps/shop/volumes?project=a") == ["a"]
        assert (await at.admin.delete("/v1/apps/shop/volumes/web/data")).status_code == 409
        assert (await at.admin.delete("/v1/apps/shop/volumes/web/data?project=a")).status_code == 204
        assert await projects("/v1/volumes") == ["b"]


async def test_a_deploy_says_nothing_of_the_volumes_of_another_project(tmp_path: Path) -> None:
    async with control(tmp_path) as st:
        st.engine.kept.ensure(OF_B)
        await st.live(**{"leeward.yaml": MANIFEST.format(", volumes: {more: {path: /more, size: 1Gi}}")})

        await st.live(**{"leeward.yaml": MANIFEST.format("")})

        said = [line.text for line in st.lines if "is no longer used, and kept" in line.text]
        assert [text.split("'")[1] for text in said] == ["web/more"]


def test_deleting_an_app_with_its_volumes_asks_for_those_of_its_own_project_alone(served: Stage) -> None:
    served.on("DELETE", "/v1/apps/shop", None, 202)
    served.play(
        "GET",
        "/v1/apps/shop",
        lambda _talk, _asked: Answer(200, {"name": "shop", "project": "b"}),
        lambda _talk, _asked: Answer(404, {"code": "not-found", "detail": "gone"}, PROBLEM),
    )
    served.on("GET", "/v1/apps/shop/volumes", {"items": TWO, "next": ""})
    served.on("DELETE", "/v1/apps/shop/volumes/web/data", None, 204)

    assert main(["apps", "delete", "shop", "--volumes", "--yes"]) == 0

    (asked,) = served.of("DELETE", "/v1/apps/shop/volumes/web/data")
    assert asked.query == {"region": "local", "project": "b"}
    assert [one.query["project"] for one in served.of("GET", "/v1/apps/shop/volumes")] == ["b"]


def test_volumes_are_shown_and_deleted_with_the_project(served: Stage) -> None:
    served.on("GET", "/v1/apps/shop/volumes", {"items": [], "next": ""})
    served.on("DELETE", "/v1/apps/shop/volumes/web/data", None, 204)

    assert main(["volumes", "show", "shop", "web/data", "--project", "b"]) == 2
    assert main(["volumes", "delete", "shop", "web/data", "--project", "b", "--yes"]) == 0

    assert served.of("GET", "/v1/apps/shop/volumes")[0].query["project"] == "b"
    assert served.of("DELETE", "/v1/apps/shop/volumes/web/data")[0].query == {"project": "b"}
