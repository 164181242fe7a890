"""`lee` and the API that is served speak the same words: both are real here, only the loops are played."""

import asyncio
import io
import json
import sys
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.unit.api_stage import door
from tests.unit.services_stage import Stage

from leeward.cli.main import main
from leeward.model.release import DeployStatus
from leeward.model.runtime import InstanceState, LogLine

Lee = Callable[..., Awaitable[tuple[int, Any]]]


class Served:
    """A stage behind a port, with a loop that makes every deploy live."""

    def __init__(self, stage: Stage, lee: Lee) -> None:
        self.stage = stage
        self.lee = lee
        self.error: dict[str, str] | None = None
        self.turn = asyncio.Lock()

    async def loop(self) -> None:
        while True:
            async with self.turn:
                await self.tick()
            await asyncio.sleep(0.02)

    async def tick(self) -> None:
        for deploy in await self.stage.stores.deploys.active():
            line = LogLine(1.0, f"build/{deploy.id}", "stdout", "Step 1 of 1")
            await self.stage.stores.logs.append(deploy.app, [line])
            if self.error:
                await self.stage.end(deploy, DeployStatus.FAILED, error=self.error)
            else:
                await self.stage.live(deploy.app)
            self.stage.stores.notices.publish(f"deploy/{deploy.id}")


@pytest.fixture
async def served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Served]:
    async def lee(*argv: str) -> tuple[int, Any]:
        async with made.turn:
            pass
        code = await asyncio.to_thread(main, [*argv, "--json"] if "--" not in argv else [argv[0], "--json", *argv[1:]])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    async with door(tmp_path / "home") as at:
        server = uvicorn.Server(uvicorn.Config(at.app, port=0, log_level="error", lifespan="off", ws="none"))
        running = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("LEEWARD_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("LEEWARD_TOKEN", at.tokens["admin"])
        made = Served(at.stage, lee)
        loop = asyncio.create_task(made.loop())
        yield made
        loop.cancel()
        server.should_exit = True
        await running


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "main.py").write_text("print('hello')\n")
    (root / "leeward.yaml").write_text("processes: {web: {size: nano, command: python main.py}}\n")
    return root


async def test_a_directory_goes_live(served: Served, tree: Path) -> None:
    code, answer = await served.lee("deploy", str(tree))

    assert code == 0
    assert (answer["app"], answer["release"], answer["status"]) == ("shop", "v1", "live")
    assert answer["url"] == "https://shop.lee.test"
    assert answer["image"] == "registry/shop@sha256:1"
    assert set(answer) == {"app", "release", "commit", "image", "url", "status", "timings_s", "receipt"}
    (archive,) = served.stage.uploads.received.values()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as found:
        assert found.getnames() == ["leeward.yaml", "main.py"]
    app = await served.stage.stores.apps.get("shop")
    assert app.spec.processes["web"].size == "nano"


async def test_a_deploy_that_fails_says_where_and_why(served: Served, tree: Path) -> None:
    served.error = {"step": "build", "code": "build-failed", "message": "pip said no", "hint": "look"}

    code, answer = await served.lee("deploy", str(tree))

    error = {"code": "build-failed", "message": "pip said no", "hint": "look"}
    assert (code, answer) == (1, {"app": "shop", "status": "failed", "step": "build", "error": error})


