"""Decide which buildpacks build an app. Pure, but for reading the tree.

The buildpacks are our own unless a builder image is named. Ours look at the same files as this module does, and are
given the group that was chosen here, so that what a plan says is what takes part. What they cannot know (the manifest,
variables, how the code is started) they get from the plan.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from leeward.builders import (
    buildpacks_words,
    dockerfile,
    foreign_files,
    foreign_project,
    foreign_steps,
    manifest_lines,
    procfile,
)
from leeward.builders.cnb import go, node, python, static
from leeward.builders.loose import mapping, text
from leeward.builders.processes import Processes, given, processes
from leeward.builders.providers import PROVIDERS
from leeward.builders.providers.provider import Context, Contribution
from leeward.builders.tree import AppView
from leeward.errors import Invalid, PlanFailed, Problem
from leeward.model.app import ENV_KEY, AppSpec, Strategy
from leeward.model.build import BuildPlan, Decision, Diagnostic, Evidence

FLAVOURS = ("buildpacks", "buildpacks-build")
# What the builder image has of each tool: no other version can be had with it.
VERSIONS: Mapping[str, tuple[str, ...]] = {"python": ("3.13",), "node": ("22", "24")}
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,254}(@sha256:[0-9a-f]{64})?")
# Decisions of a provider that speak of the Dockerfile it would write.
_NOT_HERE = frozenset({"dependency layer", "unknown paths", "framework"})

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
    if wrong := [name for name in spec.build.args if not ENV_KEY.fullmatch(name)]:
        hint = "use letters, digits and '_'"
        raise Invalid([Problem("build/args", f"'{name}' is not the name of a variable", hint) for name in wrong])
    said = manifest_lines.read(view, spec.name) or manifest_lines.read(root, spec.name)
    listed = procfile.read(view)
    known = {tool: version for tool, version in versions.items() if version in VERSIONS.get(tool, (version,))}
    bare = Context(view, spec, env, known, manifest=said, root=root, commands=_commands(spec, listed))
    option = bare.option("PROVIDER")
    context = foreign_files.context(bare, option)
    if spec.build.builder:
        return _named(context, listed)
    found = matches(view)
    if option and option[0] not in _ORDER:
        raise PlanFailed(f"'{option[0]}' ({option[1].file}) is no buildpack", hint=f"there are {', '.join(_ORDER)}")
    if not found and not option and not listed.processes:
        raise PlanFailed(
            f"no buildpack knows the app in '{view.name}': looked for {', '.join(looked_for())}",
            hint="add one of these files, set path: to the app's directory, or use strategy 'auto'",
            code="no-buildpack",
        )
    bases = tuple(dockerfile.image(flavour, tags) for flavour in FLAVOURS)
    name = option[0] if option else next(iter(found), "")
    if not name:
        return _listed_only(context, listed, bases)
    because = (option[1],) if option else (Evidence(found[name]),)
    others = tuple(other for other in found if other != name)
    return _ours(context, listed, bases, name, Decision("provider", name, because, others))


def matches(view: AppView) -> dict[str, str]:
    """Each of our buildpacks that knows the app, with the file that it knows it by; the one that leads first."""
    seen = {name: view.first(*files) for name, files in _ORDER.items()}
    return {name: file for name, file in seen.items() if file}


def looked_for() -> tuple[str, ...]:
    """Every file that one of our buildpacks knows an app by."""
    return tuple(dict.fromkeys((*(file for files in _ORDER.values() for file in files), procfile.FILE)))


def _ours(context: Context, listed: procfile.Procfile, bases: tuple[str, ...], name: str, first: Decision) -> BuildPlan:
    provider = next(provider for provider in PROVIDERS if provider.name == name)
    start = given(context, listed)
    part = _moved(provider.plan(replace(context, start=start)))
    _check_versions(part)
    running = processes(context.spec, context.manifest, listed, start, part, name, provider.start_help())
    output = next((decision.chose for decision in part.decisions if decision.topic == "site"), "")
    group = _group(name, bool(output), running)
    decisions = (
        first,
        Decision("buildpacks", " ".join(f"leeward/{part}" for part in group), (Evidence("Leeward's own builder"),)),
        *(decision for decision in part.decisions if decision.topic not in _NOT_HERE),
        *foreign_steps.decisions(context.foreign, context.foreign.run_packages, context.foreign.build_packages),
    )
    found = _finished(context, listed, running, group, decisions, bases)
    return replace(
        found,
        package_manager=part.package_manager,
        versions=part.versions,
        decisions=(*found.decisions, *((Decision("health path", *_said(part.health)),) if part.health else ())),
        args={**found.args, **buildpacks_words.words(context, name, part, output)},
        # Commands of the user's own see what those of the strategy auto see: all.
        build_secrets=context.secrets("") if buildpacks_words.hooks(context, name) else part.secrets,
        health_path=part.health[0] if part.health else None,
        diagnostics=(*found.diagnostics, *part.diagnostics, *_unused(context)),
    )


def _listed_only(context: Context, listed: procfile.Procfile, bases: tuple[str, ...]) -> BuildPlan:
    """Programs that are in the source already, and a Procfile."""
    start = given(context, listed)
    running = processes(context.spec, context.manifest, listed, start, None, "procfile", "")
    first = Decision("provider", "procfile", (Evidence(procfile.FILE),))
    found = _finished(context, listed, running, ("procfile",), (first,), bases)
    return replace(
        found,
        args={**found.args, **buildpacks_words.words(context, "procfile", None, "")},
        build_secrets=context.secrets("") if buildpacks_words.hooks(context, "procfile") else (),
        diagnostics=(*found.diagnostics, *_unused(context)),
    )


def _named(context: Context, listed: procfile.Procfile) -> BuildPlan:
    """A builder image by name: its buildpacks decide; what is written down holds all the same."""
    builder = (context.spec.build.builder or "").strip()
    if not _IMAGE.fullmatch(builder):
        raise Invalid(
            [Problem("build/builder", f"'{builder}' is not the name of an image", "write it like 'heroku/builder:24'")]
        )
    running = processes(context.spec, context.manifest, listed, given(context, listed), None, "buildpacks", "", None)
    place = context.said("build.builder")
    decisions = (Decision("provider", "buildpacks", (place,)), Decision("builder image", builder, (place,)))
    found = _finished(context, listed, running, ("buildpacks",), decisions, (builder,))
    return replace(
        found,
        # They are steered by variables of any name.
        build_secrets=context.secrets(""),
        args={**found.args, **buildpacks_words.run_env(context, None)},
        diagnostics=(*found.diagnostics, *_unused_by_others(context)),
    )


def _finished(
    context: Context,
    listed: procfile.Procfile,
    running: Processes,
    group: tuple[str, ...],
    decisions: tuple[Decision, ...],
    bases: tuple[str, ...],
) -> BuildPlan:
    """What every plan of buildpacks has."""
    brought = foreign_files.brought(context, group[0], running.commands)
    return BuildPlan(
        strategy=Strategy.BUILDPACKS.value,
        providers=group,
        package_manager=None,
        versions={},
        start_command=running.start,
        processes=running.commands,
        decisions=(*decisions, *running.decisions, *brought.decisions),
        dockerfile="",
        bases=bases,
        context=context.view.name,
        args={**context.foreign.defaults, **_project(context), **context.spec.build.args},
        release_command=running.release,
        # As on the platforms that buildpacks come from: what an instance writes is its own, and goes with it.
        read_only=False,
        diagnostics=(*listed.diagnostics, *running.diagnostics, *filter(_concerns, brought.diagnostics)),
        generated=brought.generated,
        formation=brought.formation,
        first_command=brought.first,
    )


def _project(context: Context) -> dict[str, str]:
    """Variables of `project.toml`: here its own words are understood."""
    table = context.view.toml(foreign_project.FILE) if context.view.has(foreign_project.FILE) else {}
    build = mapping(table, "io", "buildpacks") or mapping(table, "build")
    listed = [mapping(build, "build").get("env"), build.get("env")]
    entries = [mapping(entry) for each in listed if isinstance(each, list) for entry in each]
    pairs = [(text(entry, "name"), str(entry.get("value", ""))) for entry in entries]
    return {name: value for name, value in pairs if ENV_KEY.fullmatch(name) and name not in context.env}


def _concerns(note: Diagnostic) -> bool:
    """Whether a note on foreign files is true here: buildpacks read their own variables."""
    elsewhere = ("the buildpacks' variable", "is not used by strategy auto", "is not read before a process starts")
    return not any(words in note.text for words in elsewhere)


def _commands(spec: AppSpec, listed: procfile.Procfile) -> tuple[str, ...]:
    """What is started beside the first process, or before a rollout."""
    found = [process.command for name, process in sorted(spec.processes.items()) if name != "web" and process.command]
    found += [start.command for name, start in sorted(listed.processes.items()) if name != "web"]
    return (*found, *((listed.release.command,) if listed.release else ()))


def _said(found: tuple[str, Evidence]) -> tuple[str, tuple[Evidence, ...]]:
    return found[0], (found[1],)


def _group(name: str, site: bool, running: Processes) -> tuple[str, ...]:
    """The buildpacks in their order: the language, then the server of a site, then the processes."""
    server = ("static",) if site and name != "static" else ()
    return (name, *server, *(("procfile",) if any(running.commands.values()) else ()))


def _moved(part: Contribution) -> Contribution:
    """The provider speaks of `/app`; programs that a buildpack built are found by their name."""
    if part.start is None or not part.start.command.startswith("/app/bin/"):
        return part
    return replace(part, start=replace(part.start, command=part.start.command.removeprefix("/app/bin/")))


def _check_versions(part: Contribution) -> None:
    for tool, version in part.versions.items():
        there = VERSIONS.get(tool, (version,))
        if version not in there:
            raise PlanFailed(
                f"{tool} {version} is not in Leeward's own builder: it has {', '.join(there)}",
                hint=f"ask for {tool} {there[-1]}, use strategy 'auto', or name a builder image with build.builder",
                code=f"{tool}-version",
            )


def _unused(context: Context) -> Iterator[Diagnostic]:
    """What a user wrote and our buildpacks do not read."""
    told = context.foreign
    if told.excluded:
        fix = "use strategy 'auto'"
        yield _ignored(f"the list of files to leave out ({told.excluded[0][1].file})", fix)
    if builder := next((note for note in told.notes if "is not used by strategy auto" in note.text), None):
        told_so = builder.text.replace("is not used by strategy auto", "is used only if it is named in leeward.yaml")
        yield Diagnostic("info", "not-for-buildpacks", told_so, "set build.builder")


def _unused_by_others(context: Context) -> Iterator[Diagnostic]:
    """What a builder image by name is not told: it has words of its own."""
    build, told = context.spec.build, context.foreign
    fix = "say it in the builder's own words (build.args, its buildpacks), or leave build.builder out"
    written = {"command": build.command, "install_command": build.install_command, "packages": build.packages}
    for name, value in written.items():
        if value:
            yield _ignored(f"build.{name}", fix)
    if told.run_packages and not build.packages:
        yield _ignored(f"the list of system packages ({told.run_packages[0][1].file})", fix)
    for _, place in (*told.build.before[:1], *told.build.after[:1]):
        if place.file.startswith("bin/"):
            yield _ignored(place.file, fix)
    if told.excluded:
        yield _ignored(f"the list of files to leave out ({told.excluded[0][1].file})", fix)


def _ignored(what: str, fix: str) -> Diagnostic:
    return Diagnostic("warning", "not-for-buildpacks", f"{what} is not used by buildpacks", fix)
