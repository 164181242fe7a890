"""List what happened."""

from typing import Annotated

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json, Lines


def events(
    app: Annotated[str | None, Parameter(help="Name of the app; else all.")] = None,
    /,
    *,
    lines: Lines = 30,
    as_json: Json = False,
) -> int:
    """List what happened.

    The newest is first.
    """
    from leeward.cli.client import Platform

    with Platform.connect() as platform:
        found = platform.items("/v1/events", lines, app=app)
    if as_json:
        return output.as_json(found)
    return output.table(
        ("TIME", "APP", "KIND", "WHO", "WHAT"),
        [(output.moment(e.get("at")), e.get("app"), e.get("kind"), e.get("actor"), e.get("text")) for e in found],
        f"nothing is known of an app '{app}'" if app else "nothing happened yet",
    )