async def test_the_life_of_an_app_through_every_command(
    served: Served, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lee = served.lee
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2\n"))

    assert (await lee("apps", "create", "shop"))[0] == 0
    assert (await lee("env", "set", "shop", "A=1"))[1]["deploy"] is None
    assert (await lee("env", "set", "shop", "KEY", "--secret"))[0] == 0
    assert (await lee("deploy", str(tree), "-m", "first"))[0] == 0
    assert (await lee("scale", "shop", "web=2-3", "--size", "small"))[1]["status"] == "live"
    assert (await lee("restart", "shop"))[1]["status"] == "live"
    assert (await lee("rollback", "shop", "v1"))[0] == 0
    assert (await lee("env", "unset", "shop", "A"))[1]["deploy"]["status"] == "live"

    env = (await lee("env", "list", "shop"))[1]
    assert [(v["key"], v["value"], v["secret"]) for v in env] == [("KEY", "********", True)]
    assert [r["release"] for r in (await lee("releases", "shop", "-n", "2"))[1]] == ["v5", "v4"]
    assert [app["name"] for app in (await lee("apps", "list"))[1]] == ["shop"]
    assert (await lee("apps", "show", "shop"))[1]["processes"][0]["max"] == 3
    deploy = (await served.stage.stores.deploys.list("shop")).items[-1]
    assert [line["text"] for line in (await lee("logs", "shop", "--build", "v1"))[1]] == ["Step 1 of 1"]
    assert [line["text"] for line in (await lee("logs", "shop", "--build", deploy.id))[1]] == ["Step 1 of 1"]
    assert (await lee("events", "shop", "-n", "3"))[1][0]["app"] == "shop"
    assert (await lee("domains", "add", "shop", "*.example.com"))[0] == 0
    assert "*.example.com" in [domain["host"] for domain in (await lee("domains", "list", "shop"))[1]]
    assert (await lee("domains", "remove", "shop", "*.example.com"))[0] == 0
    assert "deploy_url" in (await lee("hooks", "shop"))[1]
    assert (await lee("cache", "purge", "shop"))[0] == 0
    assert "series" in (await lee("metrics", "shop"))[1]
    assert (await lee("ps", "shop"))[0] == 0
    assert (await lee("exec", "shop", "--", "ls"))[1]["error"]["code"] == "nothing-running"
    assert (await lee("apps", "delete", "shop", "--detach"))[0] == 0


async def test_an_app_is_created_in_the_project_that_is_named(served: Served) -> None:
    lee = served.lee
    assert (await lee("apps", "create", "shop", "--project", "sales"))[0] == 0
    assert (await lee("apps", "create", "blog"))[0] == 0

    projects = [(each["name"], each["apps"]) for each in (await lee("projects"))[1]]
    assert projects == [("default", ["blog"]), ("sales", ["shop"])]
    assert (await lee("apps", "create", "next", "--project", "No Project"))[0] == 2


async def test_tokens_are_made_listed_and_revoked(served: Served) -> None:
    made = (await served.lee("tokens", "create", "ci", "--scope", "read", "--days", "3"))[1]
    listed = (await served.lee("tokens", "list"))[1]

    assert made["token"].startswith("lee_")
    assert made["id"] in [token["id"] for token in listed]
    assert (await served.lee("tokens", "revoke", made["id"]))[0] == 0
    assert (await served.lee("tokens", "revoke", "nobody"))[0] == 2
    assert (await served.lee("tokens", "create", "ci", "--scope", "god"))[0] == 2


async def test_who_asks_and_how_the_platform_is(served: Served) -> None:
    served.stage.see("shop", InstanceState.READY)

    assert (await served.lee("whoami"))[1]["scope"] == "admin"
    assert (await served.lee("status"))[1]["instances"] == 1


async def test_names_that_are_not_known_exit_2_with_a_hint(served: Served) -> None:
    for argv in (["apps", "show", "nope"], ["logs", "nope"], ["restart", "nope"], ["cancel", "nope"], ["ps", "nope"]):
        code, answer = await served.lee(*argv)

        assert (code, answer["error"]["code"]) == (2, answer["error"]["code"]), argv
        assert "nope" in answer["error"]["message"]


async def test_a_wrong_token_exits_2(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEEWARD_TOKEN", "lee_wrong")

    code, answer = await served.lee("apps", "list")

    assert (code, answer["error"]["code"]) == (2, "wrong-token")


async def test_a_cluster_is_added_with_the_files_that_its_own_file_names(served: Served, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"the authority")
    file = tmp_path / "cluster.yaml"
    file.write_text("clusters: [{name: east, cluster: {server: https://east, certificate-authority: ca.crt}}]\n")

    code, made = await served.lee("regions", "add", "east", "--kubeconfig", str(file), "--registry", "10.0.0.1:5000")

    assert (code, made["name"], made["engine"]) == (0, "east", "kubernetes")
    (region,) = await served.stage.stores.regions.list()
    assert region.credentials is not None
    assert "certificate-authority-data: dGhlIGF1dGhvcml0eQ==" in region.credentials.reveal()
    assert [one["name"] for one in (await served.lee("regions", "list"))[1]] == ["local", "east"]
    assert await served.lee("doctor", "--region", "east") == (0, [])
    assert (await served.lee("regions", "remove", "east"))[0] == 0


async def test_a_file_for_a_cluster_that_is_none_is_refused(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"

    code, answer = await served.lee("regions", "add", "east", "--kubeconfig", str(file))
    assert code == 2 and f"'{file}' cannot be read" in answer["error"]["message"]
    file.write_text("- just\n- a list\n")
    code, answer = await served.lee("regions", "add", "east", "--kubeconfig", str(file))
    assert code == 2 and "is no file for a cluster" in answer["error"]["message"]
    code, answer = await served.lee("doctor", "--region", "west")
    assert code == 2 and "there is no region 'west'" in answer["error"]["message"]


async def test_a_login_at_a_registry_takes_its_password_from_standard_input(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the-password\n"))

    code, made = await served.lee("registries", "add", "https://GHCR.io/team", "--username", "ada")

    assert (code, made["host"], made["username"]) == (0, "ghcr.io", "ada")
    assert "the-password" not in json.dumps(made)
    login = await served.stage.stores.logins.find("ghcr.io")
    assert login is not None and login.password.reveal() == "the-password"
    assert [one["host"] for one in (await served.lee("registries", "list"))[1]] == ["ghcr.io"]
    assert "the-password" not in str((await served.stage.stores.events.list()).items)
    assert (await served.lee("registries", "remove", "ghcr.io"))[0] == 0
    code, answer = await served.lee("registries", "remove", "ghcr.io")
    assert (code, answer["error"]["code"]) == (2, "no-login")


async def test_what_is_wrong_with_a_login_is_said_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the-password"))

    code, answer = await served.lee("registries", "add", "not a host", "--username", "a:b")

    assert code == 2
    assert [problem["path"] for problem in answer["error"]["problems"]] == ["host", "username"]
