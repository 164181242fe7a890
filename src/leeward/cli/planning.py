"""Show how a directory would be built."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from leeward.cli import output
from leeward.cli.flags import Json
from leeward.errors import Invalid, Problem

if TYPE_CHECKING:
    from leeward.model.build import BuildPlan


def plan(
    path: Annotated[Path, Parameter(help="Directory of the app.")] = Path("."),
    /,
    *,
    app: Annotated[str | None, Parameter(help="Which app, where leeward.yaml has several.")] = None,
    env: Annotated[
        list[str] | None, Parameter(name="--env", negative=(), help="KEY=VALUE that is set while planning; repeatable.")
    ] = None,
    dockerfile: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Print the equivalent Dockerfile.")
    ] = False,
    explain: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Say why, with file and line, and what else there was.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show how a directory would be built; needs no platform."""
    if not path.is_dir():
        raise Invalid(f"'{path}' is not a directory", hint="name the directory of the app")
    variables = assigned(env or ())
    from leeward import daemon

    found = daemon.plan_here(path, app, variables)
    if as_json:
        return output.as_json(found.as_dict())
    if dockerfile:
        output.answer(found.dockerfile.rstrip("\n"))
        return 0
    if explain:
        _explain(found)
    else:
        _summary(found)
    for diagnostic in found.diagnostics:
        output.say(f"{diagnostic.level}: {diagnostic.text}")
        if diagnostic.fix:
            output.say(f"  hint: {diagnostic.fix}")
    return 0


def assigned(values: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping. Raises Invalid that names all that are wrong."""
    wrong = [value for value in values if not value.partition("=")[0] or "=" not in value]
    if wrong:
        raise Invalid([Problem("--env", f"'{value}' is not KEY=VALUE") for value in wrong], hint="write KEY=VALUE")
    return {key: text for key, _, text in (value.partition("=") for value in values)}


def _summary(found: "BuildPlan") -> None:
    versions = ", ".join(f"{tool} {version}" for tool, version in sorted(found.versions.items()))
    output.pairs(
        [
            ("strategy", found.strategy),
            ("providers", ", ".join(found.providers)),
            ("package manager", found.package_manager),
            ("versions", versions),
            ("image", found.image),
            ("start command", found.start_command),
            *((f"process {name}", command or "the image's own") for name, command in sorted(found.processes.items())),
            ("release command", found.release_command),
            ("first command", found.first_command),
            ("health", found.health_path),
        ]
    )


def _explain(found: "BuildPlan") -> None:
    for decision in found.decisions:
        output.answer(f"{decision.topic}: {decision.chose}")
        for evidence in decision.because:
            output.answer(f"  because of {evidence}")
        if decision.alternatives:
            output.answer(f"  instead of {', '.join(decision.alternatives)}")
