"""Read what a Git host says about a push, and decide whether it deploys. Pure."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from leeward.errors import Invalid, Problem, Unauthorized
from leeward.model.app import SourceRules
from leeward.services.globs import any_match, matches
from leeward.services.references import COMMIT

DELIVERY_HEADERS = ("x-gitea-delivery", "x-forgejo-delivery", "x-github-delivery", "x-gitlab-event-uuid")
EVENT_HEADERS = ("x-gitea-event", "x-forgejo-event", "x-github-event", "x-gitlab-event")
SIGNATURE_HEADERS = ("x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature")
PUSH_EVENTS = frozenset({"push", "push hook"})


@dataclass(frozen=True, slots=True)
class Push:
    """One push: `changed` are the files that it touched, None when the host did not name them all."""

    ref: str
    commit: str
    url: str
    message: str
    pusher: str
    default_branch: str
    changed: tuple[str, ...] | None

    @property
    def branch(self) -> str:
        """The branch's name, '' for a tag."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else ""

    @property
    def deleted(self) -> bool:
        """Whether the push removed the ref."""
        return not self.commit.strip("0")


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raises Unauthorized unless the host knows the secret. `headers` have lower-case names."""
    given = headers.get("x-gitlab-token")
    if given is not None:
        wanted = secret
    else:
        given = next((headers[name] for name in SIGNATURE_HEADERS if name in headers), "").removeprefix("sha256=")
        wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Unauthorized(
            "the webhook's signature is wrong",
            hint="copy the secret again with `lee hooks`",
            code="wrong-signature",
        )


def delivery(headers: Mapping[str, str]) -> str:
    """The id of this delivery. Raises Invalid when there is none: a replay could not be told from the first."""
    id = next((headers[name] for name in DELIVERY_HEADERS if headers.get(name)), "")
    if not 1 <= len(id) <= 200:
        raise Invalid(
            "the webhook has no delivery id", hint="send X-GitHub-Delivery, X-Gitea-Delivery or X-Gitlab-Event-UUID"
        )
    return id


def event(headers: Mapping[str, str]) -> str:
    """What happened: 'push', 'ping', …"""
    return next((headers[name] for name in EVENT_HEADERS if name in headers), "").lower()


def parse_push(headers: Mapping[str, str], body: bytes) -> Push:
    """The push in a webhook's body (JSON, or GitHub's form with `payload`). Raises Invalid."""
    payload = _payload(headers, body)
    ref, commit = str(payload.get("ref") or ""), str(payload.get("after") or "")
    problems = []
    if not ref.startswith("refs/"):
        problems.append(Problem("ref", f"'{ref[:200]}' is not a ref"))
    if not COMMIT.fullmatch(commit):
        problems.append(Problem("after", f"'{commit[:200]}' is not a commit"))
    if problems:
        raise Invalid(problems)
    repository = _mapping(payload.get("repository")) | _mapping(payload.get("project"))
    head = _mapping(payload.get("head_commit")) or next(
        (commit for commit in _commits(payload) if commit.get("id") == payload.get("after")), {}
    )
    pusher = _mapping(payload.get("pusher"))
    return Push(
        ref=ref,
        commit=commit,
        url=str(repository.get("clone_url") or repository.get("git_http_url") or ""),
        message=str(head.get("message") or "").strip().split("\n")[0],
        pusher=str(pusher.get("name") or pusher.get("login") or payload.get("user_username") or ""),
        default_branch=str(repository.get("default_branch") or ""),
        changed=_changed(payload),
    )


def _payload(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    try:
        text = body.decode()
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            text = parse_qs(text).get("payload", [""])[0]
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("the webhook's body is not JSON", hint="choose the content type application/json") from error
    if not isinstance(payload, Mapping):
        raise Invalid("the webhook's body is not an object")
    return payload


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _commits(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    commits = payload.get("commits")
    return [_mapping(commit) for commit in commits] if isinstance(commits, list) else []


def _changed(payload: Mapping[str, Any]) -> tuple[str, ...] | None:
    """None for a forced or first push, and where the host cut the list of commits."""
    commits = _commits(payload)
    total = payload.get("total_commits_count", payload.get("total_commits", len(commits)))
    first = not str(payload.get("before") or "").strip("0")
    if not commits or first or payload.get("forced") or total != len(commits) or len(commits) >= 2048:
        return None
    files = [
        str(file)
        for commit in commits
        for kind in ("added", "modified", "removed")
        for file in (commit.get(kind) if isinstance(commit.get(kind), list) else None) or ()
    ]
    return tuple(dict.fromkeys(files)) or None


def ignored(push: Push, rules: SourceRules, followed: str) -> str:
    """Why a push does not deploy, '' when it does. `followed` is the branch to follow when the rules name none."""
    if push.deleted:
        return f"'{push.ref}' was deleted"
    if not push.branch:
        return f"'{push.ref}' is not a branch"
    if not rules.auto_deploy:
        return "source/auto_deploy is off"
    wanted = rules.branch or followed or push.default_branch
    if wanted and push.branch != wanted and not matches(wanted, push.branch):
        return f"branch '{push.branch}' is not '{wanted}'"
    if push.changed is None:
        return ""
    if rules.paths and not any(any_match(rules.paths, file) for file in push.changed):
        return f"no file that changed is in source/paths: {', '.join(rules.paths)}"
    if rules.ignore_paths and all(any_match(rules.ignore_paths, file) for file in push.changed):
        return f"every file that changed is in source/ignore_paths: {', '.join(rules.ignore_paths)}"
    return ""
