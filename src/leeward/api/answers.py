"""What callers get, where a service's own value is not it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

from leeward.model.access import Scope, Token
from leeward.model.event import Event
from leeward.model.runtime import LogLine
from leeward.model.secret import Env
from leeward.ports import Page
from leeward.services.views import DeployView

T = TypeVar("T")
S = TypeVar("S")


class Listing(BaseModel, Generic[T]):
    """A part of a list; `next` is the value of `after` for the following part, '' at the end."""

    items: tuple[T, ...]
    next: str = ""


def listing(page: Page[S], show: Callable[[S], T]) -> Listing[T]:
    """A page with each item as it is shown."""
    return Listing(items=[show(item) for item in page.items], next=page.next)


class WhoAmI(BaseModel):
    """Who asks, and what they may do."""

    name: str
    scope: Scope
    token: str


class SessionView(BaseModel):
    """A session; its cookie was set."""

    name: str
    expires_at: datetime


class TokenView(BaseModel):
    """A token, by its first characters."""

    id: str
    name: str
    prefix: str
    scope: Scope
    user: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, token: Token) -> "TokenView":
        """A token without its digest."""
        return cls(**{name: getattr(token, name) for name in cls.model_fields})


class NewTokenView(TokenView):
    """A token and its text, this once."""

    token: str


class VariableView(BaseModel):
    """A variable; secret values are stars."""

    key: str
    value: str
    secret: bool


class EnvView(BaseModel):
    """The variables of an app, by key."""

    env: list[VariableView]


class EnvChanged(EnvView):
    """The variables after a change, and the deploy that brings them to the instances."""

    deploy: DeployView | None


def variables(env: Env) -> list[VariableView]:
    """Variables as they are shown."""
    return [VariableView(key=one.key, value=one.shown, secret=one.secret) for one in env]


class LineView(BaseModel):
    """A line that a process or build printed; `at` is Unix seconds."""

    at: float
    source: str
    stream: str
    text: str
    process: str

    @classmethod
    def of(cls, line: LogLine) -> "LineView":
        """A line as it is shown."""
        return cls(at=line.at, source=line.source, stream=line.stream, text=line.text, process=line.process)


class EventView(BaseModel):
    """One thing that happened."""

    id: int
    at: datetime | None
    kind: str
    app: str
    actor: str
    text: str
    data: Mapping[str, str]

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """An event as it is shown."""
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class UsageView(BaseModel):
    """What one instance uses now."""

    instance: str
    process: str
    cpu_s: float
    memory_bytes: int
    limit_millicpu: int
    limit_memory_bytes: int
    throttled_s: float


class MetricsView(BaseModel):
    """Series by name (`process/instance/metric`) as pairs of Unix seconds and value, and what is used now."""

    series: Mapping[str, Sequence[tuple[float, float]]]
    usage: list[UsageView]


class ExecView(BaseModel):
    """How a command ended, and what it printed (both streams)."""

    exit_code: int
    output: str


class UploadView(BaseModel):
    """An archive that was received; `upload` names it in a deploy."""

    upload: str
    digest: str


class HookAnswer(BaseModel):
    """The deploy that a hook queued, or why it queued none."""

    deploy: str | None
    ignored: str
