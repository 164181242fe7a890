"""Plan a Go app."""

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Env, Stage, Workdir
from leeward.builders.catalogue import GO
from leeward.builders.providers import built
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import Chosen, Demand, choose
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

FILE = "go.mod"
# Not `GO` alone: that would show the build `GOOGLE_API_KEY`.
_SCOPE = (
    *("GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOFLAGS", "GOAUTH", "GOVCS"),
    "CGO_",
)
_MODULES = Cache("go-modules", "/var/cache/go-modules")
_CACHES = (_MODULES, Cache("go-build", "/var/cache/go-build"))
_MAIN = re.compile(r"^package main\b", re.M)
_MODULE = re.compile(r"^module\s+(\S+)", re.M)
_LOCAL = re.compile(r"=>\s*(\.{1,2}/\S*)")
_LISTENS = re.compile(
    r'"(?:net/http|net|google\.golang\.org/grpc|github\.com/(?:gin-gonic|gofiber|labstack|valyala)/[^"]*)"'
)
_HEALTH = re.compile(r'(?:HandleFunc|Handle|GET|Get)\(\s*"(?:GET )?(/(?:healthz?|livez|readyz|up))"')
_IGNORE = (*built.IGNORE, "Dockerfile", ".dockerignore")
# Pages, migrations and the like lie beside the program; its code is in it.
_BESIDE = (
    "mkdir -p /out/app",
    "cp -a . /out/app",
    "rm -rf /out/app/vendor /out/app/.git",
    "find /out/app '(' -name '*.go' -o -name 'go.*' ')' -type f -delete",
    "find /out/app -mindepth 1 -type d -empty -delete",
)


@dataclass(frozen=True, slots=True)
class Program:
    """One `package main`: its directory ('.' is the root), the name of what is built, and where it is said."""

    folder: str
    name: str
    evidence: Evidence
    listens: bool


