"""Runs: what a process with a schedule did, and does now."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from leeward.model.app import Overlap
from leeward.model.runtime import Workload


class RunState(StrEnum):
    """How far a run is. The last three are final."""

    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (RunState.STARTING, RunState.RUNNING)


class Trigger(StrEnum):
    """Why a run began."""

    SCHEDULE = "schedule"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Timed:
    """A process with a schedule, as an engine is given it: `want` is one run."""

    want: Workload
    schedule: str
    timezone: str = "UTC"
    overlap: Overlap = Overlap.FORBID
    timeout_s: int = 3600
    retries: int = 0
    suspended: bool = False
    """Whether the clock starts no runs now; somebody may still ask for one."""


Wanted = Workload | Timed
"""What an engine is given of a process: always, or by the clock."""


@dataclass(frozen=True, slots=True)
class SeenRun:
    """One run as an engine reports it, with all its attempts."""

    id: str
    app: str
    process: str
    release: int
    trigger: Trigger
    scheduled_at: datetime
    state: RunState
    instance: str = ""
    """The instance of its last attempt, which is the source of its lines in the log."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 1
    exit_code: int | None = None
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it is remembered. `id` is unique in its app: the process, and the minute or a word."""

    id: str
    app: str
    process: str
    release: int
    trigger: Trigger
    scheduled_at: datetime
    state: RunState = RunState.STARTING
    instance: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    exit_code: int | None = None
    reason: str = ""
    hint: str = ""
    tail: tuple[str, ...] = ()
    """The last lines that it printed."""
    actor: str = ""
    cancel: str = ""
    """Why it is being ended: 'was cancelled by ann', 'was replaced by the next run'; '' when it is not."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Since when a schedule counts: what was due before is none of its runs."""

    app: str
    process: str
    text: str
    """The schedule and its zone: another text begins to count anew."""
    since: datetime


def run_id(process: str, at: datetime) -> str:
    """The run of a process at a time of its schedule, as clusters name it: by the minute."""
    return f"{process}-{int(at.timestamp()) // 60}"
