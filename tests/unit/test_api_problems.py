"""What holds for every route: who may ask, what is refused and how, what is sent to browsers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Scope
from tests.unit.api_stage import URL, Door, client, door, problem

from leeward.api.streams import HEARTBEAT, beating, event, stream
from leeward.model.runtime import LogLine
from leeward.model.wish import App

GIT = {"git": {"url": "https://example.com/shop.git", "ref": "main"}}


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        yield made


# --- who ----------------------------------------------------------------------------------------------------


async def test_nothing_below_v1_answers_without_a_caller(at: Door) -> None:
    paths = (await at.anonymous.get("/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        for method in operations:
            if not path.startswith("/v1/") or path == "/v1/sessions":
                continue
            url = path.replace("{app}", "shop").replace("{id}", "x").replace("{host}", "x")
            answer = await at.anonymous.request(method, url, params={"app": "shop", "host": "x"})
            problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_wrong_expired_and_revoked_tokens_are_refused(at: Door) -> None:
    made = (await at.admin.post("/v1/tokens", json={"name": "t", "days": 1})).json()
    ended = (await at.admin.post("/v1/tokens", json={"name": "t"})).json()
    await at.admin.delete(f"/v1/tokens/{ended['id']}")
    at.stage.clock.go(24 * 3600 + 1)

    for text in ("Bearer lee_wrong", "Bearer", "lee_wrong", "Basic eDp5", f"Bearer {made['token']}"):
        problem(await at.anonymous.get("/v1/apps", headers={"authorization": text}), 401, "wrong-token")
    problem(
        await at.anonymous.get("/v1/apps", headers={"authorization": f"Bearer {ended['token']}"}), 401, "wrong-token"
    )


async def test_every_operation_holds_the_scope_that_its_description_says(at: Door) -> None:
    below = {"deploy": at.reader, "admin": at.deployer}
    bodies = {
        "access.add_token": {"name": "x"},
        "apps.create": {"name": "x"},
        "apps.exec": {"command": ["x"]},
        "domains.add": {"host": "a.example.com"},
        "regions.add": {"name": "x"},
        "registries.add": {"host": "x.example.com", "username": "x", "password": "x"},
    }
    await at.stage.live("shop")
    deploy = (await at.stage.services.deploys.list("shop")).items[0].id
    paths = (await at.anonymous.get("/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            if operation["x-scope"] not in below:
                continue
            id, url = operation["operationId"], path.replace("{app}", "shop").replace("{id}", deploy)
            body = bodies.get(id, {}) if "requestBody" in operation else None
            client = below[operation["x-scope"]]
            answer = await client.request(method, url, json=body, params={"app": "shop", "host": "x"})
            problem(answer, 403, "scope-too-small")


async def test_a_scope_that_is_too_small_is_told_what_is_needed(at: Door) -> None:
    await at.deployer.post("/v1/apps", json={"name": "shop"})
    for answer in (
        await at.reader.post("/v1/apps", json={"name": "x"}),
        await at.reader.post("/v1/apps/shop/deploys", json=GIT),
        await at.reader.post("/v1/uploads?app=shop", content=b"x"),
        await at.reader.patch("/v1/apps/shop/env", json={"set": {"A": "1"}}),
        await at.deployer.delete("/v1/apps/shop"),
        await at.deployer.get("/v1/tokens"),
        await at.deployer.post("/v1/tokens", json={"name": "x", "scope": "admin"}),
        await at.deployer.post("/v1/apps/shop/hook"),
    ):
        assert "needs '" in problem(answer, 403, "scope-too-small")["detail"]


async def test_a_browser_signs_in_and_out(at: Door) -> None:
    browser = await at.signed_in()
    assert (await browser.get("/v1/whoami")).json() == {"name": "admin", "scope": "admin", "token": ""}

    out = await browser.delete("/v1/sessions")

    assert out.status_code == 204
    problem(await browser.get("/v1/whoami"), 401, "unauthorized")


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(at: Door) -> None:
    files = await at.stage.services.access.first_run()
    body = {"name": "admin", "password": files.password_file.read_text().strip()}

    cookie = (await at.anonymous.post("/v1/sessions", json=body)).headers["set-cookie"]

    parts = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "secure", "samesite=lax", "path=/", "max-age=43200"} <= parts
    # A browser takes a cookie with this beginning only without a domain, so that no app beside the console sets one.
    assert cookie.startswith("__Host-leeward_session=") and not [part for part in parts if part.startswith("domain")]


async def test_a_wrong_password_is_refused_then_slowed_down(at: Door) -> None:
    body = {"name": "admin", "password": "wrong"}
    for _ in range(5):
        problem(await at.anonymous.post("/v1/sessions", json=body), 401, "wrong-password")

    answer = await at.anonymous.post("/v1/sessions", json=body)

    problem(answer, 429, "too-many")
    assert 0 < int(answer.headers["retry-after"]) <= 30
    other = await at.anonymous.post("/v1/sessions", json={**body, "name": "eve"}, headers={"x-real-ip": "192.0.2.7"})
    problem(other, 401, "wrong-password")


async def test_another_site_cannot_change_anything_with_our_cookie(at: Door) -> None:
    browser = await at.signed_in()
    made = await browser.post("/v1/apps", json={"name": "ours"})
    assert made.status_code == 201
    del browser.headers["sec-fetch-site"]
    for headers in (
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "https://shop.lee.test"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ):
        problem(await browser.post("/v1/apps", json={"name": "theirs"}, headers=headers), 403, "cross-site")
        problem(await browser.delete("/v1/apps/ours", headers=headers), 403, "cross-site")
        assert (await browser.get("/v1/whoami", headers=headers)).status_code == 200
    assert (await browser.post("/v1/apps", json={"name": "own"}, headers={"origin": URL})).status_code == 201
    body = {"name": "admin", "password": "x"}
    evil = {"origin": "https://evil.example"}
    problem(await at.anonymous.post("/v1/sessions", json=body, headers=evil), 403, "cross-site")


async def test_a_token_needs_no_origin(at: Door) -> None:
    evil = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}

    assert (await at.deployer.post("/v1/apps", json={"name": "shop"}, headers=evil)).status_code == 201


# --- what is wrong ------------------------------------------------------------------------------------------


async def test_every_wrong_field_is_named_at_once_by_its_path(at: Door) -> None:
    body = {"git": {"url": 5, "reff": "x"}, "mesage": "x", "path": ["a"], "message": "m" * 501}

    answer = problem(await at.deployer.post("/v1/apps/shop/deploys", json=body), 422, "invalid")

    found = {item["path"]: item["hint"] for item in answer["problems"]}
    assert set(found) == {"git/url", "git/reff", "mesage", "path", "message"}
    assert found["mesage"] == "did you mean 'message'?"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"git": GIT["git"], "image": "a/b"}, ""),
        ({"path": "backend"}, ""),
        ({"image": "Not An Image"}, "image"),
        ({"upload": "../../x"}, "upload"),
        ({**GIT, "path": "../.."}, "path"),
        ({**GIT, "spec": {"proceses": {}}}, "proceses"),
        ({**GIT, "spec": {"processes": {"web": {"instances": 51}}}}, "processes/web/instances/min"),
        ({**GIT, "spec": []}, "spec"),
    ],
)
async def test_a_deploy_that_makes_no_sense_is_refused(at: Door, body: Any, path: str) -> None:
    answer = problem(await at.deployer.post("/v1/apps/shop/deploys", json=body), 422, "invalid")

    assert path in [item["path"] for item in answer["problems"]]
    problem(await at.reader.get("/v1/apps/shop"), 404, "app-not-found")


async def test_names_that_are_none_are_refused(at: Door) -> None:
    for name in ("my shop", "Shop", "s" * 64, "läden", "console"):
        problem(await at.deployer.post("/v1/apps", json={"name": name}), 422, "invalid")
        problem(await at.deployer.post(f"/v1/apps/{name}/deploys", json=GIT), 422, "invalid")
        problem(await at.deployer.post("/v1/uploads", params={"app": name}, content=b"x"), 422, "invalid")


async def test_what_is_not_json_is_refused(at: Door) -> None:
    headers = {"content-type": "application/json"}
    for content in (b"{", b"", b"\xff\xfe", b"[" * 10_000, b"null", b'"x"'):
        problem(await at.deployer.post("/v1/apps", content=content, headers=headers), 422, "invalid")
    deep = await at.deployer.post("/v1/apps/shop/deploys", content=b'{"spec":' + b'{"a":' * 5000, headers=headers)
    assert deep.status_code == 422


async def test_an_answer_never_repeats_a_password_or_secret(at: Door) -> None:
    answers = [
        await at.anonymous.post("/v1/sessions", json={"name": "admin", "password": ["hidden-value"]}),
        await at.anonymous.post("/v1/sessions", json={"name": "admin", "password": "hidden-value" * 200}),
        await at.deployer.patch("/v1/apps/shop/env", json={"secrets": {"A": {"x": "hidden-value"}}}),
        await at.deployer.patch("/v1/apps/shop/env", json={"secrets": "hidden-value"}),
    ]

    assert [answer.status_code for answer in answers] == [422] * 4
    assert "hidden-value" not in "".join(answer.text for answer in answers)


async def test_paths_and_methods_that_are_none_are_problems_too(at: Door) -> None:
    problem(await at.reader.get("/v1/nope"), 404, "no-such-path")
    problem(await at.reader.get("/nope"), 404, "no-such-path")
    answer = await at.reader.put("/v1/apps")
    problem(answer, 405, "method-not-allowed")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["allow"].split(",")}
    problem(await at.reader.delete("/healthz"), 405, "method-not-allowed")


async def test_what_others_mount_does_not_hide_that(at: Door) -> None:
    async def page(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAMEORIGIN")]})
        await send({"type": "http.response.body", "body": b"page"})

    at.app.mount("/", page)

    shown = await at.reader.get("/anything")
    assert shown.text == "page" and shown.headers["x-frame-options"] == "SAMEORIGIN"
    assert "content-security-policy" not in shown.headers
    problem(await at.reader.get("/v1/nope"), 404, "no-such-path")
    problem(await at.reader.put("/v1/apps"), 405, "method-not-allowed")


async def test_a_mistake_of_ours_tells_the_caller_nothing(at: Door, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret reason")

    object.__setattr__(at.stage.services.events, "list", broken)

    answer = await at.reader.get("/v1/events")

    problem(answer, 500, "internal")
    assert "secret reason" not in answer.text and "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "the secret reason" in caplog.text


async def test_bodies_are_bounded_whether_they_say_their_length_or_not(at: Door) -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b" " * 65536

    headers = {"content-type": "application/json"}
    problem(await at.deployer.post("/v1/apps", content=b" " * (1024 * 1024 + 1), headers=headers), 413, "too-large")
    problem(await at.deployer.post("/v1/apps", content=chunks(17), headers=headers), 413, "too-large")
    problem(await at.deployer.post("/v1/uploads?app=shop", content=chunks(17)), 413, "too-large")
    problem(await at.anonymous.post("/hooks/git/shop", content=chunks(8 * 16 + 1)), 413, "too-large")
    assert (await at.deployer.post("/v1/uploads?app=shop", content=chunks(16))).status_code == 201


# --- the rest -----------------------------------------------------------------------------------------------


async def test_the_same_idempotency_key_gives_the_same_deploy(at: Door) -> None:
    key = {"Idempotency-Key": "k1"}

    first = await at.deployer.post("/v1/apps/shop/deploys", json=GIT, headers=key)
    again = await at.deployer.post("/v1/apps/shop/deploys", json=GIT, headers=key)

    assert first.status_code == again.status_code == 202 and first.json()["id"] == again.json()["id"]
    other = await at.deployer.post("/v1/apps/shop/deploys", json={"image": "a/b"}, headers=key)
    problem(other, 409, "key-reused")
    long = await at.deployer.post("/v1/apps/shop/deploys", json=GIT, headers={"Idempotency-Key": "k" * 201})
    assert problem(long, 422, "invalid")["problems"][0]["path"] == "Idempotency-Key"


async def test_every_answer_protects_the_browser(at: Door) -> None:
    for answer in (await at.reader.get("/v1/apps"), await at.anonymous.get("/v1/apps"), await at.anonymous.get("/x")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    answer = await at.reader.get("/v1/apps")
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_quiet_stream_shows_signs_of_life_and_closes_what_it_reads() -> None:
    closed = asyncio.Event()

    async def quiet() -> AsyncIterator[bytes]:
        try:
            yield event("log", b"{}")
            await asyncio.Event().wait()
        finally:
            closed.set()

    frames = beating(quiet(), heartbeat_s=0.01)
    assert [await anext(frames) for _ in range(3)] == [b"event: log\ndata: {}\n\n", HEARTBEAT, HEARTBEAT]
    await frames.aclose()  # type: ignore[attr-defined]

    await asyncio.wait_for(closed.wait(), 1)


async def test_a_stream_ends_cleanly_when_its_client_goes_away(at: Door) -> None:
    await at.deployer.post("/v1/apps", json={"name": "shop"})
    sent: list[Message] = []
    first, gone = asyncio.Event(), asyncio.Event()
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            first.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "GET",
        "path": "/v1/apps/shop/logs/stream",
        "query_string": b"recent=1",
        "headers": [(b"authorization", f"Bearer {at.tokens['read']}".encode())],
    }
    await at.stage.stores.logs.append("shop", [LogLine(1, "i1", "stdout", "hello", "web")])
    running = asyncio.create_task(at.app(scope, receive, send))
    await asyncio.wait_for(first.wait(), 2)
    gone.set()
    await asyncio.wait_for(running, 2)

    assert b"hello" in b"".join(message.get("body", b"") for message in sent)
    others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=1)
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


def test_a_stream_is_not_kept_back_by_the_edge() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    answer = stream(nothing())

    assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == ("no", "no-cache")


async def test_two_hundred_apps_are_listed_with_a_handful_of_queries(at: Door) -> None:
    for number in range(200):
        await at.stage.stores.apps.create(App(f"app-{number}"))
    asked: list[str] = []
    store = at.stage.stores.deploys

    class Counting:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(store, name)

    object.__setattr__(at.stage.stores, "deploys", Counting())
    answer = await at.reader.get("/v1/apps?limit=200")

    assert len(answer.json()["items"]) == 200 and len(asked) <= 3
    assert at.stage.engine.looks == 0


async def test_openapi_is_read_without_a_token(at: Door) -> None:
    made = (await client(at.app).get("/openapi.json")).json()

    assert made["openapi"].startswith("3.1") and json.dumps(made).count("HTTPValidationError") == 0
    ids = [operation["operationId"] for path in made["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) and "apps.scale" in ids
    assert isinstance(at.anonymous, httpx.AsyncClient)
