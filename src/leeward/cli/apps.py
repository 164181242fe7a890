"""List, show, create and delete apps."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Detach, Json, Yes
from leeward.errors import Invalid, NotFound

_PAUSE_S, _DELETE_S = 0.5, 300.0


def list_apps(*, as_json: Json = False) -> int:
    """List the apps."""
    from leeward.cli.client import Platform

    with Platform.connect() as platform:
        apps = platform.items("/v1/apps")
    if as_json:
        return output.as_json(apps)
    return output.table(
        ("APP", "STATUS", "RELEASE", "READY", "URL"),
        [(a["name"], a.get("status"), output.version(a.get("release")), _ready(a), a.get("url")) for a in apps],
        "no apps yet; `lee deploy` makes one",
    )


def show(app: App, /, *, as_json: Json = False) -> int:
    """Show an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.get(path("apps", app))
    if as_json:
        return output.as_json(found)
    output.pairs(
        [
            ("app", found["name"]),
            ("status", found.get("status")),
            ("why", found.get("reason")),
            ("hint", found.get("hint")),
            ("release", output.version(found.get("release"))),
            ("url", found.get("url")),
            ("also", " ".join(url for url in found.get("urls") or () if url != found.get("url"))),
            ("image", found.get("image")),
            ("commit", found.get("commit")),
            ("created", output.moment(found.get("created_at"))),
            ("deploy", _deploy(found.get("deploy"))),
        ]
    )
    output.answer("")
    processes = found.get("processes") or ()
    timed = [p for p in processes if p.get("schedule")]
    output.table(
        ("PROCESS", "SIZE", "READY", "WANTED", "COMMAND"),
        [(p["name"], p.get("size"), p.get("ready"), wanted(p), p.get("command")) for p in processes if p not in timed],
        "" if timed else "no processes yet",
    )
    if timed:
        output.answer("")
        schedules(timed)
    return 0


def schedules(processes: Sequence[Any]) -> None:
    """Show when processes with a schedule ran, and when they run next."""
    output.table(
        ("PROCESS", "SCHEDULE", "LAST RUN", "STATE", "NEXT RUN"),
        [
            (
                p["name"],
                p["schedule"] if p.get("timezone") == "UTC" else f"{p['schedule']} {p.get('timezone')}",
                output.moment((p.get("last_run") or {}).get("scheduled_at")) or "never",
                (p.get("last_run") or {}).get("state"),
                "suspended" if p.get("suspended") else output.moment(p.get("next_run_at")),
            )
            for p in processes
        ],
    )


def create(
    app: App,
    /,
    *,
    manifest: Annotated[Path | None, Parameter(help="A leeward.yaml whose wishes the app begins with.")] = None,
    project: Annotated[
        str, Parameter(help="Only apps of one project reach each other by name; it stays for good.")
    ] = "default",
    as_json: Json = False,
) -> int:
    """Create an app.

    `lee deploy` creates it too, in the project 'default'; this is for setting variables before.
    """
    body: dict[str, Any] = {"name": app, "project": project}
    if manifest is not None:
        from leeward.cli.deploy import written

        if not manifest.is_file():
            raise Invalid(f"'{manifest}' is not a file", hint="name a leeward.yaml")
        spec = written(manifest, app)
        body["spec"] = spec.model_dump(mode="json", exclude_unset=True, exclude={"name"})
    from leeward.cli.client import Platform

    with Platform.connect() as platform:
        made = platform.post("/v1/apps", body)
    if as_json:
        return output.as_json(made)
    output.answer(f"{made['name']} is created; `lee deploy --app {made['name']}` makes it live at {made.get('url')}")
    return 0


def delete(
    app: App,
    /,
    *,
    volumes: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Delete its volumes too, with their data.")
    ] = False,
    yes: Yes = False,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Delete an app with everything that belongs to it but its volumes.

    Asks for the name again where somebody sits at the terminal.
    """
    if volumes and detach:
        raise Invalid(
            "--volumes waits until nothing uses them: it cannot be with --detach", hint="leave one out", code="usage"
        )
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        # Another project may have had an app of this name, whose volumes are kept.
        project = str(platform.get(path("apps", app)).get("project") or "")
        if not yes and sys.stdin.isatty():
            _confirm(app, volumes=volumes)
        platform.delete(path("apps", app))
        gone = detach or _gone(platform, path("apps", app))
        kept = _volumes(platform, app, project)
        if volumes and gone:
            for one in kept:
                where = path("apps", app, "volumes", one["process"], one["name"])
                platform.delete(where, region=one["region"], project=one["project"])
            kept = []
    if as_json:
        names = [f"{one['process']}/{one['name']}" for one in kept]
        output.as_json({"app": app, "deleted": gone and not detach, **({"volumes_kept": names} if names else {})})
    else:
        output.answer(f"{app} is {'being ' if detach or not gone else ''}deleted")
        if kept:
            from leeward.cli.volumes import kept as said

            output.say(said(kept))
    return 0 if gone else 1


def wanted(process: Any) -> str:
    """`2`, or `1-4 at 80 % CPU`."""
    low, high = process.get("min"), process.get("max")
    return str(low) if low == high else f"{low}-{high} at {process.get('cpu_percent')} % CPU"


def _confirm(app: str, *, volumes: bool) -> None:
    what = "releases, variables, logs and the data in its volumes" if volumes else "releases, variables and logs"
    print(f"This deletes '{app}' with its {what}. Its name again: ", end="", file=sys.stderr)
    sys.stderr.flush()
    if sys.stdin.readline().strip() != app:
        raise Invalid(f"'{app}' was not confirmed, nothing is deleted", hint="type its name, or use --yes")


def _volumes(platform: Any, app: str, project: str) -> list[Any]:
    """The volumes of an app of this project, also when it is gone; none on a platform that knows of no volumes."""
    from leeward.cli.client import path

    try:
        found = platform.items(path("apps", app, "volumes"), project=project)
    except NotFound:
        return []
    # A platform that is older than this command answers for all projects.
    return [one for one in found if one["project"] == project]


def _gone(platform: Any, where: str) -> bool:
    """Wait until nothing is left of the app."""
    from leeward.cli.follow import patiently

    until = time.monotonic() + _DELETE_S
    while time.monotonic() < until:
        try:
            patiently(platform, lambda: platform.get(where))
        except NotFound:
            return True
        time.sleep(_PAUSE_S)
    output.say("It still shuts down; the platform goes on with it.")
    return False


def _ready(app: Any) -> str:
    return f"{app.get('ready', 0)}/{app.get('instances', 0)}"


def _deploy(deploy: Any) -> str:
    if not deploy:
        return ""
    error = (deploy.get("error") or {}).get("message", "")
    return f"{deploy['id']} {deploy['status']} {error}".strip()
