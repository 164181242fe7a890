"""Write the steps that install, build and prune a Node app."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from leeward.builders.blueprint import Cache, Copy, Env, Instruction, Packages, Run, Stage, Workdir
from leeward.builders.loose import text
from leeward.builders.providers.node_managers import LOCKS, Manager
from leeward.builders.providers.node_project import Project
from leeward.builders.providers.provider import Context
from leeward.builders.providers.python_install import key_copies
from leeward.model.build import Decision, Evidence

BUILD_ENV = {
    "ASTRO_TELEMETRY_DISABLED": "1",
    "GATSBY_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NUXT_TELEMETRY_DISABLED": "1",
    "TURBO_TELEMETRY_DISABLED": "1",
}
_INSTALL_ENV = {
    # Neither hooks for a developer nor a browser of its own.
    "HUSKY": "0",
    "PUPPETEER_SKIP_DOWNLOAD": "1",
}
# The browser lies beside the package, and so goes wherever that goes.
PLAYWRIGHT_ENV = {"PLAYWRIGHT_BROWSERS_PATH": "0"}
_INSTALL_SCOPE = ("NODE_", "NPM_", "PNPM_", "YARN_", "BUN_")
# Everything but the modules, which are a layer of their own; there may be none.
_OUTPUT = (
    "mkdir /out",
    "find . -mindepth 1 -maxdepth 1 ! -name node_modules ! -name .git -exec cp -a {} /out/ ';'",
    "rm -rf /out/.next/cache",
)
_MODULES = "/modules"
# The program that a script calls, to the package that brings it where the names differ.
_PROGRAMS = {
    "nest": "@nestjs/cli",
    "ng": "@angular/cli",
    "remix-serve": "@remix-run/serve",
    "react-router-serve": "@react-router/serve",
    "fastify": "fastify-cli",
    "dotenv": "dotenv-cli",
    "tsc": "typescript",
    "vue-cli-service": "@vue/cli-service",
    "sequelize": "sequelize-cli",
    "sequelize-cli": "sequelize-cli",
    "drizzle-kit": "drizzle-kit",
}
# Where npm puts a tool that is installed globally, and which file of it is the program.
_TOOLS = {
    "pnpm": ("pnpm", "bin/pnpm.cjs"),
    "yarn": ("yarn", "bin/yarn.js"),
    "bun": ("bun", "bin/bun.exe"),
}


@dataclass(frozen=True, slots=True)
class Steps:
    """The stages that install and build, and what was decided with them."""

    stages: tuple[Stage, ...]
    built: bool
    whole_tree: bool
    secrets: tuple[str, ...]
    decisions: tuple[Decision, ...]
    scope: tuple[str, ...] = ()
    """Those of `secrets` that an install sees."""

    @property
    def last(self) -> str:
        """The stage that holds the result."""
        return self.stages[-1].name


def steps(
    context: Context,
    project: Project,
    manager: Manager,
    version: str,
    packages: tuple[str, ...],
    usual: tuple[str, Evidence] | None = None,
) -> Steps:
    """Install and build; `usual` is the command where no script says how it is built."""
    own, said = context.install_command(), context.build_command()
    reason = project.whole_tree()
    whole = own is not None or reason is not None
    install = _install(context, project, manager, version, packages, whole)
    secrets = context.secrets("")
    written = said or usual
    commands = (written[0],) if written else _builds(project, manager)
    decisions = []
    if written or project.script("build"):
        place = written[1] if written else project.script_at("build")
        decisions.append(Decision("build command", " && ".join(commands), (place,)))
    elif commands:
        decisions.append(Decision("build command", " && ".join(commands), (Evidence("packages that it needs"),)))
    if own:
        decisions.append(Decision("install command", own[0], (own[1],)))
    elif reason:
        decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
    stages = (install, _build(context, project, commands, secrets)) if commands else (install,)
    names = {*context.secrets(*_INSTALL_SCOPE), *(secrets if commands else ())}
    scope = context.secrets(*_INSTALL_SCOPE)
    return Steps(stages, bool(commands), whole, tuple(sorted(names)), tuple(decisions), scope)


def _builds(project: Project, manager: Manager) -> tuple[str, ...]:
    """The build of the app after those of the packages that it needs."""
    found = [
        f"(cd {shlex.quote(f'/app/{member.folder}')} && {manager.run('build')})"
        for member in project.siblings
        if text(member.manifest, "scripts", "build")
    ]
    if project.script("build"):
        found.append(f"cd {shlex.quote(project.at)} && {manager.run('build')}" if found else manager.run("build"))
    return tuple(found)


def _install(
    context: Context, project: Project, manager: Manager, version: str, packages: tuple[str, ...], whole: bool
) -> Stage:
    own = context.install_command()
    secrets = context.secrets(*_INSTALL_SCOPE)
    caches = (manager.cache,)
    made: list[Instruction] = [Packages(packages)] if packages else []
    if manager.setup:
        made.append(Run(manager.setup, network=True, caches=(Cache("npm", "/root/.npm"),)))
    browser = playwright(context, project)
    env = {**_INSTALL_ENV, **manager.env, **(PLAYWRIGHT_ENV if browser else {})}
    made += [Workdir("/app"), Env(env)]
    fingerprint = context.fingerprint(secrets)
    if manager.fetch and not whole:
        # What the lock file names, apart from the scripts and settings of package.json.
        first = tuple(
            path for path in manager.files if path in (*LOCKS["pnpm"], ".npmrc") or path.startswith("patches/")
        )
        made += [*key_copies(first), Run(manager.fetch, True, caches=caches, secrets=secrets, fingerprint=fingerprint)]
    made += [Copy((".",), "./")] if whole else key_copies(manager.files)
    commands = (own[0],) if own else (*manager.install, *_generate(project), *browser)
    made.append(
        Run(commands, network=True, verbatim=own is not None, caches=caches, secrets=secrets, fingerprint=fingerprint)
    )
    return Stage("install", f"node{version}-build", tuple(made))


def playwright(context: Context, project: Project) -> tuple[str, ...]:
    """Install Playwright's own browser among the modules, where that is wanted."""
    if "playwright" not in project.dependencies or not context.option("PLAYWRIGHT_INSTALL", "NODE_PLAYWRIGHT_INSTALL"):
        return ()
    return ("npx --no-install playwright install chromium",)


