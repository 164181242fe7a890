"""Plan a Rust app."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Cache, Env, Instruction, Stage, Workdir
from leeward.builders.catalogue import RUST
from leeward.builders.loose import mapping, text
from leeward.builders.providers import built, foreign
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose, pinned
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

FILE = "Cargo.toml"
LOCK = "Cargo.lock"
_SCOPE = ("CARGO_",)
_TARGET = "/var/cache/cargo-target"
_CACHES = (Cache("cargo", "/var/cache/cargo"), Cache("cargo-target", _TARGET, locked=True))
_ENV = {"CARGO_HOME": _CACHES[0].target, "CARGO_TARGET_DIR": _TARGET, "CARGO_TERM_COLOR": "never"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_HEALTH = re.compile(r'(?:route\(\s*|get\(\s*|path!?\(\s*)?"(/(?:healthz?|livez|readyz|up))"')
# Crates that answer requests, and those that bring the sockets for them.
_SERVERS = frozenset(
    {"actix-web", "axum", "gotham", "hyper", "poem", "rocket", "rouille", "salvo", "tide", "tiny_http", "tonic", "warp"}
)
_IGNORE = (*built.IGNORE, "target", "Dockerfile", ".dockerignore")
# Pages, migrations and the like lie beside the program; its code is in it.
_BESIDE = (
    "mkdir -p /out/app",
    "cp -a . /out/app",
    "rm -rf /out/app/target /out/app/vendor /out/app/.git /out/app/.cargo",
    "find /out/app '(' -name '*.rs' -o -name 'Cargo.*' -o -name 'rust-toolchain*' ')' -type f -delete",
    "find /out/app -mindepth 1 -type d -empty -delete",
)


@dataclass(frozen=True, slots=True)
class Program:
    """One binary: its package, and where it is said."""

    name: str
    package: str
    evidence: Evidence
    usual: bool = False
    """Whether its package says that it is the one to run."""


class Rust:
    """Rust apps: one package or a workspace, with the programs that they have."""

    name = "rust"
    looked_for = (FILE,)

    def detect(self, view: AppView) -> Detection | None:
        """By `Cargo.toml`."""
        if not view.has(FILE):
            return None
        lock = view.first(LOCK)
        return Detection(90 if lock else 80, (Evidence(FILE), *((Evidence(lock),) if lock else ())))

    def plan(self, context: Context) -> Contribution:
        """Version, programs, and the two stages."""
        view = context.view
        version = choose(RUST, list(_demands(context)), context.remembered)
        packages = _packages(view)
        compiler, trust, notes = _compiler(context, version.name)
        programs = tuple(program for folder, said in packages for program in _programs(view, folder, said))
        own = context.build_command()
        web = _chosen(context, programs)
        crates = _crates(view)
        found = system_packages.find(system_packages.RUST, crates.items(), asked(context))
        reason = None if own or context.install_command() else _whole_tree(view, packages)
        steps = (
            *(foreign.TRUSTED if trust else ()),
            *built.packages(found.build),
            Env(_ENV),
            Workdir("/app"),
            *_dependencies(context, packages, reason),
            *built.build(context, _build(view, programs), _CACHES, _SCOPE, before=() if own else _BESIDE),
        )
        run = Stage("run", "debian13", built.run(found.run, {"PATH": "/app/bin:$PATH"}, built.programs(own=bool(own))))
        others = tuple(program for program in programs if program is not web)
        decisions = [version.decision, *found.decisions, *built.said(context)]
        if others and web:
            names = " ".join(program.name for program in others)
            decisions.append(Decision("other programs", names, tuple(o.evidence for o in others)))
        if reason:
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        start = None
        if web and not own:
            listens = bool(_SERVERS & set(crates))
            start = Start(f"/app/bin/{web.name}", (web.evidence,), tuple(o.name for o in others), listens)
        sources = sorted(path for path in view.paths if path.endswith(".rs") and "tests/" not in path)
        return Contribution(
            Blueprint((*trust, Stage("build", compiler, steps), run)),
            "cargo",
            {"rust": version.name},
            start,
            health=built.health(view, sources, _HEALTH) if start and context.start is None else None,
            decisions=tuple(decisions),
            diagnostics=(*version.diagnostics, *notes, *_channel(view), *_unpinned(view)),
            secrets=built.secrets(context, _SCOPE),
            key_files=() if reason else _keys(view, packages),
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a src/main.rs, a Procfile, or processes.web.command in leeward.yaml"


def _packages(view: AppView) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Every package of the tree, the root's first: its directory ('' is the root) and its manifest."""
    root = view.toml(FILE)
    found = [("", root)] if mapping(root, "package") else []
    if mapping(root, "workspace"):
        for folder in view.directories(3):
            if view.has(f"{folder}/{FILE}") and not folder.startswith(("target", "vendor")):
                manifest = view.toml(f"{folder}/{FILE}")
                found += [(f"{folder}/", manifest)] if mapping(manifest, "package") else []
    return tuple(found)


