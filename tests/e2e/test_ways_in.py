"""Code comes in by directory, Git URL, push, webhook, deploy hook and image, and the exact bytes become live."""

import hashlib
import hmac
import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import DOCKER, HTTPS_PORT, Platform, Reply, change, copied
from tests.e2e.repository import Repository

APPS = ("sent", "fetched", "left", "right", "pushed", "hooked", "imported")


@pytest.fixture(scope="module", autouse=True)
def afresh(platform: Platform) -> None:
    platform.gone(*APPS)


def said(platform: Platform, app: str) -> str:
    return str(platform.ask(app).json["text"])


# --- a directory ------------------------------------------------------------------------------------------


def test_a_directory_is_sent_without_what_its_ignore_files_leave_out(platform: Platform, tmp_path: Path) -> None:
    tree = copied("probe", tmp_path)
    change(tree, "name: probe", "name: sent", "leeward.yaml")
    (tree / ".gitignore").write_text("*.secret\nnode_modules/\n")
    (tree / "key.secret").write_text("do not send")
    (tree / "node_modules").mkdir()
    (tree / "node_modules" / "a.js").write_text("")
    (tree / "data.txt").write_text("send")

    done = platform.ok("deploy", tree)

    def there(path: str) -> bool:
        return bool(platform.ask("sent", f"/there?path={path}").json["there"])

    assert (done["app"], done["release"], done["status"]) == ("sent", "v1", "live")
    assert there("/app/data.txt")
    assert not there("/app/key.secret")
    assert not there("/app/node_modules/a.js")


# --- a Git URL --------------------------------------------------------------------------------------------


def test_a_branch_a_tag_and_a_commit_are_each_deployed_as_they_are(platform: Platform, tmp_path: Path) -> None:
    repository = Repository.made(tmp_path, "fetched")
    first = repository.head
    tagged = repository.say("tagged")
    repository.git("tag", "-a", "v1.0", "-m", "a tag with a message")
    repository.git("checkout", "-qb", "feature/x")
    branch = repository.say("branch")
    repository.git("checkout", "-q", "main")

    for ref, commit, text in (
        ("feature/x", branch, "branch"),
        ("v1.0", tagged, "tagged"),
        (first, first, "one"),
        ("", tagged, "tagged"),
    ):
        more = ("--ref", ref) if ref else ()
        done = platform.ok("deploy", "--app", "fetched", "--git", repository.url, *more)
        assert (done["commit"], said(platform, "fetched")) == (commit, text), ref
    messages = [release["message"] for release in platform.ok("releases", "fetched")]
    assert messages == ["say tagged", "first", "say tagged", "say branch"]


def test_two_apps_of_one_repository_are_deployed_each_from_its_folder(platform: Platform, tmp_path: Path) -> None:
    for name in ("left", "right"):
        tree = copied("probe", tmp_path / name)
        (tree / "leeward.yaml").unlink()
        change(tree, 'TEXT = "one"', f'TEXT = "{name}"')
    web = "processes: {web: {size: nano, health: {path: /health, rollout_interval: 0.2}}}"
    (tmp_path / "leeward.yaml").write_text(
        f"apps:\n  left:\n    path: left/probe\n    {web}\n  right:\n    path: right/probe\n    {web}\n"
    )
    repository = Repository(tmp_path)
    repository.git("init", "-q")
    repository.git("add", ".")
    repository.git("commit", "-qm", "both")

    left = platform.ok("deploy", "--app", "left", "--git", repository.url)
    right = platform.ok("deploy", "--app", "right", "--git", repository.url, "--ref", "main")

    assert left["commit"] == right["commit"] == repository.head
    assert (said(platform, "left"), said(platform, "right")) == ("left", "right")


# --- git push ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pushed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository.made(tmp_path_factory.mktemp("pushed"), "pushed")
    repository.git("remote", "add", "lee", f"https://console.{platform.domain}:{HTTPS_PORT}/git/pushed.git")
    return repository


