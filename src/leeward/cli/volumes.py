"""List, show and delete the volumes of apps."""

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Json, Yes
from leeward.errors import Invalid, NotFound

Volume = Annotated[str, Parameter(help="Process and name of the volume, as web/data.")]
Region = Annotated[str | None, Parameter(help="Where it is, when it is in several regions.")]
Project = Annotated[str | None, Parameter(help="Whose it is, when apps of several projects had the name.")]
_MIB = 1024 * 1024


def list_volumes(
    app: Annotated[str | None, Parameter(help="Name of the app; all apps without it.")] = None,
    /,
    *,
    as_json: Json = False,
) -> int:
    """List the volumes of an app or of all, also of apps that are gone."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("apps", app, "volumes") if app else path("volumes"))
    if as_json:
        return output.as_json(found)
    return output.table(
        ("APP", "VOLUME", "SIZE", "USED", "STATE", "PROJECT", "REGION", "PATH", "PROBLEM"),
        [
            (
                one["app"],
                f"{one['process']}/{one['name']}",
                one["size"],
                used(one),
                one["state"],
                one["project"],
                one["region"],
                one["path"],
                one.get("problem"),
            )
            for one in found
        ],
        "no volumes; give a process `volumes` in leeward.yaml",
    )


def show(app: App, volume: Volume, /, *, region: Region = None, project: Project = None, as_json: Json = False) -> int:
    """Show one volume of an app."""
    from leeward.cli.client import Platform, path

    process, name = _parts(volume)
    with Platform.connect() as platform:
        there = platform.items(path("apps", app, "volumes"), project=project)
    found = [one for one in there if (one["process"], one["name"]) == (process, name)]
    found = [one for one in found if region in (None, one["region"])]
    if not found:
        known = ", ".join(f"'{one['process']}/{one['name']}'" for one in there)
        raise NotFound(
            f"app '{app}' has no volume '{volume}'", hint=f"it has {known}" if known else "see `lee volumes list`"
        )
    if as_json:
        return output.as_json(found[0])
    one = found[0]
    output.pairs(
        [
            ("volume", f"{one['process']}/{one['name']}"),
            ("app", one["app"]),
            ("state", one["state"]),
            ("why", one.get("problem")),
            ("hint", one.get("hint")),
            ("path", one["path"]),
            ("size", one["size"] + ("" if one["enforced"] else " (measured, nothing stops a write that goes over it)")),
            ("used", used(one)),
            ("region", one["region"]),
            ("project", one["project"]),
            ("used by", " ".join(one["used_by"])),
        ]
    )
    return 0


def delete(
    app: App,
    volume: Volume,
    /,
    *,
    region: Region = None,
    project: Project = None,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Delete a volume that nothing uses, with all that is in it.

    Asks for its name again where somebody sits at the terminal.
    """
    from leeward.cli.client import Platform, path

    process, name = _parts(volume)
    if not yes and sys.stdin.isatty():
        print(f"This deletes '{volume}' of '{app}' with its data. Its name again: ", end="", file=sys.stderr)
        sys.stderr.flush()
        if sys.stdin.readline().strip() != volume:
            raise Invalid(f"'{volume}' was not confirmed, nothing is deleted", hint="type its name, or use --yes")
    with Platform.connect() as platform:
        platform.delete(path("apps", app, "volumes", process, name), region=region, project=project)
    if as_json:
        return output.as_json({"app": app, "volume": volume, "deleted": True})
    output.answer(f"volume '{volume}' of '{app}' is deleted")
    return 0


def kept(volumes: list[Any]) -> str:
    """What is said of the volumes of an app that is gone."""
    names = ", ".join(f"{one['process']}/{one['name']} ({one['size']})" for one in volumes)
    first = volumes[0]
    return (
        f"Its volumes are kept: {names}. "
        f"`lee volumes delete {first['app']} {first['process']}/{first['name']}` removes one with its data."
    )


def used(one: Any) -> str:
    """`12 MiB (1.2 %)`."""
    if one.get("used_bytes") is None:
        return "unknown"
    return f"{one['used_bytes'] / _MIB:.0f} MiB ({one.get('used_percent') or 0:g} %)"


def _parts(volume: str) -> tuple[str, str]:
    process, slash, name = volume.partition("/")
    if not (process and slash and name):
        raise Invalid(
            f"'{volume}' is not a volume: write its process and its name, as 'web/data'", hint="see `lee volumes list`"
        )
    return process, name
