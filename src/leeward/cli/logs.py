"""Show what an app or a build printed."""

import json
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Json, Lines
from leeward.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from leeward.cli.client import Platform

_REMEMBERED = 5000
# After a dropped stream this many of the last lines are looked through for what was missed.
_CATCH_UP = 500
_MOST = 5000  # As the API has it.
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


def logs(
    app: App,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative=(), show_default=False, help="Go on as lines come.")
    ] = False,
    build: Annotated[str | None, Parameter(help="What the build of 'v3' (or of the deploy with this id) said.")] = None,
    search: Annotated[str | None, Parameter(help="Only lines that hold this text.")] = None,
    process: Annotated[str | None, Parameter(help="Only lines of this process.")] = None,
    lines: Lines = 100,
    as_json: Json = False,
) -> int:
    """Show what an app or a build printed.

    With --follow and --json each line is an object of its own.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        source = _build_source(platform, app, build) if build else None
        where = path("apps", app, "logs")
        wanted = {"search": search, "process": process, "source": source}
        if follow:
            return Tail(platform, where, wanted, as_json, bare=bool(build)).run(lines)
        found = tail(platform, where, lines, wanted)
    if not found and not as_json and lines > 0:
        output.say(f"no lines of '{app}'" + (" that match" if search or process else " yet"))
    if as_json:
        return output.as_json(found)
    for line in found:
        output.answer(text_of(line, bare=bool(build)))
    return 0


def tail(platform: "Platform", where: str, lines: int, wanted: Mapping[str, str | None]) -> list[Any]:
    """The last lines, oldest first; as many as the API gives at once."""
    found: list[Any] = platform.get(where, limit=min(max(lines, 1), _MOST), **wanted)["items"] if lines > 0 else []
    return found


def text_of(line: Any, bare: bool = False) -> str:
    """One line as it is shown; `bare` leaves out who said it and when."""
    if bare:
        return str(line.get("text", ""))
    instance = output.short(line.get("source"))
    who = "/".join(part for part in (str(line.get("process") or ""), instance) if part)
    return f"{output.moment(line.get('at'))} {who}  {line.get('text', '')}"


class Tail:
    """Prints lines as they come, each one once, over any number of streams."""

    def __init__(
        self, platform: "Platform", where: str, wanted: dict[str, str | None], as_json: bool, bare: bool
    ) -> None:
        self._platform = platform
        self._where = where
        self._wanted = wanted
        self._as_json = as_json
        self._bare = bare
        self._order: deque[tuple[Any, Any, Any]] = deque(maxlen=_REMEMBERED)
        self._known: set[tuple[Any, Any, Any]] = set()

    def run(self, lines: int) -> int:
        """Until Ctrl-C, which is the ordinary end. Raises LeewardError where asking again is of no use."""
        pause = _PAUSE_S
        try:
            while True:
                before = len(self._order)
                try:
                    self._stream(lines)
                except Unavailable:
                    if not self._platform.reached:
                        raise
                    if pause == _PAUSE_S:
                        output.say("The platform does not answer; connecting again.")
                pause = _PAUSE_S if len(self._order) > before else min(pause * 2, _LONGEST_PAUSE_S)
                lines = _CATCH_UP
                time.sleep(pause)
        except KeyboardInterrupt:
            return 0

    def _stream(self, lines: int) -> None:
        """Listen first and look back second, so that nothing falls between."""
        names = {name: value for name, value in self._wanted.items() if name != "search"}
        with self._platform.stream(f"{self._where}/stream", params=names) as events:
            self._print(tail(self._platform, self._where, lines, self._wanted))
            for event in events:
                if isinstance(event.data, dict) and "text" in event.data:
                    self._print([event.data])

    def _print(self, lines: Iterable[Any]) -> None:
        search = (self._wanted.get("search") or "").lower()
        for line in lines:
            key = (line.get("at"), line.get("source"), line.get("text"))
            if key in self._known or search not in str(line.get("text", "")).lower():
                continue
            if len(self._order) == _REMEMBERED:
                self._known.discard(self._order[0])
            self._order.append(key)
            self._known.add(key)
            print(json.dumps(line, ensure_ascii=False) if self._as_json else output.safe(text_of(line, self._bare)))
        output.flush()


def _build_source(platform: "Platform", app: str, build: str) -> str:
    """The log source of the build of a release, or of a deploy."""
    from leeward.cli.client import path

    if not build.removeprefix("v").isdigit() or len(build) > 9:
        if platform.get(path("deploys", build))["app"] != app:
            raise NotFound(f"'{build}' is not a deploy of '{app}'", hint=f"`lee releases {app} --json` lists them")
        return f"build/{build}"
    wanted = f"v{build.removeprefix('v')}"
    for release in platform.items(path("apps", app, "releases")):
        if output.version(release.get("release") or release.get("number")) == wanted and release.get("deploy"):
            return f"build/{release['deploy']}"
    raise NotFound(f"'{app}' has no release '{wanted}'", hint=f"`lee releases {app}` lists them")
