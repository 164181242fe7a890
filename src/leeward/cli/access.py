"""Sign in, and hand out tokens."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json
from leeward.errors import Invalid


def login(
    url: Annotated[str, Parameter(help="Like 'https://console.example.com'.")],
    /,
    *,
    token: Annotated[str | None, Parameter(help="API token; '-' reads it from standard input.")] = None,
    ca: Annotated[Path | None, Parameter(help="File of the CA that the platform's certificate comes from.")] = None,
    as_json: Json = False,
) -> int:
    """Sign in to a platform.

    The token is looked at and then kept in ~/.config/leeward/cli.toml. It is
    asked for when it is neither given nor in LEEWARD_TOKEN.
    """
    from leeward.cli import config
    from leeward.cli.client import Platform

    text = _typed() if token == "-" else token or os.environ.get("LEEWARD_TOKEN") or _typed()
    named = ca or (Path(os.environ["LEEWARD_CA"]) if os.environ.get("LEEWARD_CA") else None)
    if named is not None and not named.is_file():
        raise Invalid(f"the CA file '{named}' is not a file", hint="name a PEM file")
    found = config.Config(config.checked(url), text, named)
    with Platform(found) as platform:
        who = platform.get("/v1/whoami")
    file = config.user_file()
    config.save(found, file)
    if as_json:
        return output.as_json({"url": found.url, "file": str(file), **who})
    output.answer(f"signed in to {found.url} as {_name(who)}")
    return 0


def whoami(*, as_json: Json = False) -> int:
    """Show who is signed in, and where."""
    from leeward.cli.client import Platform

    with Platform.connect() as platform:
        who = platform.get("/v1/whoami")
        url = platform.url
    if as_json:
        return output.as_json({"url": url, **who})
    return output.pairs([("name", _name(who)), ("scope", who.get("scope")), ("url", url)])


def list_tokens(*, as_json: Json = False) -> int:
    """List the API tokens."""
    from leeward.cli.client import Platform

    with Platform.connect() as platform:
        found = platform.items("/v1/tokens")
    if as_json:
        return output.as_json(found)
    return output.table(
        ("ID", "NAME", "BEGINS WITH", "SCOPE", "CREATED", "LAST USED", "EXPIRES", "REVOKED"),
        [
            (
                t["id"],
                t.get("name"),
                t.get("prefix"),
                t.get("scope"),
                *(output.moment(t.get(key)) for key in ("created_at", "last_used_at", "expires_at", "revoked_at")),
            )
            for t in found
        ],
        "no tokens",
    )


def create_token(
    name: Annotated[str, Parameter(help="What it is for.")],
    /,
    *,
    scope: Annotated[str, Parameter(help="read, deploy or admin.")] = "deploy",
    days: Annotated[int | None, Parameter(help="Days until it expires; else it does not.")] = None,
    as_json: Json = False,
) -> int:
    """Create an API token; its text is shown once."""
    from leeward.cli.client import Platform

    body: dict[str, Any] = {"name": name, "scope": scope}
    if days is not None:
        body["days"] = days
    with Platform.connect() as platform:
        made = platform.post("/v1/tokens", body)
    if as_json:
        return output.as_json(made)
    output.say("Shown this once; keep it like a password.")
    output.answer(str(made["token"]))
    return 0


def revoke_token(token: Annotated[str, Parameter(help="Id of the token.")], /, *, as_json: Json = False) -> int:
    """Revoke an API token."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        platform.delete(path("tokens", token))
    if as_json:
        return output.as_json({"token": token, "revoked": True})
    output.answer(f"{token} is revoked")
    return 0


def _typed() -> str:
    if sys.stdin.isatty():
        import getpass

        text = getpass.getpass("Token: ")
    else:
        text = sys.stdin.read()
    if not text.strip():
        raise Invalid("no token is given", hint="use --token, LEEWARD_TOKEN or standard input", code="usage")
    return text.strip()


def _name(who: Any) -> str:
    return str(who.get("name") or who.get("user") or "")
