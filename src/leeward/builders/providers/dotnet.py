"""Plan a .NET app."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Stage, Workdir
from leeward.builders.catalogue import DOTNET
from leeward.builders.loose import text as word
from leeward.builders.providers import built, foreign
from leeward.builders.providers.deno_config import config
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import Chosen, Demand, choose, pinned
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

GLOBAL = "global.json"
_KINDS = (".csproj", ".fsproj", ".vbproj")
_SOLUTIONS = (".sln", ".slnx")
_BESIDE = re.compile(
    r"(?:.*/)?(?:Directory\.(?:Build|Packages)\.(?:props|targets)|nuget\.config|packages\.lock\.json)", re.I
)
_SCOPE = ("NUGET_", "DOTNET_", "VSS_NUGET_")
_CACHE = Cache("nuget", "/var/cache/nuget")
_ENV = {
    "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
    "DOTNET_NOLOGO": "1",
    "DOTNET_SKIP_FIRST_TIME_EXPERIENCE": "1",
    "NUGET_PACKAGES": _CACHE.target,
}
_HOME = "/usr/share/dotnet"
# A newer runtime runs what was built for an older one.
_RUN_ENV = {"DOTNET_ROLL_FORWARD": "Major", "DOTNET_EnableDiagnostics": "0", "PATH": f"{_HOME}:$PATH"}
# What Microsoft's runtime is linked against, or looks for when it starts.
_NEEDS = ("libicu76", "libssl3t64", "zlib1g")
_TARGET = re.compile(r"<TargetFrameworks?>\s*([^<]{1,200})</", re.I)
_NET = re.compile(r"net(\d{1,2})\.\d", re.I)
_WINDOWS = re.compile(r"net4\d{1,2}\b|net\d+\.\d-windows", re.I)
_SDK = re.compile(r"Sdk=\"([\w.]{1,80})", re.A)
_ASSEMBLY = re.compile(r"<AssemblyName>\s*([\w.-]{1,120})\s*</", re.A)
_TESTS = re.compile(r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>\s*true", re.I)
_EXE = re.compile(r"<OutputType>\s*Exe\s*</", re.I)
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}\.\d{3}", re.A)
_HEALTH = re.compile(r"""Map(?:HealthChecks|Get)\(\s*"(/(?:healthz?|livez|readyz|up))["']""")
_NAME = re.compile(r"[\w.-]{1,120}", re.A)
_IGNORE = (*built.IGNORE, "**/bin", "**/obj", "Dockerfile", ".dockerignore")


@dataclass(frozen=True, slots=True)
class Project:
    """One project that makes a program."""

    path: str
    kind: str
    """'web', 'worker' or 'console'."""
    assembly: str
    evidence: Evidence


class Dotnet:
    """.NET apps in C#, F# and Visual Basic: ASP.NET Core, workers and programs."""

    name = "dotnet"
    looked_for = ("*.csproj", "*.fsproj", "*.sln", GLOBAL)

    def detect(self, view: AppView) -> Detection | None:
        """By a project or a solution at the root."""
        here = [path for kind in (*_KINDS, *_SOLUTIONS) for path in view.top(kind)]
        if not here and not (view.has(GLOBAL) and _projects(view)):
            return None
        found = here[:2] or [GLOBAL]
        lock = view.has("packages.lock.json")
        return Detection(90 if lock else 80, tuple(Evidence(path) for path in found))

    def plan(self, context: Context) -> Contribution:
        """Version, the project that runs, and the stages."""
        view = context.view
        own = context.build_command()
        projects = _projects(view)
        project = None if own else _chosen(context, projects)
        version, tag = _version(context, project)
        image = foreign.image(context, "mcr.microsoft.com", "dotnet/sdk", tag)
        found = system_packages.find({}, (), asked(context))
        restore, commands, after = _commands(project, projects) if project else ((), (), ())
        files = _key_files(view)
        steps: tuple[Instruction, ...] = (
            *foreign.TRUSTED,
            *built.packages(found.build),
            Env(_ENV),
            Workdir("/app"),
            *built.install(context, files, restore, (_CACHE,), _SCOPE),
            *built.build(context, commands, (_CACHE,), _SCOPE, after=after),
        )
        copies = (
            *(Copy((f"{_HOME}/{part}",), f"{_HOME}/{part}", stage="build") for part in ("dotnet", "host", "shared")),
            *(
                (Copy(("/app",), "/app", stage="build", owned=True),)
                if own
                else (Copy(("/out/lib",), "/app", stage="build"), Copy(("/out/app",), "/app", stage="build"))
            ),
        )
        packages = tuple(dict.fromkeys((*_NEEDS, *found.run)))
        run = Stage("run", "debian13", built.run(packages, _RUN_ENV, copies))
        decisions = [version.decision, *found.decisions, *built.said(context)]
        if project:
            decisions.append(Decision("project", project.path, (project.evidence,), _others(project, projects)))
        return Contribution(
            Blueprint((foreign.TRUST, Stage("build", image, steps), run)),
            "nuget",
            {"dotnet": version.name},
            _start(project) if project else None,
            health=built.health(view, _sources(view, project), _HEALTH) if project and context.start is None else None,
            decisions=tuple(decisions),
            diagnostics=(*version.diagnostics, foreign.note(".NET's SDK", image), *_unpinned(view, projects)),
            secrets=built.secrets(context, _SCOPE),
            key_files=files,
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "set processes.web.command in leeward.yaml, as in 'dotnet out/Shop.dll'"


def _projects(view: AppView) -> tuple[Project, ...]:
    """The projects that make a program, those for the web first, tests left out."""
    paths = [path for path in view.paths if path.endswith(_KINDS) and path.count("/") <= 3]
    found = [project for path in sorted(paths)[:60] if (project := _project(view, path))]
    order = ("web", "worker", "console")
    return tuple(sorted(found, key=lambda project: (order.index(project.kind), project.path)))


def _project(view: AppView, path: str) -> Project | None:
    text = view.read(path)
    sdk = _SDK.search(text)
    stem = path.rpartition("/")[2].rpartition(".")[0]
    named = _ASSEMBLY.search(text)
    assembly = named[1] if named else stem
    if not sdk or _TESTS.search(text) or not _NAME.fullmatch(assembly) or not SAFE_PATH.fullmatch(path):
        return None
    where = view.where(path, sdk[0], f'{sdk[0]}"')
    match sdk[1]:
        case "Microsoft.NET.Sdk.Web" | "Microsoft.NET.Sdk.BlazorServer":
            return Project(path, "web", assembly, where)
        case "Microsoft.NET.Sdk.Worker":
            return Project(path, "worker", assembly, where)
        case "Microsoft.NET.Sdk" if _EXE.search(text):
            return Project(path, "console", assembly, where)
    return None


def _chosen(context: Context, projects: Sequence[Project]) -> Project:
    """The project that answers requests. Raises PlanFailed when there is none, or several could."""
    if option := context.option("DOTNET_PROJECT"):
        wanted = option[0].strip("/").removeprefix("./")
        for project in projects:
            if wanted in (project.path, project.path.rpartition("/")[0], project.assembly):
                return project
        raise PlanFailed(
            f"'{option[0]}' ({option[1].file}) is no project with a program",
            hint=f"there are {', '.join(project.path for project in projects[:8]) or 'none'}",
        )
    web = [project for project in projects if project.kind == "web"]
    for group in (web, projects):
        if len(group) == 1:
            return group[0]
    if not projects:
        raise PlanFailed(
            "no project makes a program: looked for Microsoft.NET.Sdk.Web, Microsoft.NET.Sdk.Worker and OutputType Exe",
            hint="correct the Sdk of the project, or write a Dockerfile",
            code="no-start-command",
        )
    names = ", ".join(repr(project.path) for project in projects[:8])
    raise PlanFailed(
        f"there are several programs: {names}",
        hint=f"choose one: set the variable PLAN_DOTNET_PROJECT={projects[0].path}",
        code="plan-ambiguous",
    )


def _version(context: Context, project: Project | None) -> tuple[Chosen, str]:
    """The version, and the tag of the SDK's image."""
    view = context.view
    demands = context.version_demands(DOTNET, 1)
    if option := context.option("CSHARP_SDK_VERSION"):
        demands += [Demand(option[0], pinned(option[0], 1) or (lambda offer: False), option[1])]
    exact = ""
    sdk = word(config(view, GLOBAL), "sdk", "version") if view.has(GLOBAL) else ""
    if _VERSION.fullmatch(sdk) and (accepts := pinned(sdk, 1)):
        exact = sdk if not demands else ""
        demands.append(Demand(sdk, accepts, view.where(GLOBAL, sdk, f"sdk {sdk}"), pin=True))
    demands += _targets(view, project)
    chosen = choose(DOTNET, demands, context.remembered)
    # SDKs are kept under their full number: what a global.json pins is there for ever.
    same = exact.split(".")[0] == chosen.name
    return chosen, exact if same else f"{chosen.name}.0"


def _targets(view: AppView, project: Project | None) -> Iterator[Demand]:
    paths = (*((project.path,) if project else ()), "Directory.Build.props", *view.top(".csproj"), *view.top(".fsproj"))
    for path in dict.fromkeys(paths):
        for number, line in view.lines(path):
            match = _TARGET.search(line[:500])
            if not match:
                continue
            place = Evidence(path, number, line.strip()[:60])
            if _WINDOWS.search(match[1]) and not _NET.search(match[1]):
                raise PlanFailed(
                    f"'{match[1].strip()}' ({path}:{number}) runs on Windows only",
                    hint="move to a .NET that runs on Linux, as in <TargetFramework>net10.0</TargetFramework>",
                )
            if versions := [int(found) for found in _NET.findall(match[1])]:
                newest = str(max(versions))
                # Unlike a pin of the SDK, a target is met by a newer runtime too.
                if demand := built.at_least(newest, place, 1):
                    exactly = pinned(newest, 1)
                    there = exactly and any(map(exactly, DOTNET.offers))
                    yield Demand(newest, exactly, place) if exactly and there else demand


def _commands(
    project: Project, projects: Sequence[Project]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    path = shlex.quote(project.path)
    options = "-c Release -o /out/app -p:UseAppHost=false -p:ContinuousIntegrationBuild=true -p:DebugType=none"
    ours = " ".join(f"! -name {shlex.quote(f'{each.assembly}.dll')}" for each in projects[:20])
    # What the code does not change is a layer of its own.
    apart = (
        "mkdir -p /out/lib",
        "if [ -d /out/app/runtimes ]; then mv /out/app/runtimes /out/lib/; fi",
        f"find /out/app -maxdepth 1 -name '*.dll' {ours} -exec mv {{}} /out/lib/ ';'",
    )
    return (f"dotnet restore {path}",), (f"dotnet publish {path} {options}",), apart


def _key_files(view: AppView) -> tuple[str, ...]:
    """The manifests, each in its own directory: what is restored depends on no code."""
    kinds = (*_KINDS, *_SOLUTIONS)
    paths = [path for path in view.paths if path.endswith(kinds) or _BESIDE.fullmatch(path) or path == GLOBAL]
    return tuple(path for path in paths if SAFE_PATH.fullmatch(path))[:300]


def _start(project: Project) -> Start:
    command = f"ASPNETCORE_URLS=http://0.0.0.0:$PORT dotnet /app/{project.assembly}.dll"
    return Start(command, (project.evidence,), certain=project.kind == "web")


def _others(project: Project, projects: Sequence[Project]) -> tuple[str, ...]:
    return tuple(each.path for each in projects if each is not project)[:20]


def _sources(view: AppView, project: Project | None) -> list[str]:
    folder = project.path.rpartition("/")[0] if project else ""
    found = [path for path in view.paths if path.startswith(folder) and path.endswith((".cs", ".fs"))]
    return sorted(found, key=lambda path: ("Program" not in path, path.count("/"), path))


def _unpinned(view: AppView, projects: Sequence[Project]) -> tuple[Diagnostic, ...]:
    needs = any("<PackageReference" in view.read(project.path) for project in projects[:20])
    if not needs or any(path.endswith("packages.lock.json") for path in view.paths):
        return ()
    what = "there is no lock file: a later build may install other versions"
    fix = (
        "set RestorePackagesWithLockFile in the project, and commit the packages.lock.json that `dotnet restore` writes"
    )
    return (Diagnostic("info", "not-pinned", what, fix),)
