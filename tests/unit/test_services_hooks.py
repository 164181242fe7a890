"""Hooks: signatures, replays, rules, and what a push deploys."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.unit.services_stage import ADMIN, COMMIT, DEPLOYER, GIT, IMAGE, Stage, stage

from leeward.errors import Conflict, Forbidden, Invalid, Unauthorized
from leeward.model.app import SourceRules
from leeward.model.release import DeployKind, SourceKind, SourceRef
from leeward.services.globs import matches
from leeward.services.pushes import ignored, parse_push

SHA = "b" * 40


@pytest.fixture
async def st(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


def push(ref: str = "refs/heads/main", after: str = SHA, **more: Any) -> dict[str, Any]:
    return {
        "ref": ref,
        "before": COMMIT,
        "after": after,
        "repository": {"clone_url": "https://example.com/from-payload.git", "default_branch": "trunk"},
        "head_commit": {"id": after, "message": "Fix it\n\nlong story"},
        "commits": [{"id": after, "added": ["backend/new.py"], "modified": ["README.md"], "removed": []}],
        "pusher": {"name": "mona"},
        **more,
    }


def github(secret: str, body: bytes, delivery: str = "d1", event: str = "push") -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Delivery": delivery, "X-GitHub-Event": event}


async def made(st: Stage, spec: Mapping[str, Any] | None = None, source: SourceRef = GIT) -> str:
    await st.services.deploys.deploy(DEPLOYER, "shop", source, spec)
    return (await st.services.hooks.rotate(ADMIN, "shop")).webhook_secret


async def send(st: Stage, secret: str, payload: Mapping[str, Any], delivery: str = "d1") -> tuple[str | None, str]:
    body = json.dumps(payload).encode()
    answer = await st.services.hooks.git_push("shop", github(secret, body, delivery), body)
    return answer.deploy.id if answer.deploy else None, answer.ignored


async def test_a_signed_push_deploys_the_exact_commit(st: Stage) -> None:
    secret = await made(st)

    id, why = await send(st, secret, push())

    assert id is not None and why == ""
    deploy = await st.services.deploys.show(id)
    assert deploy.source == SourceRef(SourceKind.GIT, url=GIT.url, ref="main", commit=SHA)
    assert (deploy.kind, deploy.message, deploy.actor) == (DeployKind.CODE, "Fix it", "webhook mona")


async def test_an_app_without_a_git_source_takes_the_url_of_the_signed_push(st: Stage) -> None:
    secret = await made(st, source=IMAGE)

    id, _ = await send(st, secret, push("refs/heads/trunk"))

    assert id is not None
    assert (await st.services.deploys.show(id)).source.url == "https://example.com/from-payload.git"


@pytest.mark.parametrize("provider", ["gitea", "gitlab", "github form"])
async def test_other_hosts_are_understood_too(st: Stage, provider: str) -> None:
    secret = await made(st)
    payload, headers = push(), {"Content-Type": "application/json"}
    if provider == "gitlab":
        del payload["repository"], payload["pusher"], payload["head_commit"]
        payload |= {
            "user_username": "lab",
            "total_commits_count": 1,
            "project": {"git_http_url": "https://x/y.git", "default_branch": "main"},
        }
        headers |= {"X-Gitlab-Token": secret, "X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "d1"}
    body = json.dumps(payload).encode()
    if provider == "github form":
        body = urlencode({"payload": json.dumps(payload)}).encode()
        headers = {**github(secret, body), "Content-Type": "application/x-www-form-urlencoded"}
    if provider == "gitea":
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers |= {"X-Gitea-Signature": signature, "X-Gitea-Event": "push", "X-Gitea-Delivery": "d1"}

    answer = await st.services.hooks.git_push("shop", headers, body)

    assert answer.deploy is not None and answer.deploy.source.commit == SHA


async def test_a_wrong_signature_is_refused_like_an_app_that_is_not_there(st: Stage) -> None:
    secret = await made(st)
    await st.services.apps.create(DEPLOYER, "bare")
    body = json.dumps(push()).encode()
    right = github(secret, body)
    wrong = [
        ("shop", {**right, "X-Hub-Signature-256": "sha256=" + "0" * 64}, body),
        ("shop", {**right, "X-Hub-Signature-256": "sha1=x"}, body),
        ("shop", {key: value for key, value in right.items() if key != "X-Hub-Signature-256"}, body),
        ("shop", right, body + b" "),
        ("shop", {**right, "X-Gitlab-Token": "guess"}, body),
        ("shop", {"X-Gitlab-Token": "", "X-Gitlab-Event-UUID": "1"}, body),
        ("shop", {"X-Gitlab-Token": "ä", "X-Gitlab-Event-UUID": "1"}, body),
        ("bare", right, body),
        ("bare", {**right, "X-Gitlab-Token": ""}, body),
        ("nope", right, body),
    ]

    for app, headers, sent in wrong:
        with pytest.raises(Unauthorized, match="signature is wrong"):
            await st.services.hooks.git_push(app, headers, sent)
    assert len((await st.stores.deploys.list()).items) == 1


async def test_a_replay_is_refused_also_at_once_and_under_another_id(st: Stage) -> None:
    secret = await made(st)
    answers = await asyncio.gather(*(send(st, secret, push()) for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Conflict) == 3

    for payload, delivery in ((push(), "d1"), (push(after="c" * 40), "d1"), (push(), "made-up")):
        with pytest.raises(Conflict, match="received before"):
            await send(st, secret, payload, delivery)

    st.clock.go(24 * 3600 + 1)
    assert (await send(st, secret, push()))[0] is not None


async def test_a_delivery_that_led_to_an_error_may_come_again(st: Stage) -> None:
    secret = await made(st)
    broken = push()
    broken["after"] = "not a commit"
    with pytest.raises(Invalid, match="'not a commit' is not a commit"):
        await send(st, secret, broken)

    assert (await send(st, secret, push()))[0] is not None


async def test_a_delivery_without_an_id_or_sense_is_refused(st: Stage) -> None:
    secret = await made(st)
    for body in (b"not json", b"[]", b"\xff", b"{}", b"[" * 100_000):
        with pytest.raises(Invalid):
            await st.services.hooks.git_push("shop", github(secret, body), body)
    body = json.dumps(push()).encode()
    with pytest.raises(Invalid, match="no delivery id"):
        await st.services.hooks.git_push("shop", {**github(secret, body), "X-GitHub-Delivery": ""}, body)


async def test_what_is_not_a_push_is_ignored(st: Stage) -> None:
    secret = await made(st)

    answer = await st.services.hooks.git_push("shop", github(secret, b"{}", event="ping"), b"{}")

    assert (answer.deploy, answer.ignored) == (None, "event 'ping' is not a push")


@pytest.mark.parametrize(
    ("rules", "payload", "why"),
    [
        ({}, push("refs/heads/dev"), "branch 'dev' is not 'main'"),
        ({"branch": "release-*"}, push("refs/heads/release-2"), ""),
        ({"branch": "release-*"}, push("refs/heads/main"), "branch 'main' is not 'release-*'"),
        ({}, push("refs/tags/v1"), "'refs/tags/v1' is not a branch"),
        ({}, push(after="0" * 40), "'refs/heads/main' was deleted"),
        ({"auto_deploy": False}, push(), "source/auto_deploy is off"),
        ({"paths": ["frontend/**"]}, push(), "no file that changed is in source/paths: frontend/**"),
        ({"paths": ["frontend/**", "backend/**"]}, push(), ""),
        ({"paths": ["backend"]}, push(), ""),
        ({"ignore_paths": ["**/*.md"]}, push(), ""),
        (
            {"ignore_paths": ["**/*.md", "backend/**"]},
            push(),
            "every file that changed is in source/ignore_paths: **/*.md, backend/**",
        ),
        ({"paths": ["frontend/**"]}, push(commits=[]), ""),
        ({"paths": ["frontend/**"]}, push(forced=True), ""),
        ({"paths": ["frontend/**"]}, push(before="0" * 40), ""),
        ({"paths": ["frontend/**"]}, push(total_commits_count=21), ""),
    ],
)
def test_the_rules_of_the_source_decide(rules: Mapping[str, Any], payload: Mapping[str, Any], why: str) -> None:
    said = parse_push({}, json.dumps(payload).encode())

    assert ignored(said, SourceRules.model_validate(rules), "main") == why


async def test_a_push_that_the_rules_ignore_deploys_nothing_and_says_why(st: Stage) -> None:
    secret = await made(st, {"source": {"branch": "live"}})

    assert await send(st, secret, push()) == (None, "branch 'main' is not 'live'")
    assert "hook.ignored" in await st.kinds()


async def test_new_secrets_end_the_old_ones(st: Stage) -> None:
    old = await made(st)
    with pytest.raises(Forbidden):
        await st.services.hooks.rotate(DEPLOYER, "shop")

    new = await st.services.hooks.rotate(ADMIN, "shop")

    assert new.webhook_url == "https://console.lee.test/hooks/git/shop"
    with pytest.raises(Unauthorized):
        await send(st, old, push())
    assert new.webhook_secret.encode() not in (st.settings.home / "leeward.db").read_bytes()
    assert (await st.services.apps.show("shop")).hook is True


async def test_a_deploy_hook_deploys_the_source_again(st: Stage) -> None:
    await made(st)
    url = (await st.services.hooks.rotate(ADMIN, "shop")).deploy_url
    secret = url.removeprefix("https://console.lee.test/hooks/deploy/shop/")

    deploy = await st.services.hooks.deploy_hook("shop", secret)

    assert (deploy.source, deploy.actor) == (GIT, "deploy hook")
    await st.services.apps.create(DEPLOYER, "bare")
    for app, wrong in (("shop", "guess"), ("shop", ""), ("bare", ""), ("nope", secret)):
        with pytest.raises(Unauthorized, match="no such deploy hook"):
            await st.services.hooks.deploy_hook(app, wrong)


@pytest.mark.parametrize(
    ("pattern", "path", "yes"),
    [
        ("backend/**", "backend/a/b.py", True),
        ("backend/**", "backend2/a.py", False),
        ("/backend/*", "backend/a.py", True),
        ("backend/*", "backend/a/b.py", False),
        ("**/*.md", "README.md", True),
        ("**/*.md", "docs/a/b.md", True),
        ("*.md", "docs/b.md", False),
        ("**", "anything/at/all", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a/b/c", False),
        ("docs", "docs/a/b", True),
        ("docs/", "docs/a/b", True),
        ("docs", "docs2", False),
        ("file?.py", "file1.py", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "axxbyy", False),
        ("", "a", False),
        ("[a]", "a", False),
    ],
)
def test_globs_mean_what_one_expects(pattern: str, path: str, yes: bool) -> None:
    assert matches(pattern, path) is yes


def test_no_glob_takes_long() -> None:
    start = time.perf_counter()

    matches("*a" * 100 + "b", "a" * 4000)
    matches("/".join(["**", "a"] * 100), "/".join("a" * 2000) + "/b")

    assert time.perf_counter() - start < 1


# --- git over HTTP ----------------------------------------------------------------------------------------


async def nothing() -> AsyncIterator[bytes]:
    yield b"pack"


async def git_push(st: Stage, app: str, **branches: str) -> None:
    st.gits.pushes = branches
    answer = await st.services.sources.git(DEPLOYER, app, "POST", "/git-receive-pack", "", {}, nothing())
    async for _ in answer.body:
        pass


async def test_a_first_push_makes_the_app_and_deploys_it(st: Stage) -> None:
    await git_push(st, "shop", main=SHA)

    deploy = (await st.services.deploys.list("shop")).items[0]
    assert deploy.source == SourceRef(SourceKind.PUSH, ref="main", commit=SHA)
    await git_push(st, "shop", main=SHA)
    await git_push(st, "shop", dev=COMMIT)
    assert len((await st.services.deploys.list("shop")).items) == 1


async def test_a_push_deploys_even_when_its_client_goes_away(st: Stage) -> None:
    st.gits.pushes = {"master": SHA}
    answer = await st.services.sources.git(DEPLOYER, "shop", "POST", "/git-receive-pack", "", {}, nothing())
    body = answer.body

    await anext(body)
    await body.aclose()  # type: ignore[attr-defined]

    assert [deploy.source.commit for deploy in (await st.services.deploys.list("shop")).items] == [SHA]


async def test_a_push_follows_the_branch_that_the_app_names(st: Stage) -> None:
    await st.services.apps.create(DEPLOYER, "shop", {"source": {"branch": "live"}})

    await git_push(st, "shop", main=SHA)
    assert (await st.services.deploys.list("shop")).items == ()
    await git_push(st, "shop", live=SHA)
    assert (await st.services.deploys.list("shop")).items[0].source.ref == "live"


async def test_an_upload_is_bounded_and_its_app_has_a_name(st: Stage) -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 65536

    upload = await st.services.sources.upload(DEPLOYER, "shop", chunks(16))

    assert st.uploads.received[upload.id] == b"x" * 1024 * 1024
    with pytest.raises(Exception, match="larger than 1 MiB"):
        await st.services.sources.upload(DEPLOYER, "shop", chunks(17))
    with pytest.raises(Invalid):
        await st.services.sources.upload(DEPLOYER, "My Shop", chunks(1))
