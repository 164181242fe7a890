"""List, add and remove the domains of an app."""

from typing import Annotated

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Json

Host = Annotated[str, Parameter(help="Like 'api.example.com' or '*.example.com'.")]


def list_domains(app: App, /, *, as_json: Json = False) -> int:
    """List the domains of an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("apps", app, "domains"))
    if as_json:
        return output.as_json(found)
    return output.table(
        ("DOMAIN", "URL", "FROM"), [(d["host"], d.get("url"), d.get("origin")) for d in found], "no domains"
    )


def add(app: App, host: Host, /, *, as_json: Json = False) -> int:
    """Add a domain to an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        made = platform.post(path("apps", app, "domains"), {"host": host})
    if as_json:
        return output.as_json(made)
    output.answer(f"{host} now leads to {app}, once its DNS record points here")
    return 0


def remove(app: App, host: Host, /, *, as_json: Json = False) -> int:
    """Remove a domain from an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        platform.delete(path("apps", app, "domains", host))
    if as_json:
        return output.as_json({"app": app, "host": host, "removed": True})
    output.answer(f"{host} no longer leads to {app}")
    return 0
