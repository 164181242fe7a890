"""See, scale and enter what runs."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import App, Detach, Json
from leeward.errors import Invalid, Problem

EXEC_S = 900.0
_COUNT = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


def ps(app: App, /, *, as_json: Json = False) -> int:
    """List the instances of an app."""
    from leeward.cli.client import Platform, path

    with Platform.connect() as platform:
        found = platform.items(path("apps", app, "instances"))
        shown = {} if as_json else platform.get(path("apps", app))
        timed = [p for p in shown.get("processes", ()) if p.get("schedule")]
    if as_json:
        return output.as_json(found)
    _instances(app, found, asleep=shown.get("status") == "asleep")
    if timed:
        from leeward.cli.apps import schedules

        output.answer("")
        schedules(timed)
    return 0


def _instances(app: str, found: Sequence[Any], *, asleep: bool = False) -> None:
    output.table(
        ("INSTANCE", "PROCESS", "RELEASE", "STATE", "SINCE", "RESTARTS", "WHY"),
        [
            (
                output.short(i["id"]),
                i.get("process"),
                output.version(i.get("release")),
                i.get("state"),
                output.moment(i.get("started_at")),
                i.get("restarts"),
                i.get("reason"),
            )
            for i in found
        ],
        f"'{app}' is asleep: the next request wakes it" if asleep else f"nothing runs of '{app}'",
    )
    if asleep and found:
        output.answer(f"'{app}' is asleep: the next request wakes it")


def scale(
    app: App,
    /,
    *counts: Annotated[str, Parameter(help="Like 'web=3', or 'web=1-5' to scale by CPU.")],
    size: Annotated[str | None, Parameter(help="nano, micro, small, medium, large or xl.")] = None,
    cpu_percent: Annotated[int | None, Parameter(help="CPU use that one more instance is started at.")] = None,
    detach: Detach = False,
    as_json: Json = False,
) -> int:
    """Set how many instances run, and how large they are.

    A size holds for the named processes, or for all when none is named.
    """
    processes = counted(counts, cpu_percent)
    if not processes and not size:
        raise Invalid("nothing to change is given", hint="write it like `lee scale APP web=3`", code="usage")
    from leeward.cli.client import Platform, path
    from leeward.cli.follow import finish

    body = {"processes": processes, **({"size": size} if size else {})}
    with Platform.connect() as platform:
        asked = platform.put(path("apps", app, "scale"), body)
        return finish(platform, asked, detach=detach, as_json=as_json)


def counted(counts: tuple[str, ...], cpu_percent: int | None = None) -> dict[str, Any]:
    """`web=3` and `web=1-5` as the API takes them. Raises Invalid that names all that are wrong."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in counts:
        name, mark, value = text.partition("=")
        match = _COUNT.fullmatch(value)
        if not (name and mark and match):
            problems.append(Problem(text, f"'{text}' is not a process and a number", "write it like 'web=3'"))
            continue
        low, high = int(match[1]), int(match[2] or match[1])
        percent = {"cpu_percent": cpu_percent} if cpu_percent is not None else {}
        found[name] = {"min": low, "max": high, **percent}
    if problems:
        raise Invalid(problems)
    return found


def execute(
    app: App,
    /,
    *command: Annotated[str, Parameter(help="The command, after '--'.", allow_leading_hyphen=True)],
    process: Annotated[str | None, Parameter(help="Process whose instance is entered; else 'web'.")] = None,
    as_json: Json = False,
) -> int:
    """Run a command in an instance of an app.

    Write it after '--': lee exec shop -- python manage.py migrate
    """
    if not command:
        raise Invalid("no command is given", hint=f"write it like `lee exec {app} -- ls -l`", code="usage")
    from leeward.cli.client import Platform, path

    body: dict[str, Any] = {"command": list(command), **({"process": process} if process else {})}
    with Platform.connect() as platform:
        ended = platform.post(path("apps", app, "exec"), body, wait_s=EXEC_S)
    code = int(ended.get("exit_code") or 0)
    if as_json:
        output.as_json(ended)
    else:
        printed = output.safe(ended.get("output") or "")
        print(printed, end="" if printed.endswith("\n") or not printed else "\n", flush=True)
        if code:
            output.say(f"Error: the command ended with exit code {code}")
    return 1 if code else 0
