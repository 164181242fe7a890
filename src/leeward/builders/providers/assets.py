"""Join a second language to an app: Node for the files that browsers get, Python beside a Node server."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Copy, Env, Instruction, Packages, Run, Stage
from leeward.builders.catalogue import NODE
from leeward.builders.loose import text
from leeward.builders.providers import node_managers, node_stages, node_versions, node_workspace
from leeward.builders.providers.node import IGNORE
from leeward.builders.providers.node_managers import Manager
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.provider import Context, Contribution
from leeward.builders.providers.python import Python
from leeward.builders.tree import AppView
from leeward.builders.versions import choose
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

_INSTALL, _BUILD, _MODULES = "node-install", "node-build", "node-modules"
_NODE = re.compile(r"(?:^|[\s;&|(])(?:node|npm|npx|pnpm|yarn|bun)\b")
_PYTHON = re.compile(r"(?:^|[\s;&|(/])python3?\b")
_BEGAN = "/tmp/began"
# What the build made or changed, wherever it lies. A change time cannot be set, so no tool hides what it wrote.
_MADE = (
    "mkdir /out",
    "find . -name node_modules -prune -o -name .git -prune -o '(' -type f -o -type l ')' "
    f"-cnewer {_BEGAN} -exec cp -a --parents -t /out {{}} +",
)
# These build their own, or are Node's already.
_ALONE = frozenset({"node", "static", "deno"})
# Debian 12's own Python, for Node's base images are Debian 12's.
_PYTHON_HERE = "3.11"
# What a language's own step would do with Node again, which it does not have.
_DONE: Mapping[str, Mapping[str, str]] = {
    "ruby": {
        "SHAKAPACKER_PRECOMPILE": "false",
        "SKIP_CSS_BUILD": "1",
        "SKIP_JS_BUILD": "1",
        "SKIP_YARN_INSTALL": "1",
        "VITE_RUBY_SKIP_ASSETS_PRECOMPILE_EXTENSION": "true",
        "WEBPACKER_PRECOMPILE": "false",
    }
}
_FRONT_ENDS = ("frontend", "client", "front", "ui", "web", "webapp")
_OWN_COMMANDS = ("INSTALL_CMD", "BUILD_CMD", "START_CMD")


@dataclass(frozen=True, slots=True)
class Joined:
    """A second language of an app, ready to be put beside the first."""

    name: str
    stages: tuple[Stage, ...]
    versions: dict[str, str]
    decisions: tuple[Decision, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    secrets: tuple[str, ...] = ()
    key_files: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    made: tuple[Copy, ...] = ()
    """Goes wherever the code goes."""
    run: tuple[Instruction, ...] = ()
    """Goes into the image, before the code."""
    done: Mapping[str, str] = field(default_factory=dict)
    """Variables of the leading language's own build."""


def find(context: Context, lead: str, wanted: Sequence[str], commands: Sequence[str]) -> Joined | None:
    """The language that joins the one that leads: because it is wanted, or files and commands ask for it."""
    named = {*wanted, *(tool for tool, _, _ in context.foreign.tools)}
    if lead not in _ALONE and context.view.has(FILE):
        joined = _node(context, "node" in named, commands)
        return replace(joined, done=_DONE.get(lead, {})) if joined and joined.made else joined
    if lead == "node" and _python_asked(context, "python" in named, commands):
        return _python(context, "python" in named, commands)
    return None


def left_out(view: AppView, lead: str) -> tuple[Diagnostic, ...]:
    """A front end below an app of another language has a life of its own: say so."""
    if lead in _ALONE or view.has(FILE):
        return ()
    for folder in _FRONT_ENDS:
        try:
            builds = text(view.json(f"{folder}/{FILE}"), "scripts", "build")
        except PlanFailed:
            continue
        if builds:
            what = f"'{folder}' has a build of its own, which is not part of this app"
            fix = f"make it an app: name both in apps: of leeward.yaml, one of them with path: {folder}"
            return (Diagnostic("info", "front-end", what, fix),)
    return ()


