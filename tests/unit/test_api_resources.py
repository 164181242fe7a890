"""The API's resources: each route decodes, calls its service, and encodes."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.api_stage import Door, door, problem
from tests.unit.services_stage import COMMIT

from leeward.model.app import ProcessSpec
from leeward.model.runtime import InstanceState, LogLine
from leeward.plan.workload import workload

GIT = {"git": {"url": "https://example.com/shop.git", "ref": "main"}}


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        yield made


async def test_the_health_of_the_control_plane_needs_no_token(at: Door) -> None:
    answer = await at.anonymous.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_caller_learns_who_it_is(at: Door) -> None:
    assert (await at.deployer.get("/v1/whoami")).json() == {"name": "ada", "scope": "deploy", "token": "deploy"}


async def test_a_deploy_creates_the_app_and_is_shown_as_it_goes(at: Door) -> None:
    body = {**GIT, "spec": {"processes": {"web": {"size": "nano"}}, "path": "backend"}, "message": "first"}

    answer = await at.deployer.post("/v1/apps/shop/deploys", json=body)

    made = answer.json()
    assert answer.status_code == 202
    assert (made["app"], made["status"], made["phase"], made["release"]) == ("shop", "queued", "fetch", None)
    assert made["source"] == {
        "kind": "git",
        "url": "https://example.com/shop.git",
        "ref": "main",
        "image": "",
        "upload": "",
        "path": "backend",
    }
    await at.stage.live("shop")
    shown = (await at.reader.get(f"/v1/deploys/{made['id']}")).json()
    assert (shown["status"], shown["release"], shown["image"]) == ("live", "v1", "registry/shop@sha256:1")
    assert shown["url"] == "https://shop.lee.test" and "total" in shown["timings_s"]
    listed = (await at.reader.get("/v1/apps/shop/deploys")).json()
    assert [item["id"] for item in listed["items"]] == [made["id"]]
    assert (await at.reader.get("/v1/deploys")).json()["items"][0]["id"] == made["id"]
    assert (await at.reader.get("/v1/apps/shop/releases")).json()["items"][0]["release"] == "v1"


async def test_an_app_is_made_shown_listed_and_taken_down(at: Door) -> None:
    made = await at.deployer.post("/v1/apps", json={"name": "shop", "spec": {"domains": ["a.example.com"]}})
    assert made.status_code == 201 and made.json()["status"] == "new"
    await at.stage.live("shop")
    at.stage.see("shop", InstanceState.READY)

    shown = (await at.reader.get("/v1/apps/shop")).json()

    assert (shown["release"], shown["status"], shown["processes"][0]["ready"]) == ("v1", "live", 1)
    assert shown["processes"][0]["instances"][0]["state"] == "ready"
    assert (await at.reader.get("/v1/apps")).json()["items"][0]["name"] == "shop"
    gone = await at.admin.delete("/v1/apps/shop")
    assert (gone.status_code, gone.json()["status"]) == (202, "deleting")


async def test_lists_are_paged_by_a_cursor(at: Door) -> None:
    for name in ("a", "b", "c"):
        await at.deployer.post("/v1/apps", json={"name": name})

    first = (await at.reader.get("/v1/apps", params={"limit": 2})).json()
    second = (await at.reader.get("/v1/apps", params={"limit": 2, "after": first["next"]})).json()

    assert [app["name"] for app in first["items"]] == ["a", "b"]
    assert ([app["name"] for app in second["items"]], second["next"]) == (["c"], "")
    events = (await at.reader.get("/v1/events", params={"limit": 1})).json()
    older = (await at.reader.get("/v1/events", params={"before": events["next"]})).json()["items"]
    assert older[0]["id"] < events["items"][0]["id"]
    assert (await at.reader.get("/v1/events", params={"after": events["next"]})).json()["items"] == older
    for path in ("/v1/apps?limit=0", "/v1/apps?limit=201", "/v1/apps?limit=x", "/v1/events?after=x"):
        problem(await at.reader.get(path), 422, "invalid")


async def test_scale_restart_rollback_and_cancel_answer_with_their_deploys(at: Door) -> None:
    await at.stage.live("shop")
    await at.deployer.post("/v1/apps/shop/deploys", json={})
    await at.stage.live("shop")

    scaled = await at.deployer.put("/v1/apps/shop/scale", json={"processes": {"web": 3}, "size": "nano"})
    restarted = await at.deployer.post("/v1/apps/shop/restart")
    back = await at.deployer.post("/v1/apps/shop/rollback", json={"release": 1})
    bare = await at.deployer.post("/v1/apps/shop/rollback")
    ended = await at.deployer.post(f"/v1/deploys/{restarted.json()['id']}/cancel")

    answers = [scaled, restarted, back, bare, ended]
    assert [answer.status_code for answer in answers] == [202] * 5
    assert [answer.json()["kind"] for answer in answers] == ["scale", "restart", "rollback", "rollback", "restart"]
    assert ended.json()["status"] == "cancelled"
    problem(await at.deployer.post("/v1/apps/shop/rollback", json={"release": 9}), 404, "release-not-found")


async def test_variables_are_changed_and_secrets_are_stars(at: Door) -> None:
    await at.stage.live("shop")

    changed = await at.deployer.patch("/v1/apps/shop/env", json={"set": {"A": "1"}, "secrets": {"S": "hidden-value"}})

    env = [{"key": "A", "value": "1", "secret": False}, {"key": "S", "value": "********", "secret": True}]
    assert changed.json()["env"] == env and changed.json()["deploy"]["kind"] == "env"
    assert (await at.reader.get("/v1/apps/shop/env")).json() == {"env": env}
    assert (await at.deployer.patch("/v1/apps/shop/env", json={"set": {"A": "1"}})).json()["deploy"] is None
    assert (await at.deployer.patch("/v1/apps/shop/env", json={"unset": ["A"]})).json()["env"] == env[1:]


async def test_domains_are_added_and_removed(at: Door) -> None:
    await at.deployer.post("/v1/apps", json={"name": "shop"})

    added = await at.deployer.post("/v1/apps/shop/domains", json={"host": "api.example.com"})

    assert (added.status_code, added.json()["url"]) == (201, "https://api.example.com")
    assert len((await at.reader.get("/v1/apps/shop/domains")).json()["items"]) == 2
    assert (await at.deployer.delete("/v1/apps/shop/domains/api.example.com")).status_code == 204
    await at.deployer.post("/v1/apps/shop/domains", json={"host": "*.example.com"})
    assert (await at.deployer.delete("/v1/apps/shop/domains", params={"host": "*.example.com"})).status_code == 204


async def test_an_archive_is_streamed_and_deployed(at: Door) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"tar"

    sent = await at.deployer.post("/v1/uploads", params={"app": "shop"}, content=chunks())

    assert sent.status_code == 201
    assert sent.json() == {"upload": "u0", "digest": "sha256:" + hashlib.sha256(b"tartartar").hexdigest()}
    deploy = await at.deployer.post("/v1/apps/shop/deploys", json={"upload": "u0"})
    assert deploy.json()["source"]["upload"] == "u0"


async def test_a_command_runs_and_its_output_is_text(at: Door) -> None:
    await at.stage.live("shop")
    app, release = await at.stage.stores.apps.get("shop"), await at.stage.stores.releases.get("shop", 1)
    await at.stage.engine.apply(workload(app, release, 1, "web", ProcessSpec()))
    at.stage.engine.answers[("id",)] = (1, b"caf\xc3\xa9 \xff")

    answer = await at.deployer.post("/v1/apps/shop/exec", json={"command": ["id"]})

    assert answer.json() == {"exit_code": 1, "output": "café \ufffd"}
    assert (await at.reader.get("/v1/apps/shop/instances")).json()[0]["state"] == "ready"
    assert (await at.deployer.post("/v1/apps/shop/cache/purge")).status_code == 204


async def test_logs_metrics_status_and_sizes_are_read(at: Door) -> None:
    await at.stage.live("shop")
    deploy = (await at.stage.services.deploys.list("shop")).items[0].id
    await at.stage.stores.logs.append(
        "shop", [LogLine(1, "i1", "stdout", "hello", "web"), LogLine(2, f"build/{deploy}", "stdout", "built")]
    )

    lines = (await at.reader.get("/v1/apps/shop/logs", params={"search": "HELL", "process": "web"})).json()["items"]
    assert lines == [{"at": 1.0, "source": "i1", "stream": "stdout", "text": "hello", "process": "web"}]
    assert (await at.reader.get(f"/v1/deploys/{deploy}/log")).json()["items"][0]["text"] == "built"
    assert (await at.reader.get("/v1/apps/shop/metrics?minutes=5")).json() == {"series": {}, "usage": []}
    assert (await at.reader.get("/v1/sizes")).json()[0]["name"] == "nano"
    status = (await at.reader.get("/v1/status")).json()
    assert status["apps"] == 1 and {part["name"] for part in status["parts"]} == {"store", "engine", "edge"}


async def test_tokens_are_made_listed_and_revoked(at: Door) -> None:
    made = (await at.admin.post("/v1/tokens", json={"name": "ci", "scope": "read", "days": 1})).json()

    assert made["token"].startswith("lee_") and made["expires_at"].startswith("2026-11-25")
    listed = (await at.admin.get("/v1/tokens")).text
    assert made["token"] not in listed and "digest" not in listed
    assert (await at.admin.delete(f"/v1/tokens/{made['id']}")).json()["revoked_at"] is not None


async def test_hooks_deploy_by_secret_url_and_by_signed_push(at: Door) -> None:
    await at.deployer.post("/v1/apps/shop/deploys", json=GIT)
    secrets = (await at.admin.post("/v1/apps/shop/hook")).json()
    path = secrets["deploy_url"].removeprefix("https://console.lee.test")
    payload = {"ref": "refs/heads/main", "before": COMMIT, "after": "b" * 40}
    body = json.dumps(payload).encode()
    signature = hmac.new(secrets["webhook_secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Delivery": "1", "X-GitHub-Event": "push"}

    assert (await at.anonymous.post(path)).status_code == 202
    sent = await at.anonymous.post("/hooks/git/shop", content=body, headers=headers)

    assert sent.status_code == 202 and sent.json()["deploy"]
    again = await at.anonymous.post("/hooks/git/shop", content=body, headers=headers)
    problem(again, 409, "replayed")
    problem(await at.anonymous.post("/hooks/git/shop", content=body + b" ", headers=headers), 401, "wrong-signature")
    problem(await at.anonymous.post("/hooks/deploy/shop/guess"), 401, "wrong-hook")
    ping = {**headers, "X-GitHub-Delivery": "2", "X-GitHub-Event": "ping"}
    ignored = await at.anonymous.post("/hooks/git/shop", content=body, headers=ping)
    assert (ignored.status_code, ignored.json()["deploy"]) == (200, None)


async def test_git_pushes_with_a_token_as_the_password(at: Door) -> None:
    refs = "/git/shop.git/info/refs?service=git-receive-pack"
    asked = await at.anonymous.get(refs)
    assert (asked.status_code, asked.headers["www-authenticate"]) == (401, 'Basic realm="leeward"')
    for wrong in ("Basic !", "Basic " + base64.b64encode(b"x:lee_no").decode(), "Digest x", "Bearer lee_no"):
        assert (await at.anonymous.get(refs, headers={"authorization": wrong})).status_code == 401
    basic = {"authorization": "Basic " + base64.b64encode(f"any:{at.tokens['deploy']}".encode()).decode()}
    at.stage.gits.pushes = {"main": COMMIT}

    assert (await at.anonymous.get(refs, headers=basic)).status_code == 200
    pushed = await at.anonymous.post("/git/shop.git/git-receive-pack", content=b"pack", headers=basic)

    assert (pushed.content, pushed.headers["content-type"]) == (b"0000", "application/x-git-result")
    assert (await at.reader.get("/v1/apps/shop/deploys")).json()["items"][0]["commit"] == COMMIT
    assert all("authorization" not in headers for *_, headers in at.stage.gits.asked)
    read = {"authorization": "Basic " + base64.b64encode(f"any:{at.tokens['read']}".encode()).decode()}
    refused = await at.anonymous.get(refs, headers=read)
    assert (refused.status_code, "this needs 'deploy'\n  hint: " in refused.text) == (403, True)
    assert (await at.anonymous.get(refs.replace("receive", "upload"), headers=read)).status_code == 200
    assert (await at.anonymous.get("/git/shop.git/HEAD", headers=basic)).status_code == 404
    assert (await at.anonymous.get("/git/shop.git/info/refs?service=x", headers=basic)).status_code == 422


async def test_git_is_told_in_plain_text_why_it_is_refused_for_it_shows_nothing_else(at: Door) -> None:
    basic = {"authorization": "Basic " + base64.b64encode(f"any:{at.tokens['deploy']}".encode()).decode()}

    refused = await at.anonymous.get("/git/Bad%20Name.git/info/refs?service=git-receive-pack", headers=basic)

    assert refused.headers["content-type"] == "text/plain; charset=utf-8"
    assert "'Bad Name' is not a name: use 1 to 40 lower-case letters" in refused.text


async def test_the_stream_of_a_deploy_ends_with_its_end(at: Door) -> None:
    made = (await at.deployer.post("/v1/apps/shop/deploys", json=GIT)).json()
    await at.stage.stores.logs.append("shop", [LogLine(1, f"build/{made['id']}", "stdout", "hello\nthere")])
    asking = asyncio.create_task(at.reader.get(f"/v1/deploys/{made['id']}/events"))
    await at.stage.live("shop")

    answer = await asyncio.wait_for(asking, 3)

    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = [frame.split("\n") for frame in answer.text.strip().split("\n\n")]
    assert {frame[0] for frame in frames} == {"event: log", "event: deploy"}
    last = json.loads(frames[-1][1].removeprefix("data: "))
    assert (last["status"], last["image"]) == ("live", "registry/shop@sha256:1")
    logs = [json.loads(frame[1].removeprefix("data: ")) for frame in frames if frame[0] == "event: log"]
    assert [line["text"] for line in logs] == ["hello", "there"] and set(logs[0]) == {"at", "text"}
    problem(await at.reader.get("/v1/deploys/nope/events"), 404, "deploy-not-found")
    problem(await at.reader.get("/v1/apps/nope/logs/stream"), 404, "app-not-found")
