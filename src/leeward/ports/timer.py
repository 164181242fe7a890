"""What Leeward needs from an engine to run processes with a schedule."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from leeward.model.run import Run, SeenRun, Timed


@runtime_checkable
class Timer(Protocol):
    """An engine that runs what has a schedule. Every method may be called again at any time."""

    async def schedule(self, app: str, wants: Sequence[Timed]) -> bool:
        """Keep these schedules of an app, and no others of it.

        Whether what is due begins by itself then; else the caller begins it.
        """
        ...

    async def begin(self, want: Timed, run: Run) -> None:
        """Have this run: it begins once, however often that is asked for, and is carried to its end, with its retries
        and within its time. Never waits for that. Raises RolloutFailed when it can never begin.
        """
        ...

    async def runs(self, app: str) -> Sequence[SeenRun]:
        """Every run that goes on or has ended, whoever began it, until it is forgotten."""
        ...

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What an ended run printed last; all that it printed is in the log then."""
        ...

    async def end(self, app: str, run: str) -> None:
        """Begin to end a run before its time; nothing is done when it is not there."""
        ...

    async def forget(self, app: str, run: str) -> None:
        """Take away what is left of a run that has ended."""
        ...
