"""Keep what processes and builds print, and hand it on to those who follow."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakSet

from leeward.errors import Invalid, Unavailable
from leeward.model.runtime import LogLine
from leeward.store.logfiles import BUILD, RUN, LogFiles
from leeward.store.loglines import Wanted, encode, is_build, one_line_each
from leeward.store.notices import Inbox

P = ParamSpec("P")
T = TypeVar("T")

# Lines that wait for a slow follower.
WAITING = 10_000
MOST = 10_000


class _Follower(Inbox[LogLine]):
    def __init__(self, wanted: Wanted) -> None:
        super().__init__(most=WAITING)
        self.wanted = wanted


class FileLogStore:
    """Lines by app, below one folder. Files are touched in threads, never in the event loop."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._files = LogFiles(folder, budget_bytes)
        self._followers: dict[str, WeakSet[_Follower]] = {}

    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        """Keep lines; a crash right after loses none. A line is cut at 16 KiB, and divided at line feeds."""
        _check(app)
        if lines:
            kept = await _thread(self._append, app, lines)
            self._hand_on(app, kept)

    async def tail(
        self, app: str, limit: int = 100, source: str = "", process: str = "", search: str = "", before: float = 0.0
    ) -> Sequence[LogLine]:
        """The last lines, oldest first; `source` is an instance or a build (`build/<deploy id>`); without a source
        the builds' lines are left out. `search` is a part of the text, in any case of letters."""
        _check(app)
        wanted = Wanted(source, process, search, before)
        return await _thread(self._files.read, app, wanted, max(1, min(limit, MOST)))

    def follow(self, app: str, source: str = "", process: str = "") -> Inbox[LogLine]:
        """Lines from now on, as they come. Endless; a slow reader loses the oldest."""
        follower = _Follower(Wanted(source, process))
        self._followers.setdefault(app, WeakSet()).add(follower)
        return follower

    async def last_at(self, app: str, source: str) -> float:
        """Unix seconds of the newest line of a source, 0.0 when there is none."""
        _check(app)
        return await _thread(self._files.last_at, app, source)

    async def forget(self, app: str) -> None:
        """Delete all lines of an app; repeatable."""
        _check(app)
        await _thread(self._files.forget, app)

    async def sweep(self, budget_bytes: int) -> int:
        """Delete the oldest blocks until each app is within the budget; bytes that were freed."""
        for app in [app for app, followers in self._followers.items() if not followers]:
            del self._followers[app]
        return await _thread(self._files.sweep, budget_bytes)

    async def close(self) -> None:
        """Close the files."""
        await _thread(self._files.close)

    def _append(self, app: str, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        kept = one_line_each(lines)
        for stream, builds in ((RUN, False), (BUILD, True)):
            mine = [line for line in kept if is_build(line.source) is builds]
            if mine:
                last: dict[str, float] = {}
                for line in mine:
                    last[line.source] = max(line.at, last.get(line.source, 0.0))
                self._files.append(app, stream, encode(mine), last)
        return kept

    def _hand_on(self, app: str, lines: Sequence[LogLine]) -> None:
        for follower in tuple(self._followers.get(app, ())):
            for line in lines:
                if follower.wanted.takes(line) and (follower.wanted.source or not is_build(line.source)):
                    follower.put(line)


async def _thread(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run in a thread, and say what went wrong in our words."""
    try:
        return await asyncio.to_thread(work, *args, **named)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(
            f"the logs could not be kept or read: {str(error).lower()}",
            hint="look at the free disk space, and at the owner of the folder 'logs'",
        ) from error


def _check(app: str) -> None:
    """An app's name becomes a folder's."""
    if not app or "/" in app or "\0" in app or app.startswith("."):
        raise Invalid(f"'{app}' is not the name of an app")
