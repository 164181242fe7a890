"""Plan an Elixir app."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from leeward.builders import semver, system_packages
from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Stage, Workdir
from leeward.builders.catalogue import ELIXIR, Offer
from leeward.builders.providers import built
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.providers.static_site import write
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose, numbers
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

FILE = "mix.exs"
LOCK = "mix.lock"
COMMAND = "/app/bin/leeward-release"
_SCOPE = ("HEX_", "MIX_")
_CACHE = Cache("hex", "/var/cache/hex")
_ENV = {
    "ELIXIR_ERL_OPTIONS": "+fnu",
    "HEX_HOME": _CACHE.target,
    "MIX_ENV": "prod",
    # Debian's: nothing of the tools is downloaded.
    "MIX_REBAR3": "/usr/bin/rebar3",
}
# Nodes find each other only when the app asks for it (RELEASE_DISTRIBUTION=name); what is written lies in /tmp.
_RUN_ENV = {
    "ELIXIR_ERL_OPTIONS": "+fnu",
    "PHX_SERVER": "true",
    "RELEASE_DISTRIBUTION": "none",
    "RELEASE_TMP": "/tmp",
}
_APP = re.compile(r"^\s*(?:\[\s*)?app:\s*:([a-z][a-z0-9_]{0,60})", re.M)
_RELEASES = re.compile(r"\breleases:\s*\[\s*\"?([a-z][a-z0-9_]{0,60})\"?:")
_UMBRELLA = re.compile(r"^\s*apps_path:", re.M)
_VERSION = re.compile(r'^\s*elixir:\s*"([^"\n]{1,60})"', re.M)
_DEPENDENCY = re.compile(r"\{\s*:([a-z][a-z0-9_]{0,60})\s*,")
_PATH_DEPENDENCY = re.compile(r"\bpath:\s*\"|\bin_umbrella:\s*true")
_MODULE = re.compile(r"^\s*defmodule\s+([A-Z][\w.]{0,120}\.Release)\s+do", re.M | re.A)
_MIGRATES = re.compile(r"^\s*def\s+migrate\b", re.M)
_HEALTH = re.compile(r"""(?:\bget\s*\(?|==)\s*["'](/(?:healthz?|livez|readyz|up))["']""")
_SERVERS = ("phoenix", "bandit", "plug_cowboy", "cowboy")
_IGNORE = (*built.IGNORE, "_build", "deps", "Dockerfile", ".dockerignore")
# Hex reads certificates from a file of its own otherwise.
_TRUST = "sh -c 'HEX_CACERTS_PATH=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} exec \"$@\"' hex"
# A cookie lets other nodes in: each instance makes its own, so that none stands in an image.
_SCRIPT = (
    "#!/bin/sh",
    "if [ ! -s /tmp/.cookie ]; then (umask 077 && head -c 30 /dev/urandom | base64 | tr -d '/+=' > /tmp/.cookie); fi",
    'exec /app/bin/__NAME__ "$@"',
)


@dataclass(frozen=True, slots=True)
class Project:
    """What `mix.exs` says, read as text."""

    view: AppView
    name: str
    umbrella: bool
    dependencies: dict[str, Evidence]

    @property
    def whole_tree(self) -> Evidence | None:
        """Why the dependencies cannot be had from the manifest and the lock alone."""
        if self.umbrella:
            return self.view.where(FILE, "apps_path:", "an umbrella of apps")
        for number, line in self.view.lines(FILE):
            if _PATH_DEPENDENCY.search(line):
                return Evidence(FILE, number, line.strip()[:60])
        return None


class Elixir:
    """Elixir apps: a release of Mix, with Phoenix or without."""

    name = "elixir"
    looked_for = (FILE,)

    def detect(self, view: AppView) -> Detection | None:
        """By `mix.exs`."""
        if not view.has(FILE):
            return None
        lock = view.first(LOCK)
        return Detection(90 if lock else 80, tuple(Evidence(path) for path in (FILE, lock) if path))

    def plan(self, context: Context) -> Contribution:
        """Version, dependencies, the release, and the stages."""
        view = context.view
        project = _project(context)
        version = choose(ELIXIR, list(_demands(context)), context.remembered)
        found = system_packages.find({}, (), asked(context))
        own = context.build_command()
        steps = (
            *built.packages(found.build),
            Env(_ENV),
            Workdir("/app"),
            *_install(context, project, version.name),
            *_build(context, project),
        )
        copies = (
            (Copy(("/app",), "/app", stage="build", owned=True),)
            if own
            else (
                Copy(("/out/lib",), "/app", stage="build", dependencies=True),
                Copy(("/out/app",), "/app", stage="build"),
            )
        )
        run = Stage("run", f"elixir{version.name}", built.run(found.run, _RUN_ENV, copies))
        decisions = [version.decision, *found.decisions, *built.said(context)]
        decisions.append(
            Decision("release", project.name, (view.where(FILE, project.name, f"release {project.name}"),))
        )
        if phoenix := project.dependencies.get("phoenix"):
            decisions.append(Decision("framework", "phoenix", (phoenix,)))
        if (reason := project.whole_tree) and not context.install_command():
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        server = next((project.dependencies[name] for name in _SERVERS if name in project.dependencies), None)
        start = None if own else Start(f"{COMMAND} start", (server or Evidence(FILE),), certain=server is not None)
        return Contribution(
            Blueprint((Stage("build", f"elixir{version.name}-build", steps), run)),
            "mix",
            {"elixir": version.name},
            start,
            None if own else _migrations(view),
            built.health(view, _routes(view), _HEALTH) if context.start is None else None,
            tuple(decisions),
            (*version.diagnostics, *_notes(context, project)),
            built.secrets(context, _SCOPE),
            () if project.whole_tree else _key_files(view),
            _IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add processes.web.command to leeward.yaml, as in 'bin/shop start'"


def _project(context: Context) -> Project:
    view = context.view
    text = "\n".join(line for _, line in view.lines(FILE) if not line.lstrip().startswith("#"))
    umbrella = bool(_UMBRELLA.search(text))
    release, app = _RELEASES.search(text), _APP.search(text)
    option = context.option("ELIXIR_RELEASE")
    if option and not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", option[0]):
        raise PlanFailed(
            f"'{option[0]}' ({option[1].file}) is not the name of a release", hint="use its name in mix.exs"
        )
    name = option[0] if option else release[1] if release else app[1] if app and not umbrella else ""
    if not name:
        raise PlanFailed(
            f"'{FILE}' names no release" + (": an umbrella has several apps" if umbrella else " and no app"),
            hint="add 'releases: [NAME: [applications: [...]]]' to it, or set the variable PLAN_ELIXIR_RELEASE",
            code="no-start-command",
        )
    dependencies: dict[str, Evidence] = {}
    for path in (FILE, *(path for path in view.paths if umbrella and re.fullmatch(r"apps/[^/]+/mix\.exs", path))):
        for number, line in view.lines(path):
            for match in _DEPENDENCY.finditer(line[:500]):
                dependencies.setdefault(match[1], Evidence(path, number, line.strip()[:60]))
    return Project(view, name, umbrella, dependencies)


def _demands(context: Context) -> Iterator[Demand]:
    yield from context.version_demands(ELIXIR, 2)
    view = context.view
    for value, place in [*built.first_line(view, ".elixir-version"), *built.tools(view, "elixir")]:
        # A newer Elixir 1 builds what was written for an older one.
        if demand := built.at_least(value, place):
            yield demand
    if match := _VERSION.search(view.read(FILE)):
        place = view.where(FILE, match[0].strip(), match[0].strip()[:60])
        if demand := _range(match[1], place):
            yield demand


def _range(value: str, place: Evidence) -> Demand | None:
    """Mix's ranges in npm's words: `~> 1.14` ends before 2, `and`, `or`."""
    words = re.sub(r"\s+or\s+", " || ", value)
    words = re.sub(r"\s+and\s+", " ", words)
    words = re.sub(r"~>\s*(\d+\.\d+)(?![\d.])", r"^\1", words)
    accepts = semver.parse(words.replace("~>", "~").replace("==", "="))
    if accepts is None:
        return built.at_least(value.lstrip("~>= "), place) if numbers(value.lstrip("~>= ")) else None

    def fits(offer: Offer) -> bool:
        # Debian's patch is no reason to refuse: what is asked for is the language.
        return accepts(offer.full) or accepts((*offer.full[:2], 999))

    return Demand(value, fits, place)


def _key_files(view: AppView) -> tuple[str, ...]:
    files = (FILE, LOCK, "config/config.exs", "config/prod.exs")
    return tuple(path for path in files if view.has(path))


def _install(context: Context, project: Project, version: str) -> tuple[Instruction, ...]:
    """The dependencies, fetched and compiled."""
    if not project.dependencies and not context.install_command():
        return ()
    # Debian 13 has Hex; an older Mix fetches it.
    hex = () if version == ELIXIR.usual else ("mix local.hex --force --if-missing",)
    commands = (*hex, f"{_TRUST} mix deps.get --only prod", "mix deps.compile")
    files = () if project.whole_tree else _key_files(context.view)
    return built.install(context, files, commands, (_CACHE,), _SCOPE)


def _build(context: Context, project: Project) -> tuple[Instruction, ...]:
    text = context.view.read(FILE)
    assets = ("mix assets.deploy",) if re.search(r"\"assets\.deploy\":|assets\.deploy", text) else ()
    # A release that the manifest does not list goes by the app's name, and by no other.
    named = f" {project.name}" if _RELEASES.search(text) else ""
    commands = ("mix compile", *assets, f"mix release{named} --overwrite --path /out/app")
    if context.build_command():
        return built.build(context, (), (_CACHE,), _SCOPE)
    script = tuple(line.replace("__NAME__", project.name) for line in _SCRIPT)
    target = "/out/app/bin/leeward-release"
    # What the code does not change is a layer of its own: Erlang itself, and the libraries.
    apart = (
        "mkdir -p /out/lib/lib",
        "mv /out/app/erts-* /out/lib/",
        f"find /out/app/lib -mindepth 1 -maxdepth 1 {_not_ours(context, project)} -exec mv {{}} /out/lib/lib/ ';'",
        "rm -f /out/app/releases/COOKIE",
        "ln -s /tmp/.cookie /out/app/releases/COOKIE",
        write(target, script),
        f"chmod 755 {target}",
    )
    return built.build(context, commands, (_CACHE,), _SCOPE, after=apart)


def _not_ours(context: Context, project: Project) -> str:
    names = {project.name}
    if match := _APP.search(context.view.read(FILE)):
        names.add(match[1])
    if project.umbrella:
        inside = (re.match(r"apps/([a-z][a-z0-9_]{0,60})/mix\.exs$", path) for path in context.view.paths)
        names.update(match[1] for match in inside if match)
    return " ".join(f"! -name '{name}-*'" for name in sorted(names)[:50])


def _migrations(view: AppView) -> Start | None:
    """Phoenix's way: a module that migrates, since a release has no Mix."""
    script = view.first("rel/overlays/bin/migrate")
    if script:
        return Start("/app/bin/migrate", (Evidence(script),))
    for path in (path for path in view.paths if path.endswith("/release.ex") and "lib/" in path):
        text = view.read(path)
        match = _MODULE.search(text)
        if match and _MIGRATES.search(text):
            return Start(f"{COMMAND} eval '{match[1]}.migrate()'", (view.where(path, "def migrate", "def migrate"),))
    return None


def _routes(view: AppView) -> list[str]:
    found = [path for path in view.paths if path.endswith((".ex", ".exs")) and path.startswith(("lib/", "apps/"))]
    return sorted(found, key=lambda path: ("router" not in path, "endpoint" not in path, path))


def _notes(context: Context, project: Project) -> Iterator[Diagnostic]:
    if project.dependencies and not context.view.has(LOCK):
        what = "there is no lock file: a later build may install other versions"
        yield Diagnostic("info", "not-pinned", what, "commit the mix.lock that `mix deps.get` writes")
    if "phoenix" in project.dependencies and "SECRET_KEY_BASE" not in context.env:
        what = "Phoenix needs the variable SECRET_KEY_BASE, and it is not set"
        yield Diagnostic("warning", "app-key", what, "set it: `mix phx.gen.secret` makes one")