def _programs(view: AppView, folder: str, manifest: Mapping[str, Any]) -> Iterator[Program]:
    """The binaries that cargo finds by itself, and those of `[[bin]]`."""
    package, path = text(manifest, "package", "name"), f"{folder}{FILE}"
    if not _NAME.fullmatch(package):
        return
    usual = text(manifest, "package", "default-run")
    names: dict[str, Evidence] = {}
    listed = manifest.get("bin")
    for item in listed if isinstance(listed, list) else ():
        if _NAME.fullmatch(name := text(item, "name")):
            names[name] = view.where(path, f'"{name}"', f"[[bin]] {name}")
    mains = {text(item, "path") for item in listed if isinstance(item, Mapping)} if isinstance(listed, list) else set()
    if view.has(f"{folder}src/main.rs") and "src/main.rs" not in mains:
        names.setdefault(package, view.where(path, package, f"name = {package}"))
    for source in view.paths:
        if match := re.fullmatch(re.escape(f"{folder}src/bin/") + r"([A-Za-z0-9_-]{1,64})(?:\.rs|/main\.rs)", source):
            names.setdefault(match[1], Evidence(source))
    for name, evidence in names.items():
        yield Program(name, package, evidence, usual=name == usual)


def _chosen(context: Context, programs: Sequence[Program]) -> Program | None:
    """The program that answers requests. Raises PlanFailed when several could."""
    named = {program.name: program for program in programs}
    if option := context.option("RUST_BIN"):
        if option[0] not in named:
            raise PlanFailed(
                f"'{option[0]}' ({option[1].file}) is no program of this app",
                hint=f"there are {', '.join(sorted(named)) or 'none'}",
            )
        return named[option[0]]
    usual = [program for program in programs if program.usual]
    same = [program for program in programs if program.name == program.package]
    for group in (programs, usual, same):
        if len(group) == 1:
            return group[0]
    web = next((named[name] for name in ("server", "web", "api") if name in named), None)
    if web or not programs or context.start:
        return web
    names = ", ".join(repr(name) for name in sorted(named)[:8])
    hint = f"set the variable PLAN_RUST_BIN={min(named)}, or default-run in {FILE}"
    raise PlanFailed(f"there are several programs: {names}", hint=hint, code="plan-ambiguous")


