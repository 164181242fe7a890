"""Decide how a source becomes an image. Pure, but for reading the tree.

The same tree, spec, variables and remembered versions give the same plan, byte for byte.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from leeward.builders import buildpacks_plan, dockerfile, foreign_files, manifest_lines, own_dockerfile, procfile
from leeward.builders.detect import Found, below, detect
from leeward.builders.processes import Processes, given, processes
from leeward.builders.providers import assets
from leeward.builders.providers.provider import Context, Contribution
from leeward.builders.tree import MAX_PATHS, AppView
from leeward.errors import Invalid, PlanFailed, Problem
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan, Decision, Diagnostic, Evidence

# A reference as `docker pull` takes it.
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,254}(@sha256:[0-9a-f]{64})?")
_ALWAYS_IGNORED = (".git", ".hg", ".svn", ".DS_Store", ".leeward", ".hypothesis")
LATEST: Mapping[str, str] = {}


def plan(
    tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str], tags: Mapping[str, str] = LATEST
) -> BuildPlan:
    """How to build the app of a tree.

    `env`: the app's variables, and those that steer the plan (`PLAN_PYTHON_VERSION`). `versions`: what its last
    release was built with. `tags`: the tag of each base image's flavour, else `latest`.
    Raises PlanFailed naming the files that were looked for; Invalid for a wrong spec.
    """
    if spec.build.strategy is Strategy.IMAGE:
        return _image(spec)
    root = AppView(tree)
    view = root.at(spec.path)
    if view is None:
        if spec.path not in (".", "", "./"):
            raise PlanFailed(f"path '{spec.path}' is not a directory with files in it", hint=_directories(root))
        view = root
    if spec.build.strategy is Strategy.BUILDPACKS:
        return buildpacks_plan.plan(view, root, spec, env, versions, tags)
    if spec.build.strategy is Strategy.DOCKERFILE:
        because = (manifest_lines.read(root, spec.name).get("build.strategy", Evidence("leeward.yaml", 0, "strategy")),)
        return _dockerfile(view, root, spec, env, (Decision("provider", "dockerfile", because),))
    wanted = foreign_files.wanted(Context(view, spec, env, versions))
    started = given(Context(view, spec, env, versions), procfile.read(view))
    found = detect(view, spec.build.dockerfile, wanted, started)
    if found.dockerfile:
        return _dockerfile(found.view, root, spec, env, found.decisions)
    return _generated(found, wanted, root, spec, env, versions, tags)


def _generated(
    found: Found,
    wanted: tuple[str, Evidence] | None,
    root: AppView,
    spec: AppSpec,
    env: Mapping[str, str],
    versions: Mapping[str, str],
    tags: Mapping[str, str],
) -> BuildPlan:
    view, provider = found.view, found.best.provider
    said = manifest_lines.read(view, spec.name) or manifest_lines.read(root, spec.name)
    listed = procfile.read(view)
    commands = _commands(spec, listed)
    bare = Context(view, spec, env, versions, manifest=said, root=root, commands=commands)
    context = foreign_files.context(bare, wanted)
    listed = foreign_files.listed(context, listed)
    start = given(context, listed)
    context = replace(context, start=start)
    part = provider.plan(context)
    joined = assets.find(context, provider.name, found.more, _started(context, part))
    together = {**part.versions, **(joined.versions if joined else {})}
    part = foreign_files.apply(context, replace(part, versions=together))
    part = assets.graft(part, joined) if joined else part
    names = (provider.name, *((joined.name,) if joined else ()))
    elsewhere = below(view, spec.build.dockerfile) if start is None and part.start is None else ()
    help = provider.start_help() + "".join(f", or set path: {other.name}" for other in elsewhere[:3])
    running = processes(spec, said, listed, start, part, provider.name, help)
    brought = foreign_files.brought(context, provider.name, running.commands)
    blueprint = part.blueprint
    if not part.own_command:
        blueprint = type(blueprint)(blueprint.stages, running.start)
    ignore, ignored = _ignore(view if part.context is None else root.at(part.context) or view, part)
    decisions = (*found.decisions, *part.decisions, *running.decisions, *brought.decisions)
    decisions += (*_health(part), *_writable(part), *ignored)
    scope = spec.name or "shared"
    return BuildPlan(
        strategy=Strategy.AUTO.value,
        providers=names,
        package_manager=part.package_manager,
        versions=part.versions,
        start_command=running.start,
        processes=running.commands,
        decisions=decisions,
        dockerfile=_clean(dockerfile.render(blueprint, tags, scope, _header(found, part, running))),
        bases=dockerfile.bases(blueprint, tags),
        dockerignore=ignore,
        context=part.context or view.name,
        build_secrets=part.secrets,
        health_path=part.health[0] if part.health else None,
        release_command=running.release,
        read_only=part.writable is None,
        diagnostics=(
            *_truncated(view),
            *_others(found, names),
            *assets.left_out(view, provider.name),
            *listed.diagnostics,
            *part.diagnostics,
            *running.diagnostics,
            *brought.diagnostics,
        ),
        generated=brought.generated,
        formation=brought.formation,
        first_command=brought.first,
    )


def _dockerfile(
    view: AppView, root: AppView, spec: AppSpec, env: Mapping[str, str], decided: tuple[Decision, ...]
) -> BuildPlan:
    content, path = own_dockerfile.text(view, spec), spec.build.dockerfile
    said = manifest_lines.read(view, spec.name) or manifest_lines.read(root, spec.name)
    # A Procfile is written for an image that somebody else makes: the user's own image starts as it says itself.
    listed = procfile.Procfile()
    asked = Context(view, spec, env, {}, manifest=said)
    start = given(asked, listed)
    image = own_dockerfile.start(path, content)
    context = own_dockerfile.context(view, spec)
    running = processes(spec, said, listed, start, None, "dockerfile", "", image)
    return BuildPlan(
        strategy=Strategy.DOCKERFILE.value,
        providers=("dockerfile",),
        package_manager=None,
        versions={},
        start_command=running.start,
        processes=running.commands,
        decisions=(
            *decided,
            *own_dockerfile.decisions(path, spec.build.target, spec.build.args),
            *running.decisions,
        ),
        dockerfile=content,
        context=context,
        dockerignore=own_dockerfile.ignore_rules(root, context, path),
        target=spec.build.target,
        args=spec.build.args,
        build_secrets=own_dockerfile.secrets(content, env),
        release_command=running.release,
        read_only=False,
        diagnostics=(*_truncated(view), *own_dockerfile.diagnostics(path, content, spec), *foreign_files.unread(asked)),
    )


def _image(spec: AppSpec) -> BuildPlan:
    image = (spec.build.image or "").strip()
    if not _IMAGE.fullmatch(image):
        problem = f"'{image}' is not the name of an image" if image else "must be set with strategy 'image'"
        raise Invalid([Problem("build/image", problem, "write it like 'registry.example.com/team/app:1.2'")])
    running = processes(spec, {}, procfile.Procfile(), None, None, "image", "", None)
    return BuildPlan(
        strategy=Strategy.IMAGE.value,
        providers=("image",),
        package_manager=None,
        versions={},
        start_command=running.start,
        processes=running.commands,
        decisions=(
            Decision("provider", "image", (Evidence("leeward.yaml", 0, f"build.image {image}"),)),
            *running.decisions,
        ),
        dockerfile="",
        image=image,
        read_only=False,
    )


def _ignore(view: AppView, part: Contribution) -> tuple[tuple[str, ...], tuple[Decision, ...]]:
    """What never goes into the image; the user's rules come later, and so win; key files are always there."""
    own = tuple(line.strip() for _, line in view.lines(".dockerignore") if line.strip() and not line.startswith("#"))
    rules = (*_ALWAYS_IGNORED, *part.ignore, *own)
    needed = tuple(f"!{path}" for path in part.key_files) if own else ()
    because = (Evidence(".dockerignore", 0, f"{len(own)} rules"),) if own else (Evidence("usual rules"),)
    return (*rules, *needed), (Decision("ignore rules", " ".join(rules[:40]), because),)