def push(
    platform: Platform, repository: Repository, *refs: str, token: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """`git push` with the token as the password, over TLS that git verifies."""
    helper = f"!f() {{ echo username=me; echo password={platform.token if token is None else token}; }}; f"
    arguments = ("-c", "credential.helper=", "-c", f"credential.helper={helper}", "-c", "http.sslVerify=true")
    return repository.git(
        *arguments, "push", "lee", *refs, env={"GIT_SSL_CAINFO": str(platform.ca), "GIT_CONFIG_NOSYSTEM": "1"}, ok=False
    )


def test_a_push_makes_the_app_and_says_how_it_goes(platform: Platform, pushed: Repository) -> None:
    done = push(platform, pushed, "main")

    assert done.returncode == 0, done.stderr
    for word in ("fetch", "plan", "build", "push", "rollout"):
        assert f"remote: {word} ..." in done.stderr, done.stderr
    assert f"live at https://pushed.{platform.domain}:{HTTPS_PORT}" in done.stderr
    assert said(platform, "pushed") == "one"
    assert platform.ok("releases", "pushed")[0]["commit"] == pushed.head


def test_a_push_of_a_broken_app_says_why_and_the_old_release_serves(platform: Platform, pushed: Repository) -> None:
    good = (pushed.folder / "requirements.txt").exists()
    assert not good
    (pushed.folder / "requirements.txt").write_text("no-such-package-of-leeward==9.9\n")
    pushed.git("add", ".")
    pushed.git("commit", "-qm", "needs what is not there")

    done = push(platform, pushed, "main")

    assert done.returncode == 0, "the push itself is taken"
    assert "failed at build" in done.stderr and "no-such-package-of-leeward" in done.stderr
    assert said(platform, "pushed") == "one"
    pushed.git("rm", "-q", "requirements.txt")
    pushed.git("commit", "-qm", "works again")


def test_a_second_push_is_a_second_release(platform: Platform, pushed: Repository) -> None:
    pushed.say("pushed again")

    done = push(platform, pushed, "main")

    assert done.returncode == 0, done.stderr
    assert said(platform, "pushed") == "pushed again"


def test_a_push_of_another_branch_is_kept_and_not_deployed(platform: Platform, pushed: Repository) -> None:
    releases = platform.ok("releases", "pushed")
    pushed.git("checkout", "-qb", "draft")
    pushed.say("draft")

    done = push(platform, pushed, "draft")

    assert done.returncode == 0, done.stderr
    assert "no deploy of 'pushed'" in done.stderr
    assert platform.ok("releases", "pushed") == releases
    pushed.git("checkout", "-q", "main")
    pushed.text = "pushed again"


def test_a_push_needs_a_token_that_may_deploy(platform: Platform, pushed: Repository) -> None:
    reader = platform.ok("tokens", "create", "reader", "--scope", "read")

    wrong = push(platform, pushed, "main", token="lee_wrong")
    looking = push(platform, pushed, "main:other", token=reader["token"])
    platform.ok("tokens", "revoke", reader["id"])

    assert wrong.returncode != 0 and "Authentication failed" in wrong.stderr, wrong.stderr
    assert looking.returncode != 0 and "403" in looking.stderr, looking.stderr


def test_what_was_pushed_can_be_cloned(platform: Platform, pushed: Repository, tmp_path: Path) -> None:
    host = f"console.{platform.domain}:{HTTPS_PORT}"

    done = pushed.git(
        "clone",
        "-q",
        f"https://me:{platform.token}@{host}/git/pushed.git",
        str(tmp_path / "clone"),
        env={"GIT_SSL_CAINFO": str(platform.ca)},
        ok=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clone" / "main.py").read_text() == (pushed.folder / "main.py").read_text()


# --- webhooks and hooks -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hooked(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, dict[str, str]]:
    """An app that follows `main` of a repository, and deploys only when something below `src` or main.py changes."""
    repository = Repository.made(tmp_path_factory.mktemp("hooked"), "hooked")
    manifest = repository.folder / "leeward.yaml"
    manifest.write_text(manifest.read_text() + 'source: {branch: main, paths: ["main.py", "src/**"]}\n')
    repository.git("commit", "-qam", "rules")
    platform.ok("deploy", "--app", "hooked", "--git", repository.url, "--ref", "main")
    return repository, platform.ok("hooks", "hooked")


def payload(repository: Repository, commit: str, branch: str = "main", changed: str = "main.py") -> bytes:
    """What a Git host says about one pushed commit."""
    value = {
        "ref": f"refs/heads/{branch}",
        "before": "1" * 40,
        "after": commit,
        "repository": {"clone_url": repository.url, "default_branch": "main"},
        "commits": [{"id": commit, "message": "a push", "added": [], "modified": [changed], "removed": []}],
        "head_commit": {"id": commit, "message": "a push"},
        "total_commits_count": 1,
        "pusher": {"name": "somebody"},
    }
    return json.dumps(value).encode()


def headers(host: str, secret: str, body: bytes, delivery: str = "") -> dict[str, str]:
    """Those of a host's webhook, signed as it signs."""
    delivery = delivery or str(uuid.uuid4())
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    match host:
        case "github":
            own = {
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": delivery,
                "X-Hub-Signature-256": f"sha256={signature}",
            }
        case "gitea":
            own = {"X-Gitea-Event": "push", "X-Gitea-Delivery": delivery, "X-Gitea-Signature": signature}
        case _:
            own = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": delivery, "X-Gitlab-Token": secret}
    return {"Content-Type": "application/json", **own}


def deliver(platform: Platform, body: bytes, headers: dict[str, str]) -> Reply:
    return platform.ask("console", "/hooks/git/hooked", "POST", body, headers)


@pytest.mark.parametrize("host", ["github", "gitea", "gitlab"])
def test_a_signed_webhook_deploys_the_exact_commit_once(platform: Platform, hooked: Any, host: str) -> None:
    repository, secrets = hooked
    commit = repository.say(f"by {host}")
    # What came after is not what was signed.
    later = repository.say(f"later than {host}")
    body = payload(repository, commit)
    signed = headers(host, secrets["webhook_secret"], body)

    first = deliver(platform, body, signed)
    ended = platform.ended(first.json["deploy"])
    again = deliver(platform, body, signed)

    assert first.status == 202
    assert (ended["status"], ended["commit"]) == ("live", commit)
    assert said(platform, "hooked") == f"by {host}"
    assert (again.status, again.json["code"]) == (409, "replayed")
    assert later != commit


@pytest.mark.parametrize("host", ["github", "gitea", "gitlab"])
def test_a_webhook_with_a_wrong_signature_does_nothing(platform: Platform, hooked: Any, host: str) -> None:
    repository, secrets = hooked
    before = platform.ok("releases", "hooked")
    body = payload(repository, repository.head)

    wrong = deliver(platform, body, headers(host, "not the secret", body))
    unsigned = deliver(platform, body, {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1"})
    changed = deliver(platform, body + b" ", headers("github", secrets["webhook_secret"], body))

    assert (wrong.status, unsigned.status, changed.status) == (401, 401, 401)
    assert platform.ok("releases", "hooked") == before


@pytest.mark.parametrize(
    ("branch", "changed", "word"), [("draft", "main.py", "branch 'draft'"), ("main", "README.md", "source/paths")]
)
def test_a_push_that_the_rules_leave_out_says_which_rule(
    platform: Platform, hooked: Any, branch: str, changed: str, word: str
) -> None:
    repository, secrets = hooked
    body = payload(repository, repository.head, branch, changed)

    answer = deliver(platform, body, headers("github", secrets["webhook_secret"], body))

    assert (answer.status, answer.json["deploy"]) == (200, None)
    assert word in answer.json["ignored"]


def test_a_deploy_hook_deploys_the_newest_commit_and_a_wrong_one_does_not(platform: Platform, hooked: Any) -> None:
    repository, secrets = hooked
    # The webhooks before named exact commits; the hook follows the branch all the same.
    commit = repository.say("by hook")
    path = "/" + secrets["deploy_url"].split("/", 3)[3]

    answer = platform.ask("console", path, "POST", b"")
    wrong = platform.ask("console", path[:-4] + "xxxx", "POST", b"")

    assert answer.status == 202
    ended = platform.ended(answer.json["deploy"])
    assert (ended["status"], ended["commit"], said(platform, "hooked")) == ("live", commit, "by hook")
    assert wrong.status == 401


def test_new_hooks_end_the_old_ones(platform: Platform, hooked: Any) -> None:
    repository, secrets = hooked
    fresh = platform.ok("hooks", "hooked")
    path = "/" + secrets["deploy_url"].split("/", 3)[3]
    body = payload(repository, repository.head)

    assert platform.ask("console", path, "POST", b"").status == 401
    assert deliver(platform, body, headers("github", secrets["webhook_secret"], body)).status == 401
    assert fresh["webhook_secret"] != secrets["webhook_secret"]


# --- an image ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An image that was built beside the platform."""
    name = "leeward-e2e-foreign:1"
    folder = tmp_path_factory.mktemp("image")
    copied("probe", folder)
    base = platform.ok("releases", "finrag-backend")[0]["image"]
    lines = ("LABEL leeward.app= leeward.home=", "COPY probe/main.py /app/main.py", "ENV WHO=foreign")
    command = 'CMD ["python", "/app/main.py"]'
    (folder / "Dockerfile").write_text("\n".join((f"FROM {base}", *lines, command, "")))
    subprocess.run([DOCKER, "build", "-q", "-t", name, str(folder)], check=True, capture_output=True)
    yield name
    subprocess.run([DOCKER, "rmi", "-f", name], capture_output=True, check=False)


def test_a_ready_image_is_deployed_and_pinned_by_its_digest(platform: Platform, image: str) -> None:
    done = platform.ok("deploy", "--app", "imported", "--image", image)

    assert done["status"] == "live"
    assert "/imported@sha256:" in done["image"]
    assert platform.ask("imported", "/env").json["WHO"] == "foreign"
    # Whatever the name means later, the release is what it was.
    subprocess.run([DOCKER, "rmi", "-f", image], capture_output=True, check=False)
    assert platform.ok("restart", "imported")["image"] == done["image"]
    assert platform.ask("imported", "/env").json["WHO"] == "foreign"


def test_an_image_of_the_apps_own_earlier_release_can_be_deployed_again(platform: Platform) -> None:
    first = platform.ok("releases", "imported")[-1]["image"]

    done = platform.ok("deploy", "--app", "imported", "--image", first)

    assert done["image"] == first


def test_an_image_of_another_app_is_refused(platform: Platform) -> None:
    other = platform.ok("releases", "finrag-backend")[0]["image"]

    answer = platform.lee("deploy", "--app", "imported", "--image", other, "--json")

    assert answer.code == 1
    assert "belongs to another app" in answer.json["error"]["message"]


def test_an_image_that_is_nowhere_is_named(platform: Platform) -> None:
    answer = platform.lee("deploy", "--app", "imported", "--image", "127.0.0.1:9/no-such/image:1", "--json")

    assert answer.code == 1
    assert "no-such/image" in answer.json["error"]["message"]
    assert platform.ask("imported").status == 200
