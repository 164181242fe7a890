"""List, add and remove the logins at foreign registries."""

import sys
from typing import Annotated

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json
from leeward.errors import Invalid

Host = Annotated[str, Parameter(help="Host of the registry, as ghcr.io or registry.example.com:5000.")]


def list_registries(*, as_json: Json = False) -> int:
    """List the registries that the platform signs in to."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("registries"))
    if as_json:
        return output.as_json(found)
    return output.table(("HOST", "USERNAME"), [(one["host"], one["username"]) for one in found], "no registries")


def add(
    host: Host,
    /,
    *,
    username: Annotated[str, Parameter(help="Who signs in.")],
    as_json: Json = False,
) -> int:
    """Add a login at a registry, or change it.

    The password or token is read from standard input, or asked for, so
    that it is not among the arguments.
    """
    from leeward.cli.client import Platform, path

    body = {"host": host, "username": username, "password": _password(host)}
    with Platform.connect() as platform:
        made = platform.post(path("registries"), body)
    if as_json:
        return output.as_json(made)
    output.answer(f"images of {made['host']} are pulled as {username}")
    return 0


def remove(host: Host, /, *, as_json: Json = False) -> int:
    """Forget a login at a registry."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        platform.delete(path("registries", host))
    if as_json:
        return output.as_json({"host": host, "removed": True})
    output.answer(f"the login at {host} is forgotten")
    return 0


def _password(host: str) -> str:
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"Password or token for {host}: ")
    text = sys.stdin.read().removesuffix("\n")
    if not text:
        raise Invalid(
            "standard input has no password", hint="write it like `lee registries add … < FILE`", code="usage"
        )
    return text
