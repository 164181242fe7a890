"""Check what a user names as a source, before anything is fetched. Pure."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from leeward.errors import Invalid, Problem
from leeward.model.address import redacted
from leeward.model.release import SourceKind, SourceRef

# https://…, ssh://…, git://…, file://…, /a/path, or git@host:path as scp writes it.
GIT_URL = re.compile(r"((https?|ssh|git|file)://\S+|/\S+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:\S+)")
GIT_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]{0,254}")
IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]{0,254}(@sha256:[0-9a-f]{64})?")
UPLOAD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def checked(source: SourceRef) -> SourceRef:
    """The source with a tidy path. Raises Invalid that names every wrong field."""
    problems = [problem for problem in (_place(source), _ref(source), _path(source.path)) if problem]
    if problems:
        raise Invalid(problems)
    return replace(source, path=str(PurePosixPath(source.path or ".")))


def _place(source: SourceRef) -> Problem | None:
    match source.kind:
        case SourceKind.GIT if len(source.url) > 2048 or not GIT_URL.fullmatch(source.url):
            return Problem(
                "git/url", f"'{redacted(source.url)[:200]}' is not a Git URL", "write it like 'https://host/me/app.git'"
            )
        case SourceKind.UPLOAD if not UPLOAD.fullmatch(source.upload):
            return Problem(
                "upload", f"'{source.upload[:200]}' is not an upload", "send the archive to /v1/uploads first"
            )
        case SourceKind.IMAGE if not IMAGE.fullmatch(source.image):
            return Problem("image", f"'{source.image[:200]}' is not an image", "write it like 'host/name:tag'")
        case SourceKind.NONE:
            return Problem("source", "names no source", "give one of 'git', 'upload' or 'image'")
    return None


def _ref(source: SourceRef) -> Problem | None:
    if source.ref and (not GIT_REF.fullmatch(source.ref) or ".." in source.ref):
        return Problem("git/ref", f"'{source.ref[:200]}' is not a branch, tag or commit")
    if source.commit and not COMMIT.fullmatch(source.commit):
        return Problem("git/commit", f"'{source.commit[:200]}' is not a commit: use all of its 40 hex digits")
    return None


def _path(path: str) -> Problem | None:
    parts = PurePosixPath(path or ".").parts
    if path.startswith("/") or ".." in parts or "\0" in path or len(path) > 512:
        return Problem("path", f"'{path[:200]}' leaves the source", "name a folder inside it, like 'backend'")
    return None