def _generate(project: Project) -> tuple[str, ...]:
    """Prisma's client is made from the schema; a script of the project may do it itself."""
    scripts = (*(script for _, script in project.install_scripts), project.script("build"), project.script("prebuild"))
    if not project.schema_files() or any("prisma generate" in script for script in scripts):
        return ()
    if "prisma" not in project.all_dependencies:
        return ()
    where = f"cd {shlex.quote(project.at)} && " if project.folder else ""
    return (f"sh -c {shlex.quote(f'{where}npx --no-install prisma generate')}",)


def _build(context: Context, project: Project, commands: tuple[str, ...], secrets: tuple[str, ...]) -> Stage:
    caches = [Cache("node-build", f"{project.at}/node_modules/.cache")]
    if "next" in project.all_dependencies:
        caches.append(Cache("next", f"{project.at}/.next/cache"))
    run = Run(
        (" && ".join(commands),),
        network=True,
        verbatim=True,
        caches=tuple(caches),
        secrets=secrets,
        fingerprint=context.fingerprint(secrets),
    )
    bins = [f"{project.at}/node_modules/.bin"] if project.folder else []
    path = Env({**BUILD_ENV, "PATH": ":".join([*bins, "/app/node_modules/.bin", "$PATH"])})
    there: tuple[Instruction, ...] = (Workdir(project.at),) if project.folder else ()
    return Stage("build", "install", (path, Copy((".",), "/app/" if project.folder else "./"), *there, run))