def _health(part: Contribution) -> tuple[Decision, ...]:
    return (Decision("health path", part.health[0], (part.health[1],)),) if part.health else ()


def _writable(part: Contribution) -> tuple[Decision, ...]:
    return (Decision("file system", "writable until the instance ends", (part.writable,)),) if part.writable else ()


def _header(found: Found, part: Contribution, running: Processes) -> tuple[str, ...]:
    tools = " ".join(f"{tool} {version}" for tool, version in sorted(part.versions.items()))
    return (
        "Written by Leeward's planner; `lee plan --explain` says why. It builds with BuildKit as it is.",
        f"provider: {found.best.provider.name} {tools}".strip(),
        *(f"{decision.topic}: {decision.chose}" for decision in running.decisions),
    )


def _commands(spec: AppSpec, listed: procfile.Procfile) -> tuple[str, ...]:
    """What is started beside the first process, or before a rollout."""
    found = [process.command for name, process in sorted(spec.processes.items()) if name != "web" and process.command]
    found += [start.command for name, start in sorted(listed.processes.items()) if name != "web"]
    return (*found, *((listed.release.command,) if listed.release else ()))


def _started(context: Context, part: Contribution) -> tuple[str, ...]:
    """Every command that the image runs."""
    first = context.start or part.start
    released = (part.release.command,) if part.release else ()
    return (*((first.command,) if first else ()), *context.commands, *released)


def _others(found: Found, names: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    """Another language with a manifest of its own is not built: say so."""
    best, *others = found.matches
    unused = [match for match in (*others,) if match.detection.score >= 80 and match.provider.name not in names]
    wanted = tuple(
        Diagnostic("warning", "not-joined", f"{name} beside {best.provider.name} cannot be built", "write a Dockerfile")
        for name in found.more
        if name not in names
    )
    return wanted + tuple(
        Diagnostic(
            "warning",
            "two-apps" if found.both else "other-provider",
            f"the app is planned as {best.provider.name}; {match.detection.evidence[0].file} is not used",
            f"set the variable PLAN_PROVIDER={match.provider.name}, or path: to that app's directory",
        )
        for match in unused
    )


def _truncated(view: AppView) -> tuple[Diagnostic, ...]:
    if not view.truncated:
        return ()
    text = f"the source has more than {MAX_PATHS} files: only the upper ones were looked at"
    return (Diagnostic("warning", "many-files", text, "keep what is generated out of the repository"),)


def _directories(root: AppView) -> str:
    names = [name for name in root.directories(1) if not name.startswith(".")][:8]
    return f"there are {', '.join(names)}" if names else "the source has no directories"


def _clean(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
