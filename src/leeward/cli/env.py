"""List and change the variables of an app."""

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Detach, Json
from leeward.errors import Invalid, Problem


def list_env(app: App, /, *, as_json: Json = False) -> int:
    """List the variables of an app; secrets are masked."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = variables(platform.get(path("apps", app, "env")))
    if as_json:
        return output.as_json(found)
    return output.table(
        ("KEY", "VALUE", "KIND"),
        [(v["key"], v.get("value"), "secret" if v.get("secret") else "") for v in found],
        f"'{app}' has no variables",
    )


def set_env(
    app: App,
    /,
    *values: Annotated[str, Parameter(help="KEY=VALUE; with --secret also KEY alone.")],
    secret: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Encrypt the values, and never show them again.")
    ] = False,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Set variables of an app.

    With --secret and KEY alone the value is read from standard input, or
    asked for, so that it is not among the arguments.
    """
    pairs = assigned(values, secret)
    for key, value in pairs.items():
        if value is None:
            pairs[key] = _hidden(key, alone=len(pairs) == 1)
    return _change(app, {"secrets" if secret else "set": pairs}, detach, as_json)


def unset_env(
    app: App,
    /,
    *keys: Annotated[str, Parameter(help="Names of the variables.")],
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Remove variables of an app."""
    if not keys:
        raise Invalid("no variable is named", hint=f"`lee env list {app}` lists them", code="usage")
    return _change(app, {"unset": list(keys)}, detach, as_json)


def assigned(values: tuple[str, ...], secret: bool) -> dict[str, str | None]:
    """Keys and values; None for one that must be asked for. Raises Invalid that names all that are wrong."""
    from leeward.model.app import ENV_KEY

    if not values:
        raise Invalid("no variable is given", hint="write it like 'KEY=VALUE'", code="usage")
    found: dict[str, str | None] = {}
    problems: list[Problem] = []
    for text in values:
        key, mark, value = text.partition("=")
        if not ENV_KEY.fullmatch(key):
            problems.append(
                Problem(key, f"'{key}' is not the name of a variable", "use letters, digits and '_', no digit first")
            )
        elif not mark and not secret:
            problems.append(Problem(key, f"'{key}' has no value", f"write '{key}=VALUE', or use --secret"))
        else:
            found[key] = value if mark else None
    if problems:
        raise Invalid(problems)
    return found


def variables(answer: Any) -> list[dict[str, Any]]:
    """The variables in an answer of the API, by key."""
    return sorted(answer["env"], key=lambda variable: str(variable["key"]))


def _hidden(key: str, alone: bool) -> str:
    """A value that nobody sees: typed, or all of standard input."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{key}: ")
    if not alone:
        raise Invalid("standard input holds one value only", hint="set one secret at a time", code="usage")
    value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise Invalid(f"standard input has no value for '{key}'", hint=f"write it like `lee env set … {key} < FILE`")
    return value


def _change(app: str, change: dict[str, Any], detach: bool, as_json: bool) -> int:
    from leeward.cli.client import Platform, path
    from leeward.cli.follow import outcome, printed, waited

    with Platform.connect() as platform:
        done = platform.patch(path("apps", app, "env"), change)
        deploy = done.get("deploy")
        ended = deploy if detach or not deploy else waited(platform, deploy)
    found = variables(done)
    live = not ended or detach or ended["status"] == "live"
    if as_json:
        shown = {"deploy": deploy["id"], "status": deploy["status"]} if deploy and detach else None
        output.as_json({"app": app, "env": found, "deploy": shown or (outcome(ended) if ended else None)})
    elif ended and not detach:
        return printed(ended, False)
    else:
        output.answer(
            f"{app} has {output.counted(len(found), 'variable')}" + ("" if deploy else "; the next deploy uses them")
        )
    return 0 if live else 1