def server(
    project: Project, manager: Manager, made: Steps, *, keep_dev: bool, complete: str = ""
) -> tuple[tuple[Stage, ...], tuple[Copy, ...]]:
    """All stages before the image of a server, and what it takes of them: the modules, then the code; or only the
    directory `complete`, which holds all that is needed."""
    install, *rest = made.stages
    stages: list[Stage] = [install]
    if complete and rest:
        return made.stages, (
            Copy((f"{project.at}/{complete}",), f"{project.at}/{complete}", stage="build", owned=True),
        )
    source, from_path, to = install.name, "/app/node_modules", "/app/node_modules"
    prune = project.has_dev_dependencies and not keep_dev
    if project.workspace:
        source, from_path, to = "modules", _MODULES, "/app"
    if prune or project.workspace:
        commands = (*(manager.without_dev if prune else ()), *(_gather() if project.workspace else _there()))
        source = "modules"
        secrets = made.scope if prune else ()
        stages.append(
            Stage(source, install.name, (Run(commands, network=prune, caches=(manager.cache,), secrets=secrets),))
        )
    any_modules = bool(project.all_dependencies) or project.workspace is not None
    copies = [Copy((from_path,), to, stage=source, dependencies=True)] if any_modules else []
    if rest or project.workspace:
        build = rest[0] if rest else Stage("build", install.name, (Copy((".",), "/app/" if project.folder else "./"),))
        stages.append(Stage(build.name, build.base, (*build.steps, Run(_output(project)))))
        copies.append(Copy(("/out",), "/app", stage="build", owned=True))
    else:
        copies.append(Copy((".",), "/app", owned=True))
    return tuple(stages), tuple(copies)


def _there() -> tuple[str, ...]:
    return ("mkdir -p node_modules",)


def _gather() -> tuple[str, ...]:
    """The modules of all packages in one place, each at its path."""
    return (
        f"mkdir {_MODULES}",
        f"find . -name node_modules -type d -prune -exec cp -a --parents {{}} {_MODULES} ';'",
    )


def _output(project: Project) -> tuple[str, ...]:
    if not project.workspace:
        return _OUTPUT
    wanted = {member.folder for member in (*project.siblings, project.member) if member}
    others = [m.folder for m in project.workspace.members if project.member and m.folder not in wanted]
    apart = [each for each in others if not any(keep.startswith(f"{each}/") for keep in wanted)]
    left_out = " ".join(f"--exclude=./{folder}" for folder in apart)
    return (
        "mkdir /out",
        "tar -C /app -cf - --anchored --exclude=./.git --exclude=./.turbo "
        f"{left_out} --no-anchored --exclude=node_modules . | tar -C /out -xf -".replace("  ", " "),
        f"rm -rf /out/{project.folder}/.next/cache" if project.folder else "rm -rf /out/.next/cache",
    )


def needed_at_run(project: Project, commands: Iterable[str], context: Context) -> Evidence | None:
    """Why what is installed for the build must be there at run time too."""
    if (option := context.option("PRUNE_DEPS")) and option[0].lower() in ("0", "false", "no", "off"):
        return option[1]
    for command in commands:
        for word in re.findall(r"[@A-Za-z0-9_./-]+", command):
            package = _PROGRAMS.get(word, word)
            if package in project.dev_dependencies:
                return project.key_at(package, f"the start command uses {package}")
    return None


def link(place: str, program: str, name: str) -> str:
    """Put a tool on the path; the ending of its program differs between its releases."""
    stem = program.rpartition(".")[0]
    return f"ln -s $(ls {place}/{stem}.* | head -n 1) /usr/local/bin/{name}"


def tools(manager: Manager, commands: Iterable[str]) -> tuple[Instruction, ...]:
    """The package manager itself, where a command of the image calls it."""
    found: list[Instruction] = []
    for name, (package, program) in _TOOLS.items():
        if name != manager.name or not any(re.search(rf"(?:^|[\s;&|(]){name}x?\b", command) for command in commands):
            continue
        if name == "yarn" and any("cli-dist" in command for command in manager.setup):
            package = "@yarnpkg/cli-dist"
        place = f"/usr/local/lib/node_modules/{package}"
        if name == "bun":
            found.append(Copy((f"{place}/{program}",), "/usr/local/bin/bun", stage="install"))
            found.append(Run(("ln -s bun /usr/local/bin/bunx",)))
        else:
            found.append(Copy((place,), place, stage="install"))
            found.append(Run((link(place, program, name),)))
    return tuple(found)
