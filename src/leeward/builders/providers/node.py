"""Plan a Node app: a server, or a site of files that Node builds."""

import re
from dataclasses import dataclass

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Copy, Env, Instruction, Packages, Stage
from leeward.builders.catalogue import NODE
from leeward.builders.providers import (
    built,
    node_frameworks,
    node_managers,
    node_nx,
    node_servers,
    node_stages,
    node_target,
    node_versions,
    static_site,
)
from leeward.builders.providers.node_config import standalone
from leeward.builders.providers.node_frameworks import Site
from leeward.builders.providers.node_managers import LOCKS, Manager
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.node_stages import Steps
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import Chosen, choose
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

RUN_ENV = {
    "HOME": "/tmp",
    "HOST": "0.0.0.0",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NODE_ENV": "production",
    "PORT": "8080",
}
# Where each framework puts files whose names hold a hash of what is in them.
_HASHED = {
    "vite": "assets",
    "create-react-app": "static",
    "next": "_next/static",
    "astro": "_astro",
    "docusaurus": "assets",
    "nuxt": "_nuxt",
    "react-router": "assets",
    "sveltekit": "_app/immutable",
    "expo": "_expo/static",
}
IGNORE = ("node_modules", "**/node_modules", ".next", ".nuxt", ".env", ".env.local", ".env.*.local", "npm-debug.log")
# A build reads these files and writes only what is meant for browsers into the site.
_SITE_IGNORE = tuple(pattern for pattern in IGNORE if pattern != ".env")
_BROWSERS = {"puppeteer": {"PUPPETEER_EXECUTABLE_PATH": "/usr/bin/chromium"}}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was decided of an app before it is a site or a server."""

    context: Context
    project: Project
    manager: Manager
    version: Chosen
    steps: Steps
    packages: tuple[str, ...]
    shared: Contribution


class Node:
    """Node apps: npm, pnpm, yarn, bun; servers of any framework; sites of files that a build makes."""

    name = "node"
    looked_for = (FILE,)

    def detect(self, view: AppView) -> Detection | None:
        """By `package.json`."""
        if not view.has(FILE):
            return None
        lock = view.first(*(lock for locks in LOCKS.values() for lock in locks))
        return Detection(90 if lock else 80, (Evidence(FILE), *((Evidence(lock),) if lock else ())))

    def plan(self, context: Context) -> Contribution:
        """Version, dependencies, then either a site or a server."""
        project, chosen = node_target.project(context)
        version = choose(NODE, node_versions.demands(context, project), context.remembered)
        manager = node_managers.manager(project)
        browser = [("chromium", project.key_at("playwright"))] if node_stages.playwright(context, project) else []
        found = system_packages.find(
            system_packages.NODE,
            ((name, project.key_at(name)) for name in sorted(project.all_dependencies)),
            [*asked(context), *browser],
        )
        nx = node_nx.find(context, project)
        site = None if context.start else _site(context, project, nx)
        usual = (nx.command, nx.evidence) if nx else (site.command, site.evidence) if site and site.command else None
        steps = node_stages.steps(context, project, manager, version.name, found.build, usual)
        decisions = [
            *chosen,
            version.decision,
            Decision("package manager", _named(manager), (manager.evidence,), manager.alternatives),
            *found.decisions,
            *steps.decisions,
        ]
        shared = Contribution(
            Blueprint(()),
            manager.name,
            {"node": version.name},
            decisions=tuple(decisions),
            diagnostics=(*version.diagnostics, *manager.notes, *_notes(context, project)),
            secrets=steps.secrets,
            key_files=() if steps.whole_tree else manager.files,
            context=project.root.name if project.workspace else None,
        )
        parts = _Parts(context, project, manager, version, steps, found.run, shared)
        if site:
            return _as_site(parts, site)
        return _as_server(parts, nx.start if nx else None)

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a 'start' script to package.json, a Procfile, or processes.web.command in leeward.yaml"


def _named(manager: Manager) -> str:
    return f"{manager.name} {manager.version}".strip()


def _site(context: Context, project: Project, nx: node_nx.Target | None) -> Site | None:
    found = nx.site if nx else node_frameworks.site(project)
    if found and not context.output() and context.option("NO_SPA"):
        return None
    if (said := context.output()) and (found or project.script("build")):
        output = said[0].strip("/").removeprefix("./")
        return Site(found.framework if found else "site", output, said[1], found.spa if found else True)
    return found


def _notes(context: Context, project: Project) -> tuple[Diagnostic, ...]:
    known, notes = project.all_dependencies, []
    adapters = {name for name in known if name.startswith("@sveltejs/adapter-")}
    if "@sveltejs/kit" in known and adapters == {"@sveltejs/adapter-auto"} and context.start is None:
        what = "SvelteKit's adapter-auto makes nothing that runs here"
        notes.append(Diagnostic("error", "svelte-adapter", what, "use @sveltejs/adapter-node or adapter-static"))
    if "playwright" in project.dependencies and not context.option("NODE_PLAYWRIGHT_INSTALL", "PLAYWRIGHT_INSTALL"):
        what = "playwright brings no browser by itself"
        fix = "set PLAN_PLAYWRIGHT_INSTALL=1 to install its Chromium, or PLAN_APT_PKGS=chromium to use Debian's"
        notes.append(Diagnostic("warning", "browser", what, fix))
    return tuple(notes)


def _as_site(parts: _Parts, site: Site) -> Contribution:
    output = f"{parts.project.folder}/{site.output}".lstrip("/")
    if not SAFE_PATH.fullmatch(site.output) or ".." in site.output.split("/"):
        raise PlanFailed(
            f"'{site.output}' is not a directory of the app", hint="set build.output to the build's result"
        )
    stages, shared = parts.steps, parts.shared
    copies = (Copy((f"/app/{output}",), static_site.ROOT, stage=stages.last, owned=True),)
    unknown = "answered by index.html" if site.spa else "answered by 404"
    return Contribution(
        static_site.blueprint(stages.stages, copies, site.spa, _HASHED.get(site.framework, "")),
        shared.package_manager,
        shared.versions,
        Start(static_site.COMMAND, (Evidence("base image", 0, "nginx serves the files"),)),
        health=("/", site.evidence),
        decisions=(
            *shared.decisions,
            Decision("framework", site.framework, (site.evidence,)),
            Decision("site", site.output, (site.evidence,)),
            Decision("unknown paths", unknown, (site.evidence,)),
        ),
        diagnostics=shared.diagnostics,
        secrets=shared.secrets,
        key_files=shared.key_files,
        ignore=_SITE_IGNORE,
        own_command=True,
        context=shared.context,
    )


def _as_server(parts: _Parts, started: Start | None) -> Contribution:
    context, project, manager, shared = parts.context, parts.project, parts.manager, parts.shared
    start = started or node_servers.server(project, manager.name)
    first = context.start or start
    command = first.command if first else ""
    alone = standalone(project.view) if "next" in project.all_dependencies and parts.steps.built else None
    path = ":".join([*([f"{project.at}/node_modules/.bin"] if project.folder else []), "/app/node_modules/.bin"])
    env = {**RUN_ENV, "PATH": f"{path}:$PATH"}
    env |= node_stages.PLAYWRIGHT_ENV if node_stages.playwright(context, project) else {}
    for package, more in _BROWSERS.items():
        env |= more if package in project.all_dependencies else {}
    before: list[Instruction] = [Packages(parts.packages)] if parts.packages else []
    own: list[Instruction] = [Env(env), *node_stages.tools(manager, [command, *context.commands])]
    kept: tuple[Decision, ...] = ()
    if alone and not context.start:
        stages, copies = parts.steps.stages, _standalone(project)
    else:
        needed = node_stages.needed_at_run(project, [command, *context.commands], context)
        kept = (Decision("dev dependencies", "kept", (needed,)),) if needed else ()
        keep = needed is not None
        # Nitro's output brings its own modules.
        complete = ".output" if command == "node .output/server/index.mjs" and not context.commands else ""
        stages, copies = node_stages.server(project, manager, parts.steps, keep_dev=keep, complete=complete)
    run = Stage("run", f"node{parts.version.name}", built.image(before, own, project.at, copies))
    return Contribution(
        Blueprint((*stages, run)),
        shared.package_manager,
        shared.versions,
        start,
        _migrations(project, command),
        decisions=(*shared.decisions, *kept),
        diagnostics=(*shared.diagnostics, *node_servers.fixed_port(project, command)),
        secrets=shared.secrets,
        key_files=shared.key_files,
        ignore=IGNORE,
        writable=_writable(project),
        context=shared.context,
    )


def _standalone(project: Project) -> tuple[Copy, ...]:
    below = f"{project.folder}/" if project.folder else ""
    made = f"/app/{below}.next"
    copies = [
        Copy((f"{made}/standalone",), "/app", stage="build", owned=True),
        Copy((f"{made}/static",), f"{made}/static", stage="build", owned=True),
    ]
    if any(path.startswith("public/") for path in project.view.paths):
        copies.append(Copy((f"{below}public",), f"/app/{below}public", owned=True))
    return tuple(copies)


def _writable(project: Project) -> Evidence | None:
    if "next" not in project.all_dependencies:
        return None
    return project.key_at("next", "Next keeps pages that it renders beside its code")


def _migrations(project: Project, command: str) -> Start | None:
    """Prisma's migrations, where its tool is there at run time and the start does not run them itself."""
    found = next((path for path in project.view.paths if path.startswith("prisma/migrations/")), None)
    if found is None or "prisma" not in project.dependencies or re.search(r"\bmigrate\b", command):
        return None
    return Start("prisma migrate deploy", (Evidence(found),))
