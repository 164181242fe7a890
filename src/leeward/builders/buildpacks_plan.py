"""Decide which buildpacks build an app. Pure, but for reading the tree.

The buildpacks are our own unless a builder image is named. Ours look at the same files as this module does, and are
given the group that was chosen here, so that what a plan says is what takes part. What they cannot know (the manifest,
variables, how the code is started) they get from the plan.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from leeward.builders import dockerfile, manifest_lines, procfile
from leeward.builders.blueprint import Env
from leeward.builders.cnb import go, node, python, static
from leeward.builders.processes import Processes, given, processes
from leeward.builders.providers import PROVIDERS
from leeward.builders.providers.provider import Context, Contribution
from leeward.builders.tree import AppView
from leeward.errors import Invalid, PlanFailed, Problem
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan, Decision, Diagnostic, Evidence

FLAVOURS = ("buildpacks", "buildpacks-build")
# What the builder image has of each tool: no other version can be had with it.
VERSIONS: Mapping[str, tuple[str, ...]] = {"python": ("3.13",), "node": ("22", "24")}
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,254}(@sha256:[0-9a-f]{64})?")
# Decisions of a provider that speak of the Dockerfile it would write.
_NOT_HERE = frozenset({"dependency layer", "system packages", "install command", "unknown paths", "framework"})
# Variables of the image that the launcher or a buildpack sets itself.
_SET_BY_LAYERS = re.compile(r"PATH|HOME|PORT|VIRTUAL_ENV|NODE_ENV|PYTHON(?!PATH).*")


# The first that knows the app leads.
_ORDER: Mapping[str, tuple[str, ...]] = {
    "go": go.LOOKED_FOR,
    "python": python.LOOKED_FOR,
    "node": node.LOOKED_FOR,
    "static": static.LOOKED_FOR,
}


def plan(
    view: AppView,
    root: AppView,
    spec: AppSpec,
    env: Mapping[str, str],
    versions: Mapping[str, str],
    tags: Mapping[str, str],
) -> BuildPlan:
    """How buildpacks build the app. Raises PlanFailed naming the files that were looked for; Invalid."""
    if spec.build.builder:
        return _named(view, root, spec, env)
    found = matches(view)
    option = Context(view, spec, env, {}).option("PROVIDER")
    if option and option[0] not in _ORDER:
        raise PlanFailed(f"'{option[0]}' ({option[1].file}) is no buildpack", hint=f"there are {', '.join(_ORDER)}")
    listed = procfile.read(view)
    if not found and not option and not listed.processes:
        raise PlanFailed(
            f"no buildpack knows the app in '{view.name}': looked for {', '.join(looked_for())}",
            hint="add one of these files, set path: to the app's directory, or use strategy 'auto'",
            code="no-buildpack",
        )
    said = manifest_lines.read(view, spec.name) or manifest_lines.read(root, spec.name)
    name = option[0] if option else next(iter(found), "")
    if not name:
        return _listed_only(view, spec, said, listed, tags)
    because = (option[1],) if option else (Evidence(found[name]),)
    others = tuple(other for other in found if other != name)
    first = Decision("provider", name, because, others)
    return _ours(view, spec, env, versions, tags, said, listed, name, first)


def matches(view: AppView) -> dict[str, str]:
    """Each of our buildpacks that knows the app, with the file that it knows it by; the one that leads first."""
    seen = {name: view.first(*files) for name, files in _ORDER.items()}
    return {name: file for name, file in seen.items() if file}


def looked_for() -> tuple[str, ...]:
    """Every file that one of our buildpacks knows an app by."""
    return tuple(dict.fromkeys((*(file for files in _ORDER.values() for file in files), procfile.FILE)))


def _ours(
    view: AppView,
    spec: AppSpec,
    env: Mapping[str, str],
    versions: Mapping[str, str],
    tags: Mapping[str, str],
    said: Mapping[str, Evidence],
    listed: procfile.Procfile,
    name: str,
    first: Decision,
) -> BuildPlan:
    provider = next(provider for provider in PROVIDERS if provider.name == name)
    known = {tool: version for tool, version in versions.items() if version in VERSIONS.get(tool, (version,))}
    start = given(Context(view, spec, env, known, manifest=said), listed)
    part = _moved(provider.plan(Context(view, spec, env, known, start, said)))
    _check_versions(part)
    running = processes(spec, said, listed, start, part, name, provider.start_help())
    output = next((decision.chose for decision in part.decisions if decision.topic == "site"), "")
    group = _group(name, bool(output), running)
    decisions = (
        first,
        Decision("buildpacks", " ".join(f"leeward/{part}" for part in group), (Evidence("Leeward's own builder"),)),
        *(decision for decision in part.decisions if decision.topic not in _NOT_HERE),
        *running.decisions,
        *((Decision("health path", part.health[0], (part.health[1],)),) if part.health else ()),
    )
    return BuildPlan(
        strategy=Strategy.BUILDPACKS.value,
        providers=group,
        package_manager=part.package_manager,
        versions=part.versions,
        start_command=running.start,
        processes=running.commands,
        decisions=decisions,
        dockerfile="",
        bases=tuple(dockerfile.image(flavour, tags) for flavour in FLAVOURS),
        context=view.name,
        args={**spec.build.args, **_words(part, output)},
        build_secrets=part.secrets,
        health_path=part.health[0] if part.health else None,
        release_command=running.release,
        # As on the platforms that buildpacks come from: what an instance writes is its own, and goes with it.
        read_only=False,
        diagnostics=(*listed.diagnostics, *part.diagnostics, *running.diagnostics, *_unused(spec, part)),
    )


def _listed_only(
    view: AppView, spec: AppSpec, said: Mapping[str, Evidence], listed: procfile.Procfile, tags: Mapping[str, str]
) -> BuildPlan:
    """Programs that are in the source already, and a Procfile."""
    start = given(Context(view, spec, {}, {}, manifest=said), listed)
    running = processes(spec, said, listed, start, None, "procfile", "")
    return BuildPlan(
        strategy=Strategy.BUILDPACKS.value,
        providers=("procfile",),
        package_manager=None,
        versions={},
        start_command=running.start,
        processes=running.commands,
        decisions=(Decision("provider", "procfile", (Evidence(procfile.FILE),)), *running.decisions),
        dockerfile="",
        bases=tuple(dockerfile.image(flavour, tags) for flavour in FLAVOURS),
        context=view.name,
        args=spec.build.args,
        release_command=running.release,
        read_only=False,
        diagnostics=(*listed.diagnostics, *running.diagnostics),
    )


def _named(view: AppView, root: AppView, spec: AppSpec, env: Mapping[str, str]) -> BuildPlan:
    """A builder image by name: its buildpacks decide; what is written down holds all the same."""
    builder = (spec.build.builder or "").strip()
    if not _IMAGE.fullmatch(builder):
        raise Invalid(
            [Problem("build/builder", f"'{builder}' is not the name of an image", "write it like 'heroku/builder:24'")]
        )
    said = manifest_lines.read(view, spec.name) or manifest_lines.read(root, spec.name)
    listed = procfile.read(view)
    context = Context(view, spec, env, {}, manifest=said)
    running = processes(spec, said, listed, given(context, listed), None, "buildpacks", "", None)
    place = said.get("build.builder", Evidence("leeward.yaml", 0, "build.builder"))
    return BuildPlan(
        strategy=Strategy.BUILDPACKS.value,
        providers=("buildpacks",),
        package_manager=None,
        versions={},
        start_command=running.start,
        processes=running.commands,
        decisions=(
            Decision("provider", "buildpacks", (place,)),
            Decision("builder image", builder, (place,)),
            *running.decisions,
        ),
        dockerfile="",
        bases=(builder,),
        context=view.name,
        args=spec.build.args,
        # They are steered by variables of any name.
        build_secrets=context.secrets(""),
        release_command=running.release,
        read_only=False,
        diagnostics=(*listed.diagnostics, *running.diagnostics, *_unused(spec, None)),
    )


def _group(name: str, site: bool, running: Processes) -> tuple[str, ...]:
    """The buildpacks in their order: the language, then the server of a site, then the processes."""
    server = ("static",) if site and name != "static" else ()
    return (name, *server, *(("procfile",) if any(running.commands.values()) else ()))


def _moved(part: Contribution) -> Contribution:
    """The provider speaks of `/app`; programs that a buildpack built are found by their name."""
    if part.start is None or not part.start.command.startswith("/app/bin/"):
        return part
    return replace(part, start=replace(part.start, command=part.start.command.removeprefix("/app/bin/")))


def _words(part: Contribution, output: str) -> dict[str, str]:
    """What the buildpacks are told beside the app's own variables."""
    found = {"LEEWARD_OUTPUT": output} if output and output != "." else {}
    last = part.blueprint.stages[-1].steps if part.blueprint.stages else ()
    env = {key: value for step in last if isinstance(step, Env) for key, value in step.values.items()}
    env = {
        key: re.sub(r"/app\b", "/workspace", value)
        for key, value in sorted(env.items())
        if not _SET_BY_LAYERS.fullmatch(key) and "$" not in value
    }
    return found | ({"LEEWARD_ENV": json.dumps(env)} if env else {})


def _check_versions(part: Contribution) -> None:
    for tool, version in part.versions.items():
        there = VERSIONS.get(tool, (version,))
        if version not in there:
            raise PlanFailed(
                f"{tool} {version} is not in Leeward's own builder: it has {', '.join(there)}",
                hint=f"ask for {tool} {there[-1]}, use strategy 'auto', or name a builder image with build.builder",
                code=f"{tool}-version",
            )


def _unused(spec: AppSpec, part: Contribution | None) -> Iterator[Diagnostic]:
    """What a user wrote and buildpacks do not read."""
    build = spec.build
    written = {"command": build.command, "install_command": build.install_command, "packages": build.packages}
    for name, value in written.items():
        if value:
            yield _ignored(f"build.{name}")
    if part and not build.packages and any(decision.topic == "system packages" for decision in part.decisions):
        yield _ignored("the list of system packages")


def _ignored(what: str) -> Diagnostic:
    return Diagnostic("warning", "not-for-buildpacks", f"{what} is not used by buildpacks", "use strategy 'auto'")