def _keys(view: AppView, packages: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[str, ...]:
    files = (FILE, LOCK, ".cargo/config.toml", *(f"{folder}{FILE}" for folder, _ in packages if folder))
    return tuple(path for path in files if view.has(path))


def _whole_tree(view: AppView, packages: Sequence[tuple[str, Mapping[str, Any]]]) -> Evidence | None:
    """Why the dependencies cannot be compiled from one manifest and the lock alone."""
    if len(packages) != 1 or packages[0][0]:
        return Evidence(FILE, 0, "a workspace of packages")
    manifest = packages[0][1]
    if view.has("build.rs") or text(manifest, "package", "build"):
        return Evidence("build.rs", 0, "a build script")
    for table in ("dependencies", "build-dependencies"):
        for name, value in mapping(manifest, table).items():
            if "path" in mapping(value):
                return view.where(FILE, name, f"{name} is a directory of the tree"[:60])
    if mapping(manifest, "lib") or isinstance(manifest.get("bin"), list) or mapping(manifest, "patch"):
        return Evidence(FILE, 0, "it names its own source files")
    return None


def _dependencies(
    context: Context, packages: Sequence[tuple[str, Mapping[str, Any]]], reason: Evidence | None
) -> tuple[Instruction, ...]:
    """Compile the dependencies for a program that does nothing, so that the code comes after them."""
    if reason or (context.build_command() and not context.install_command()):
        return ()
    view = context.view
    locked = " --locked" if view.has(LOCK) else ""
    stub = ("mkdir -p src", "echo 'fn main() {}' > src/main.rs", f"cargo build --release{locked}", "rm -rf src")
    return built.install(context, _keys(view, packages), stub, _CACHES, _SCOPE)


def _build(view: AppView, programs: Sequence[Program]) -> tuple[str, ...]:
    locked = " --locked" if view.has(LOCK) else ""
    names = [program.name for program in programs]
    bins = "".join(f" --bin {shlex.quote(name)}" for name in names)
    every = " ".join(f"{_TARGET}/release/{shlex.quote(name)}" for name in names)
    # Cargo goes by times, and those of a source say nothing of when it changed.
    touch = "find . -type f -exec touch {} +"
    copy = (f"cp {every} /out/bin/",) if names else ()
    return (touch, f"cargo build --release{locked}{bins}", "mkdir -p /out/bin", *copy)


def _crates(view: AppView) -> dict[str, Evidence]:
    """Every crate that is locked, or asked for."""
    found: dict[str, Evidence] = {}
    manifest = view.toml(FILE)
    for table in (mapping(manifest, "dependencies"), mapping(manifest, "workspace", "dependencies")):
        found.update({name: view.where(FILE, name, f"dependency {name}"[:60]) for name in table})
    for number, line in view.lines(LOCK):
        if match := re.fullmatch(r'name = "([A-Za-z0-9_-]{1,64})"', line.strip()):
            found.setdefault(match[1], Evidence(LOCK, number, f"crate {match[1]}"))
    return found


def _demands(context: Context) -> Iterator[Demand]:
    yield from context.version_demands(RUST, 2)
    view = context.view
    asked: list[tuple[str, Evidence, bool]] = []
    for path in ("rust-toolchain.toml", "rust-toolchain"):
        value = text(view.toml(path), "toolchain", "channel") if "[" in view.read(path) else ""
        value = value or next((word for word, _ in built.first_line(view, path) if "[" not in word), "")
        asked.append((value, view.where(path, value, f"channel {value}"[:60]), True))
    manifest = view.toml(FILE)
    for keys in (("package", "rust-version"), ("workspace", "package", "rust-version")):
        value = text(manifest, *keys)
        asked.append((value, view.where(FILE, "rust-version", f"rust-version {value}"[:60]), False))
    asked += [(value, place, True) for value, place in built.tools(view, "rust")]
    for value, place, pin in asked:
        demand = built.at_least(value, place)
        accepts = pinned(value, 2)
        if demand and accepts:
            # A newer Rust builds what was written for an older one.
            yield Demand(value, demand.accepts, place, pin=pin)


def _compiler(context: Context, version: str) -> tuple[str, tuple[Stage, ...], tuple[Diagnostic, ...]]:
    """The base that compiles, the stage that it needs before it, and what to say of it."""
    if version == RUST.usual:
        return "rust-build", (), ()
    # Of the same Debian as the base that it runs on: the same libc.
    image = foreign.image(context, "", "library/rust", f"{version}-trixie")
    return image, (foreign.TRUST,), (foreign.note(f"rust {version}", image),)


def _channel(view: AppView) -> tuple[Diagnostic, ...]:
    """A compiler that is made every night cannot be had."""
    for path in ("rust-toolchain.toml", "rust-toolchain"):
        for number, line in view.lines(path):
            if match := re.search(r"\b(nightly|beta)\b", line[:200]):
                what = f"rust '{match[1]}' ({path}:{number}) is not available: a stable one is used"
                return (Diagnostic("warning", "rust-channel", what, "write a Dockerfile if the code needs it"),)
    return ()


def _unpinned(view: AppView) -> tuple[Diagnostic, ...]:
    if view.has(LOCK):
        return ()
    what = "there is no lock file: a later build may install other versions"
    return (Diagnostic("info", "not-pinned", what, "commit the Cargo.lock that `cargo generate-lockfile` writes"),)
