"""Plan a Node app: a server, or a site of files that Node builds."""

from collections.abc import Sequence

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Packages, Run, Stage, User, Workdir
from leeward.builders.catalogue import NODE
from leeward.builders.providers import node_frameworks, node_project, static_site
from leeward.builders.providers.node_frameworks import Site
from leeward.builders.providers.node_project import FILE, Manager, Project
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.providers.python_install import key_copies
from leeward.builders.tree import AppView
from leeward.builders.versions import choose
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb")
_BUILD_CACHE = Cache("node-build", "/app/node_modules/.cache")
_NEXT_CACHE = Cache("next", "/app/.next/cache")
_BUILD_ENV = {"NEXT_TELEMETRY_DISABLED": "1", "ASTRO_TELEMETRY_DISABLED": "1", "GATSBY_TELEMETRY_DISABLED": "1"}
_RUN_ENV = {
    "HOME": "/tmp",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NODE_ENV": "production",
    "PATH": "/app/node_modules/.bin:$PATH",
    "PORT": "8080",
}
# Where each framework puts files whose names hold a hash of what is in them.
_HASHED = {
    "vite": "assets",
    "create-react-app": "static",
    "next": "_next/static",
    "astro": "_astro",
    "docusaurus": "assets",
}
_INSTALL_SCOPE = ("NODE_", "NPM_", "PNPM_", "YARN_", "BUN_")
_IGNORE = ("node_modules", "**/node_modules", ".next", ".nuxt", ".env", ".env.local", ".env.*.local", "npm-debug.log")
# A build reads these files and writes only what is meant for browsers into the site.
_SITE_IGNORE = tuple(pattern for pattern in _IGNORE if pattern != ".env")


class Node:
    """Node apps: npm, pnpm, yarn 1; Express and any other server, Next; Vite, CRA, Astro and others as files."""

    name = "node"
    looked_for = ("package.json",)

    def detect(self, view: AppView) -> Detection | None:
        """By `package.json`."""
        if not view.has(FILE):
            return None
        lock = view.first(*_LOCKS)
        return Detection(90 if lock else 80, (Evidence(FILE), *((Evidence(lock),) if lock else ())))

    def plan(self, context: Context) -> Contribution:
        """Version, dependencies, then either a site or a server."""
        project = Project(context.view, context.view.json(FILE))
        version = choose(NODE, node_project.demands(context, project), context.remembered)
        manager = node_project.manager(project)
        packages = system_packages.find(
            system_packages.NODE,
            ((name, project.key_at(name)) for name in sorted(project.all_dependencies)),
            asked(context),
        )
        site = None if context.start else _site(context, project)
        install = _install(context, project, manager, version.name, packages.build)
        said = context.build_command()
        build = said[0] if said else f"{manager.name} run build" if project.script("build") else ""
        secrets = context.secrets("")
        build_stage = _build(context, project, build, secrets) if build else None
        decisions = [
            version.decision,
            Decision("package manager", manager.name, (manager.evidence,), manager.alternatives),
        ]
        decisions += packages.decisions
        if build:
            decisions.append(Decision("build command", build, (said[1] if said else project.script_at("build"),)))
        if reason := project.whole_tree():
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        whole = project.whole_tree() is not None or context.install_command() is not None
        shared = Contribution(
            Blueprint(()),
            manager.name,
            {"node": version.name},
            decisions=tuple(decisions),
            diagnostics=(*version.diagnostics, *manager.notes),
            secrets=tuple(sorted({*context.secrets(*_INSTALL_SCOPE), *(secrets if build else ())})),
            key_files=() if whole else manager.files,
        )
        if site:
            return _as_site(shared, site, install, build_stage)
        return _as_server(context, project, manager, shared, install, build_stage, version.name, packages.run)

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a 'start' script to package.json, a Procfile, or processes.web.command in leeward.yaml"


def _site(context: Context, project: Project) -> Site | None:
    found = node_frameworks.site(project)
    if (said := context.output()) and (found or project.script("build")):
        output = said[0].strip("/").removeprefix("./")
        return Site(found.framework if found else "site", output, said[1], found.spa if found else True)
    return found


