"""Show the projects."""

from typing import Any

from leeward.cli import output
from leeward.cli.flags import Json

_COLUMNS = ("instances", "cores", "memory_gib")


def list_projects(*, as_json: Json = False) -> int:
    """List the projects: what each asks for, and how much it may.

    Of each process its most instances count; `LEEWARD_PROJECT_QUOTA` sets what a project may ask for.
    """
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("projects"))
    if as_json:
        return output.as_json(found)
    rows = [(each["name"], len(each["apps"]), *(_of(each, column) for column in _COLUMNS)) for each in found]
    return output.table(("PROJECT", "APPS", "INSTANCES", "CPU", "MEMORY GIB"), rows, "no projects yet")


def _of(project: dict[str, Any], column: str) -> str:
    """`3 of 10`; `3` where nothing bounds it."""
    most = project.get(f"quota_{column}")
    return f"{project[column]:g}" + (f" of {most:g}" if most is not None else "")
