"""Releases and deploys: what is live, and the wish to make something live."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from leeward.model.app import AppSpec
from leeward.model.secret import Env


@dataclass(frozen=True, slots=True)
class Release:
    """An immutable state of an app: image by digest, spec and environment. Never changed once stored."""

    app: str
    number: int
    image: str
    """`registry/app@sha256:…`"""
    spec: AppSpec
    env: Env
    commands: Mapping[str, str | None]
    """Process type to start command; None is the image's own."""
    read_only: bool = True
    """Whether the root file system can be mounted read-only (images that our planner made)."""
    commit: str | None = None
    message: str = ""
    created_at: datetime | None = None
    deploy: str = ""

    @property
    def version(self) -> str:
        """`v42`."""
        return f"v{self.number}"


class SourceKind(StrEnum):
    """Where the bytes come from."""

    GIT = "git"
    UPLOAD = "upload"
    PUSH = "push"
    IMAGE = "image"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SourceRef:
    """What to fetch: `url` and `ref` for git; `upload` is the id of an uploaded archive; `image` a reference.

    `PUSH` is a commit in the platform's own bare repository of the app. `NONE` re-uses the image of `release`.
    """

    kind: SourceKind
    # It may have a password in it.
    url: str = field(default="", repr=False)
    ref: str = ""
    commit: str = ""
    upload: str = ""
    image: str = ""
    release: int = 0
    path: str = "."


class DeployKind(StrEnum):
    """Why a deploy was asked for."""

    CODE = "code"
    ENV = "env"
    SCALE = "scale"
    RESTART = "restart"
    ROLLBACK = "rollback"
    REBASE = "rebase"


class DeployStatus(StrEnum):
    """How far a deploy is. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    LIVE = "live"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (DeployStatus.QUEUED, DeployStatus.RUNNING)


class Phase(StrEnum):
    """The named steps of a deploy, in order. Names are stored, never positions."""

    FETCH = "fetch"
    PLAN = "plan"
    BUILD = "build"
    PUSH = "push"
    ROLLOUT = "rollout"
    JOBS = "jobs"
    """Only where jobs run after success; the release is live by then."""


PHASES: tuple[Phase, ...] = tuple(Phase)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a deploy's timeline."""

    phase: Phase
    started_at: datetime
    ended_at: datetime | None = None
    detail: str = ""

    @property
    def duration_s(self) -> float | None:
        """Seconds, or None while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the edge counted while traffic moved to a release."""

    requests: int = 0
    failed: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    sockets_kept: int = 0
    sockets_dropped: int = 0

    def as_dict(self) -> dict[str, int | float]:
        """The `receipt` object of a deploy's answer."""
        return {
            "requests": self.requests,
            "failed": self.failed,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "sockets_kept": self.sockets_kept,
            "sockets_dropped": self.sockets_dropped,
        }


@dataclass(frozen=True, slots=True)
class Deploy:
    """The wish to make a release live, and its progress."""

    id: str
    app: str
    kind: DeployKind
    source: SourceRef
    status: DeployStatus = DeployStatus.QUEUED
    phase: Phase = Phase.FETCH
    release: int | None = None
    """The release that it made, once there is one."""
    commit: str = ""
    message: str = ""
    actor: str = ""
    cancel: bool = False
    error: Mapping[str, str] | None = None
    """`{"step", "code", "message", "hint"}` of a failed deploy."""
    receipt: Receipt | None = None
    steps: tuple[Step, ...] = ()
    carry: Mapping[str, str] = field(default_factory=dict)
    """What finished phases hand to later ones (source tree, image id, digest …): text, small, repeatable."""
    created_at: datetime | None = None
    ended_at: datetime | None = None

    def timings_s(self) -> dict[str, float]:
        """Seconds by step, and `total` from the wish to its end."""
        spent = {step.phase.value: round(step.duration_s or 0.0, 3) for step in self.steps}
        if self.created_at and self.ended_at:
            spent["total"] = round((self.ended_at - self.created_at).total_seconds(), 3)
        return spent
