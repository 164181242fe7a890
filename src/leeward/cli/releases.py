"""List releases, and make another one live: rollback, restart, cancel."""

import re
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Detach, Json, Lines
from leeward.errors import Invalid


def releases(app: App, /, *, lines: Lines = 20, as_json: Json = False) -> int:
    """List the releases of an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("apps", app, "releases"), lines)
    if as_json:
        return output.as_json(found)
    return output.table(
        ("RELEASE", "LIVE", "COMMIT", "MESSAGE", "CREATED", "IMAGE"),
        [
            (
                output.version(item.get("release") or item.get("number")),
                "live" if item.get("live") else "",
                str(item.get("commit") or "")[:12],
                str(item.get("message") or "").split("\n")[0][:60],
                output.moment(item.get("created_at")),
                item.get("image"),
            )
            for item in found
        ],
        f"'{app}' has no releases; `lee deploy` makes one",
    )


def rollback(
    app: App,
    version: Annotated[str | None, Parameter(help="Like 'v3'; else the one before the live one.")] = None,
    /,
    *,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Make an older release live again.

    Its image, variables, processes and routes come back as they were.
    """
    return _changed(app, "rollback", {"release": number(version)} if version else {}, detach, as_json)


def restart(app: App, /, *, detach: Detach = False, as_json: Json = False) -> int:
    """Replace all instances of an app."""
    return _changed(app, "restart", {}, detach, as_json)


def cancel(
    deploy: Annotated[str, Parameter(help="Id of the deploy, or name of the app whose deploy runs.")],
    /,
    *,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Cancel a deploy.

    The release that was live stays live.
    """
    from leeward.cli.client import Platform, path
    from leeward.cli.follow import outcome, waited

    with Platform.connect() as platform:
        found = _running_deploy(platform, deploy)
        asked = platform.post(path("deploys", found, "cancel"))
        ended = asked if detach else waited(platform, asked)
    if as_json:
        return output.as_json({"deploy": found, **outcome(ended)})
    output.answer(f"{found} {ended['status']}")
    return 0 if detach or ended["status"] == "cancelled" else 1


def number(text: str) -> int:
    """3 for 'v3' or '3'. Raises Invalid."""
    if not re.fullmatch(r"v?[1-9][0-9]{0,8}", text):
        raise Invalid(f"'{text}' is not a release", hint="write it like 'v3'; `lee releases APP` lists them")
    return int(text.removeprefix("v"))


def _changed(app: str, verb: str, body: dict[str, Any], detach: bool, as_json: bool) -> int:
    from leeward.cli.client import Platform, path
    from leeward.cli.follow import finish

    with Platform.connect() as platform:
        asked = platform.post(path("apps", app, verb), body)
        return finish(platform, asked, detach=detach, as_json=as_json)


def _running_deploy(platform: Any, name: str) -> str:
    """The id itself, or that of the deploy that runs of an app with this name."""
    from leeward.cli.client import path
    from leeward.errors import NotFound

    try:
        return str(platform.get(path("deploys", name))["id"])
    except NotFound as error:
        try:
            current = platform.get(path("apps", name)).get("deploy")
        except NotFound:
            raise error from None
        if not current:
            raise NotFound(f"'{name}' has no deploy", hint="`lee events` shows what happened") from error
        return str(current["id"])