def _install(context: Context, project: Project, manager: Manager, version: str, packages: tuple[str, ...]) -> Stage:
    own = context.install_command()
    secrets = context.secrets(*_INSTALL_SCOPE)
    whole = own is not None or project.whole_tree() is not None
    steps: list[Instruction] = [Packages(packages)] if packages else []
    steps += [Workdir("/app"), *((Copy((".",), "./"),) if whole else key_copies(manager.files))]
    steps.append(
        Run(
            (own[0],) if own else manager.install,
            network=True,
            verbatim=own is not None,
            caches=(Cache(manager.name, manager.cache),),
            secrets=secrets,
            fingerprint=context.fingerprint(secrets),
        )
    )
    return Stage("install", f"node{version}-build", tuple(steps))


def _build(context: Context, project: Project, command: str, secrets: tuple[str, ...]) -> Stage:
    caches = (_BUILD_CACHE, _NEXT_CACHE) if "next" in project.all_dependencies else (_BUILD_CACHE,)
    run = Run(
        (command,),
        network=True,
        verbatim=True,
        caches=caches,
        secrets=secrets,
        fingerprint=context.fingerprint(secrets),
    )
    path = Env({**_BUILD_ENV, "PATH": _RUN_ENV["PATH"]})
    return Stage("build", "install", (path, Copy((".",), "./"), run))


def _as_site(shared: Contribution, site: Site, install: Stage, build: Stage | None) -> Contribution:
    if not SAFE_PATH.fullmatch(site.output) or ".." in site.output.split("/"):
        raise PlanFailed(
            f"'{site.output}' is not a directory of the app", hint="set build.output to the build's result"
        )
    copies = (Copy((f"/app/{site.output}",), static_site.ROOT, stage="build" if build else "install", owned=True),)
    stages = (install, build) if build else (install,)
    unknown = "answered by index.html" if site.spa else "answered by 404"
    return Contribution(
        static_site.blueprint(stages, copies, site.spa, _HASHED.get(site.framework, "")),
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
    )


def _as_server(
    context: Context,
    project: Project,
    manager: Manager,
    shared: Contribution,
    install: Stage,
    build: Stage | None,
    version: str,
    packages: tuple[str, ...],
) -> Contribution:
    standalone = node_frameworks.standalone(context.view) if "next" in project.all_dependencies and build else None
    modules: Sequence[Stage] = ()
    before: list[Instruction] = [Packages(packages)] if packages else []
    before.append(Env(_RUN_ENV))
    if standalone and not context.start:
        copies = [
            Copy(("/app/.next/standalone",), "/app", stage="build", owned=True),
            Copy(("/app/.next/static",), "/app/.next/static", stage="build", owned=True),
        ]
        if any(path.startswith("public/") for path in context.view.paths):
            copies.append(Copy(("public",), "/app/public", owned=True))
    else:
        modules, source = _modules(project, manager, install)
        copies = [Copy(("/app/node_modules",), "/app/node_modules", stage=source)] if project.all_dependencies else []
        if build:
            build = Stage(build.name, build.base, (*build.steps, Run(_OUTPUT)))
            copies.append(Copy(("/out",), "/app", stage="build", owned=True))
        else:
            copies.append(Copy((".",), "/app", owned=True))
    run = Stage("run", f"node{version}", (*before, Workdir("/app"), *copies, User("1000:1000")))
    next_at = (
        project.key_at("next", "Next keeps pages that it renders beside its code")
        if "next" in project.all_dependencies
        else None
    )
    return Contribution(
        Blueprint((install, *modules, *((build,) if build else ()), run)),
        shared.package_manager,
        shared.versions,
        node_frameworks.server(project),
        decisions=shared.decisions,
        diagnostics=shared.diagnostics,
        secrets=shared.secrets,
        key_files=shared.key_files,
        ignore=_IGNORE,
        writable=next_at,
    )


# Everything but the modules, which are a layer of their own; there may be none.
_OUTPUT = (
    "mkdir /out",
    "find . -mindepth 1 -maxdepth 1 ! -name node_modules ! -name .git -exec cp -a {} /out/ ';'",
    "rm -rf /out/.next/cache",
)


def _modules(project: Project, manager: Manager, install: Stage) -> tuple[tuple[Stage, ...], str]:
    """Where the modules for run time come from: the install stage, or one without those for the build."""
    if not project.has_dev_dependencies:
        return (), install.name
    cache = Cache(manager.name, manager.cache)
    prune = Stage(
        "modules", install.name, (Run((manager.prune, "mkdir -p node_modules"), network=True, caches=(cache,)),)
    )
    return (prune,), prune.name