class Go:
    """Go modules and workspaces: one program at the root, or those below `cmd`."""

    name = "go"
    looked_for = (FILE, "go.work", "main.go")

    def detect(self, view: AppView) -> Detection | None:
        """By `go.mod`, `go.work` or `main.go`."""
        manifest = view.first(FILE, "go.work")
        lock = view.first("go.sum", "go.work.sum")
        if manifest:
            return Detection(90 if lock else 80, tuple(Evidence(path) for path in (manifest, lock) if path))
        return Detection(40, (Evidence("main.go"),)) if view.has("main.go") else None

    def plan(self, context: Context) -> Contribution:
        """Version, programs, and the two stages."""
        view = context.view
        version, toolchain, notes = _version(context)
        programs = _programs(view)
        web, others = _chosen(context, programs)
        found = system_packages.find({}, (), asked(context))
        own = context.build_command()
        reason = _whole_tree(view)
        files = () if reason else tuple(path for path in (FILE, "go.sum") if view.has(path))
        fetch = ("go mod download",) if files and not view.has("vendor/modules.txt") else ()
        env = {
            "GOCACHE": _CACHES[1].target,
            "GOMODCACHE": _MODULES.target,
            "GOTOOLCHAIN": toolchain,
        }
        steps = (
            *built.packages(found.build),
            Env(env),
            Workdir("/app"),
            *built.install(context, files, fetch, (_MODULES,), _SCOPE),
            *built.build(context, _commands(view, programs), _CACHES, _SCOPE, before=() if own else _BESIDE),
        )
        run = Stage("run", "debian13", built.run(found.run, {"PATH": "/app/bin:$PATH"}, built.programs(own=bool(own))))
        decisions = [version.decision, *found.decisions, *built.said(context)]
        if others:
            names = tuple(program.name for program in others)
            decisions.append(Decision("other programs", " ".join(names), tuple(o.evidence for o in others)))
        if reason and not context.install_command():
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        start = None
        if web and not own:
            start = Start(f"/app/bin/{web.name}", (web.evidence,), tuple(o.name for o in others), web.listens)
        return Contribution(
            Blueprint((Stage("build", "go-build", steps), run)),
            "go" if view.has(FILE) else None,
            {"go": version.name},
            start,
            health=built.health(view, _sources(view), _HEALTH) if start and context.start is None else None,
            decisions=tuple(decisions),
            diagnostics=(*version.diagnostics, *notes),
            secrets=built.secrets(context, _SCOPE),
            key_files=files,
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a 'package main' at the root or in cmd/, a Procfile, or processes.web.command in leeward.yaml"


def _version(context: Context) -> tuple[Chosen, str, tuple[Diagnostic, ...]]:
    """The compiler; what `GOTOOLCHAIN` says of it; what to say of that."""
    found = [*context.version_demands(GO, 2), *_files(context.view)]
    unknown = found and not any(found[0].accepts(offer) for offer in GO.offers)
    if unknown and found[0].evidence.file in (FILE, "go.work"):
        newest = GO.offers[-1].name
        note = Diagnostic(
            "warning",
            "go-toolchain",
            f"go {found[0].text} ({found[0].evidence.file}) is newer than {newest}: the build fetches what it names",
            f"ask for go {newest} there, if the code allows it",
        )
        return choose(GO, (), context.remembered), "auto", (note,)
    chosen = choose(GO, found, context.remembered)
    offer = GO.offer(chosen.name)
    exact = ".".join(map(str, offer.full)) if offer else ""
    return chosen, "local" if chosen.name == GO.usual else f"go{exact}", ()


def _files(view: AppView) -> Iterator[Demand]:
    asked: list[tuple[str, Evidence]] = []
    for path in (FILE, "go.work"):
        found = {}
        for number, line in view.lines(path):
            words = line.split()
            if len(words) > 1 and words[0] in ("toolchain", "go"):
                found[words[0]] = (words[1].removeprefix("go"), Evidence(path, number, line.strip()[:60]))
        asked += [found[word] for word in ("toolchain", "go") if word in found]
    asked += [*built.first_line(view, ".go-version"), *built.tools(view, "go", "golang")]
    for text, evidence in asked:
        # `toolchain` is a suggestion: its patch is not insisted on, and an older Go that `go` allows builds it too.
        suggested = evidence.what.startswith("toolchain")
        demand = built.at_least(text, evidence, 2 if suggested else 3)
        if demand and not (suggested and not any(map(demand.accepts, GO.offers))):
            yield demand


def _sources(view: AppView) -> list[str]:
    found = [path for path in view.paths if path.endswith(".go") and not path.endswith("_test.go")]
    return sorted((path for path in found if not path.startswith("vendor/")), key=lambda path: (path.count("/"), path))


def _programs(view: AppView) -> tuple[Program, ...]:
    """The programs: at the root, else in cmd, else anywhere near."""
    folders: dict[str, list[str]] = {}
    for path in _sources(view):
        folders.setdefault(posixpath.dirname(path) or ".", []).append(path)
    plain = [folder for folder in folders if SAFE_PATH.fullmatch(folder) and " " not in folder]
    near = [folder for folder in plain if folder != "." and folder.count("/") < 3]
    commands = sorted(folder for folder in near if folder.startswith("cmd/") or "/cmd/" in folder or folder == "cmd")
    for group in (["."], commands, sorted(near)):
        found = [program for folder in group if (program := _program(view, folder, folders.get(folder, [])))]
        if found:
            # At the root stands one program; those in cmd are its companions.
            more = [p for f in commands if (p := _program(view, f, folders[f]))] if group == ["."] else []
            return tuple({program.name: program for program in reversed([*found, *more])}.values())[::-1]
    return ()


def _program(view: AppView, folder: str, paths: Sequence[str]) -> Program | None:
    main = next((path for path in paths if _MAIN.search(view.read(path))), None)
    if main is None:
        return None
    name = posixpath.basename(folder) if folder != "." else _module_name(view)
    listens = any(_LISTENS.search(view.read(path)) for path in paths[:10])
    return Program(folder, name, view.where(main, "package main", "package main"), listens)


def _module_name(view: AppView) -> str:
    match = _MODULE.search(view.read(FILE)[:4000])
    parts = [part for part in (match[1] if match else "").strip('"').split("/") if not re.fullmatch(r"v\d+", part)]
    return parts[-1] if parts and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", parts[-1]) else "app"


def _chosen(context: Context, programs: Sequence[Program]) -> tuple[Program | None, tuple[Program, ...]]:
    """The program that answers requests. Raises PlanFailed when several could."""
    web = None
    if option := context.option("GO_BIN"):
        wanted = option[0].strip("/").removeprefix("./")
        web = next((p for p in programs if wanted in (p.folder, p.name)), None)
        if web is None:
            raise PlanFailed(
                f"'{option[0]}' ({option[1].file}) is no program of this app",
                hint=f"there are {', '.join(p.folder for p in programs) or 'none'}",
            )
    elif programs and (len(programs) == 1 or programs[0].folder == "."):
        web = programs[0]
    elif programs:
        usual = ("server", "web", "api", _module_name(context.view))
        named = {program.name: program for program in programs}
        listening = [program for program in programs if program.listens]
        web = next((named[name] for name in usual if name in named), None)
        web = web or (listening[0] if len(listening) == 1 else None)
        if web is None and context.start is None:
            names = ", ".join(repr(program.folder) for program in programs[:8])
            raise PlanFailed(
                f"there are several programs: {names}",
                hint=f"choose one: set the variable PLAN_GO_BIN={programs[0].folder}",
                code="plan-ambiguous",
            )
    return web, tuple(program for program in programs if program is not web)


def _commands(view: AppView, programs: Sequence[Program]) -> tuple[str, ...]:
    flags = "go build -trimpath -ldflags='-s -w'"
    commands = ["mkdir -p /out/bin"]
    for program in programs:
        # Without a module, Go wants the files by name.
        loose = not view.first(FILE, "go.work")
        files = [path for path in _sources(view) if posixpath.dirname(path) == program.folder.removeprefix(".")]
        what = " ".join(shlex.quote(f"./{path}") for path in files) if loose else shlex.quote(f"./{program.folder}")
        commands.append(f"{flags} -o /out/bin/{program.name} {'.' if what == './.' else what}")
    return tuple(commands)


def _whole_tree(view: AppView) -> Evidence | None:
    """Why the modules cannot be fetched from `go.mod` alone."""
    if view.has("go.work"):
        return Evidence("go.work", 0, "a workspace of modules")
    for number, line in view.lines(FILE):
        if match := _LOCAL.search(line):
            if posixpath.normpath(match[1]).startswith(".."):
                raise PlanFailed(
                    f"{FILE}:{number} replaces a module by '{match[1]}', which is above the app's directory",
                    hint="commit a go.work above both (`go work init`), and set path: to its directory",
                    code="go-replace",
                )
            return Evidence(FILE, number, line.strip()[:60])
    return None