def graft(part: Contribution, joined: Joined) -> Contribution:
    """The leading language's part with the other one in it."""
    stages = [_with_made(stage, joined.made, joined.done) for stage in part.blueprint.stages]
    if joined.run:
        last = stages[-1]
        place = next((i for i, step in enumerate(last.steps) if isinstance(step, Copy)), len(last.steps))
        stages[-1] = replace(last, steps=(*last.steps[:place], *joined.run, *last.steps[place:]))
    names = {stage.name for stage in joined.stages}
    first = next((i for i, stage in enumerate(stages) if _uses(stage, names)), len(stages) - 1)
    stages[first:first] = joined.stages
    return replace(
        part,
        blueprint=Blueprint(tuple(stages), part.blueprint.command),
        versions={**part.versions, **joined.versions},
        decisions=(*part.decisions, *joined.decisions),
        diagnostics=(*part.diagnostics, *joined.diagnostics),
        secrets=tuple(sorted({*part.secrets, *joined.secrets})),
        key_files=tuple(dict.fromkeys((*part.key_files, *joined.key_files))),
        ignore=tuple(dict.fromkeys((*part.ignore, *joined.ignore))),
    )


def _uses(stage: Stage, names: set[str]) -> bool:
    return any(isinstance(step, Copy) and step.stage in names for step in stage.steps)


def _with_made(stage: Stage, made: tuple[Copy, ...], done: Mapping[str, str]) -> Stage:
    """The stage with what was made put over the code, wherever all of that comes in."""
    if not made or stage.name == "install":
        return stage
    places = [
        i for i, step in enumerate(stage.steps) if isinstance(step, Copy) and not step.stage and step.sources == (".",)
    ]
    if not places:
        return stage
    code = stage.steps[places[-1]]
    assert isinstance(code, Copy)
    over: list[Instruction] = [Copy(copy.sources, code.target, copy.stage, code.owned) for copy in made]
    if done and stage.name == "build":
        over.append(Env(done))
    return replace(stage, steps=(*stage.steps[: places[-1] + 1], *over, *stage.steps[places[-1] + 1 :]))


def _aside(context: Context) -> Context:
    """The context without what the user says of the leading language."""
    build = context.spec.build.model_copy(update={"command": None, "install_command": None, "output": None})
    kept = {name: said for name, said in context.foreign.options.items() if name not in _OWN_COMMANDS}
    return replace(
        context,
        spec=context.spec.model_copy(update={"build": build}),
        env={name: value for name, value in context.env.items() if not name.endswith(_OWN_COMMANDS)},
        foreign=replace(context.foreign, options=kept),
    )


# --- Node beside another language ---------------------------------------------------------------------------


def _node(context: Context, wanted: bool, commands: Sequence[str]) -> Joined | None:
    view, own = context.view, _aside(context)
    try:
        project = Project(view, view.json(FILE), view, "", node_workspace.at(view))
    except PlanFailed:
        if wanted:
            raise
        return None
    runs = wanted or any(_NODE.search(command) for command in commands)
    if not project.script("build") and not runs:
        return None
    version = choose(NODE, node_versions.demands(own, project), own.remembered)
    manager = node_managers.manager(project)
    packages = system_packages.find(
        system_packages.NODE, ((name, project.key_at(name)) for name in sorted(project.all_dependencies))
    )
    steps = node_stages.steps(own, project, manager, version.name, packages.build)
    install = replace(steps.stages[0], name=_INSTALL)
    stages = [install]
    if steps.built:
        *before, build = steps.stages[1].steps
        parts = (*before, Run((f"touch {_BEGAN}",)), build, Run(_MADE))
        stages.append(Stage(_BUILD, _INSTALL, parts))
    run: tuple[Instruction, ...] = ()
    if runs:
        stages.append(Stage(_MODULES, _INSTALL, (_pruned(project, manager, steps.scope),)))
        run = _node_at_run(packages.run, commands)
    place = project.script_at("build") if steps.built else Evidence(FILE)
    role = "builds the assets" if steps.built else ""
    role = " and ".join(filter(None, (role, "is in the image" if runs else "")))
    return Joined(
        "node",
        tuple(stages),
        {"node": version.name},
        (Decision("second language", f"node {role}", (place,)), version.decision, *steps.decisions),
        (*version.diagnostics, *manager.notes),
        steps.secrets,
        () if steps.whole_tree else manager.files,
        IGNORE[:2],
        (Copy(("/out",), "", stage=_BUILD),) if steps.built else (),
        run,
    )


