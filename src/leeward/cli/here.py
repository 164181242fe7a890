"""Say what `lee` needs of the daemon where there is no API yet: this machine and its plans."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from leeward.model.build import BuildPlan
from leeward.settings import Settings


class UpAnswer(Protocol):
    """Where the platform is once it is up."""

    @property
    def url(self) -> str: ...

    @property
    def dashboard(self) -> str: ...

    @property
    def token_file(self) -> Path: ...


class Finding(Protocol):
    """One thing that was looked at on this machine."""

    @property
    def name(self) -> str: ...

    @property
    def ok(self) -> bool: ...

    @property
    def text(self) -> str: ...

    @property
    def hint(self) -> str: ...


class Daemon(Protocol):
    """The part of `leeward.daemon` that commands call."""

    def machine_up(self, settings: Settings, say: Callable[[str], None]) -> UpAnswer: ...

    def machine_down(self, settings: Settings, purge: bool, say: Callable[[str], None]) -> None: ...

    def machine_doctor(self, settings: Settings) -> Sequence[Finding]: ...

    def plan_here(self, path: Path, app: str | None, env: Mapping[str, str]) -> BuildPlan: ...

    def serve(self, settings: Settings) -> None: ...


def daemon() -> Daemon:
    """The daemon itself; it imports every adapter, so call this inside a command only."""
    from leeward import daemon as module

    return cast(Daemon, module)
