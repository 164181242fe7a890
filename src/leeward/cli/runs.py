"""See the runs of processes with a schedule, ask for one now, end one."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Detach, Json, Lines
from leeward.errors import Unavailable

if TYPE_CHECKING:
    from leeward.cli.client import Platform

_FINAL = ("succeeded", "failed", "cancelled")
_PAUSE_S, _LONGEST_PAUSE_S, _PATIENCE_S = 0.25, 2.0, 180.0
_LINES = 5000


def runs(
    app: App,
    /,
    *,
    process: Annotated[str | None, Parameter(help="Only runs of this process.")] = None,
    cancel: Annotated[str | None, Parameter(help="End the run with this id before its time.")] = None,
    lines: Lines = 20,
    as_json: Json = False,
) -> int:
    """List the runs of processes with a schedule, newest first, or end one."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        if cancel:
            ended = platform.post(path("apps", app, "runs", cancel, "cancel"))
            if as_json:
                return output.as_json(ended)
            output.answer(f"run '{ended['id']}' is {'being ended' if ended['state'] not in _FINAL else ended['state']}")
            return 0
        found = platform.items(path("apps", app, "runs"), limit=lines, **({"process": process} if process else {}))
    if as_json:
        return output.as_json(found)
    return output.table(
        ("RUN", "STATE", "DUE", "TOOK", "RELEASE", "WHY"),
        [
            (
                run["id"],
                run.get("state"),
                output.moment(run.get("scheduled_at")),
                output.seconds(run["duration_s"]) if run.get("duration_s") is not None else "",
                output.version(run.get("release")),
                run.get("reason"),
            )
            for run in found
        ],
        f"nothing of '{app}' has run by a schedule yet",
    )


def run(
    app: App,
    process: Annotated[str, Parameter(help="Name of a process with a schedule.")],
    /,
    *,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Run a process with a schedule now, and show what it prints.

    Ctrl-C ends the showing, not the run. Exit code 1 when the run fails.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        asked = platform.post(path("apps", app, "processes", process, "runs"))
        if detach:
            if as_json:
                return output.as_json(asked)
            output.answer(asked["id"])
            output.say(f"it runs; `lee runs {app}` shows how it goes")
            return 0
        try:
            ended = _Watcher(platform, app, asked, quiet=as_json).run()
        except KeyboardInterrupt:
            output.say(f"Run '{asked['id']}' goes on. `lee runs {app} --cancel {asked['id']}` ends it.")
            raise
    if as_json:
        output.as_json(ended)
    else:
        _tell(ended)
    return 0 if ended["state"] == "succeeded" else 1


def _tell(ended: Mapping[str, Any]) -> None:
    took = f" ({output.seconds(ended['duration_s'])})" if ended.get("duration_s") is not None else ""
    if ended["state"] == "succeeded":
        output.say(f"run '{ended['id']}' has succeeded{took}")
        return
    output.say(f"Error: run '{ended['id']}' {ended.get('reason') or ended['state']}{took}")
    if ended.get("hint"):
        output.say(f"  hint: {ended['hint']}")


class _Watcher:
    """Asks how a run is until it has ended; a platform that is away for a while is waited for."""

    def __init__(self, platform: "Platform", app: str, asked: Mapping[str, Any], *, quiet: bool) -> None:
        from leeward.cli.client import path

        self._platform = platform
        self._run = path("apps", app, "runs", asked["id"])
        self._logs = path("apps", app, "logs")
        self._quiet = quiet
        self._shown: set[tuple[Any, Any]] = set()

    def run(self) -> Any:
        """The run, once it has ended. Raises Unavailable when nobody answers for minutes."""
        pause, away_since = _PAUSE_S, 0.0
        while True:
            try:
                seen = self._platform.get(self._run)
                if seen.get("instance") and not self._quiet:
                    self._print(seen["instance"])
                away_since = 0.0
            except Unavailable:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _PATIENCE_S:
                    raise
                seen = {}
            if seen.get("state") in _FINAL:
                return seen
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE_S)

    def _print(self, instance: str) -> None:
        for line in self._platform.get(self._logs, source=instance, limit=_LINES)["items"]:
            key = (line.get("at"), line.get("text"))
            if key not in self._shown:
                self._shown.add(key)
                output.answer(str(line.get("text", "")))