def _pruned(project: Project, manager: Manager, secrets: tuple[str, ...]) -> Run:
    prune = manager.without_dev if project.has_dev_dependencies else ()
    seen = secrets if prune else ()
    return Run((*prune, "mkdir -p node_modules"), network=bool(prune), caches=(manager.cache,), secrets=seen)


def _node_at_run(packages: Sequence[str], commands: Sequence[str]) -> tuple[Instruction, ...]:
    """Node itself with the modules; npm and the like only where a command calls them."""
    tools = "/usr/local/lib/node_modules"
    called = any(re.search(r"(?:^|[\s;&|(])(?:npm|npx|pnpm|yarn|bun)\b", command) for command in commands)
    steps: list[Instruction] = [
        Packages(tuple(sorted({"libatomic1", "libstdc++6", *packages}))),
        Copy(("/usr/local/bin/node",), "/usr/local/bin/", stage=_INSTALL),
    ]
    if called:
        links = [f"ln -s {tools}/npm/bin/{name}-cli.js /usr/local/bin/{name}" for name in ("npm", "npx")]
        for tool, package, program in (
            ("pnpm", "pnpm", "bin/pnpm.cjs"),
            ("yarn", "yarn", "bin/yarn.js"),
            ("yarn", "@yarnpkg/cli-dist", "bin/yarn.js"),
            ("bun", "bun", "bin/bun.exe"),
        ):
            place = f"{tools}/{package}"
            links.append(f"if [ -e {place} ]; then {node_stages.link(place, program, tool)}; fi")
        steps += [Copy((tools,), tools, stage=_INSTALL), Run(tuple(links))]
    return (*steps, Copy(("/app/node_modules",), "/app/node_modules", stage=_MODULES))


# --- Python beside Node -------------------------------------------------------------------------------------


def _python_asked(context: Context, wanted: bool, commands: Sequence[str]) -> bool:
    found = Python().detect(context.view)
    if found is None:
        return False
    return wanted or (found.score >= 80 and any(_PYTHON.search(command) for command in commands))


def _python(context: Context, wanted: bool, commands: Sequence[str]) -> Joined:
    own = _aside(context)
    # Whatever the files ask for, Node's base images have only this one.
    only = replace(own, env={**own.env, "PLAN_PYTHON_VERSION": _PYTHON_HERE}, start=None)
    part = Python().plan(only)
    build = replace(part.blueprint.stages[0], name="python-build")
    image = part.blueprint.stages[-1]
    packages = {name for step in image.steps if isinstance(step, Packages) for name in step.names}
    because = next((f"a command calls python: {command[:60]}" for command in commands if _PYTHON.search(command)), "")
    place = Evidence("variable PLAN_PROVIDERS") if wanted else Evidence(FILE, 0, because)
    managed = tuple(decision for decision in part.decisions if decision.topic == "package manager")
    run: tuple[Instruction, ...] = (
        Packages(tuple(sorted({"python3", "python-is-python3", *packages}))),
        Copy(("/opt/venv",), "/opt/venv", stage="python-build", dependencies=True),
        Env({"PATH": "/opt/venv/bin:$PATH", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}),
    )
    return Joined(
        "python",
        (build,),
        {"python": _PYTHON_HERE},
        (
            Decision("second language", "python is in the image", (place,)),
            Decision("python version", _PYTHON_HERE, (Evidence("the Python of Node's base images"),)),
            *(replace(decision, topic="python packages") for decision in managed),
        ),
        tuple(note for note in part.diagnostics if note.code == "not-pinned"),
        part.secrets,
        part.key_files,
        run=run,
    )
