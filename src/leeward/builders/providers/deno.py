"""Plan a Deno app."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Copy, Env, Instruction, Run, Stage, Workdir
from leeward.builders.catalogue import DENO, Offer
from leeward.builders.loose import mapping, text
from leeward.builders.providers import built
from leeward.builders.providers.deno_config import CONFIGS, config
from leeward.builders.providers.provider import Context, Contribution, Detection, Start
from leeward.builders.providers.python import asked
from leeward.builders.tree import AppView
from leeward.builders.versions import Accepts, Demand, choose, numbers
from leeward.model.build import Decision, Diagnostic, Evidence

LOCK = "deno.lock"
_SCOPE = ("DENO_", "NPM_", "JSR_")
_HOME = "/opt/deno"
_MODULES = "/out/modules"
# What Deno notes of the files that it read is different each time, and made anew where it is missing.
_NOTES = f"rm -f {_HOME}/*_cache_v*"
# The lock is complete then, so that Deno does not want to write it when it starts.
_APART = f"for part in node_modules deno.lock; do if [ -e $part ]; then cp -a $part {_MODULES}/; fi; done"
_BINARY = "/usr/local/bin/deno"
_ENTRIES = ("main.ts", "server.ts", "app.ts", "index.ts", "mod.ts", "main.tsx", "main.js", "server.js")
_PLACES = tuple(f"{folder}{name}" for folder in ("", "src/") for name in _ENTRIES)
_REMOTE = re.compile(r"""(?:from|import)\s*\(?\s*["'](?:https://|jsr:|npm:)""")
_OWN = re.compile(r"""["'](?:https://deno\.land/|jsr:)|\bDeno\.(?:serve|listen)\b""")
_SERVES = re.compile(r"\bDeno\.(?:serve|listen)\b|\bnew\s+Application\b|\.listen\(|\bserve\(")
_FETCH = re.compile(r"export\s+default\s*\{[^}]{0,400}\bfetch\b|satisfies\s+Deno\.ServeDefaultExport")
_HEALTH = re.compile(r"""(?:\.get\(|pathname\s*===?|case)\s*["'](/(?:healthz?|livez|readyz|up))["']""")
_PLAIN = re.compile(r"deno (?:run|serve)(?: [A-Za-z0-9_@%+=:,./$-]+)+")
_WATCHES = re.compile(r"\s--watch\S*")
_IGNORE = (*built.IGNORE, "Dockerfile", ".dockerignore")
# Requests that a Deno server answers come where the platform sends them, whatever the code says.
_ADDRESS = "DENO_SERVE_ADDRESS=tcp:0.0.0.0:$PORT"


class Deno:
    """Deno apps: a task named start, or a file that serves."""

    name = "deno"
    looked_for = CONFIGS

    def detect(self, view: AppView) -> Detection | None:
        """By `deno.json`, or by code that imports as only Deno does."""
        if config := view.first(*CONFIGS):
            lock = view.first(LOCK)
            return Detection(95 if lock else 85, tuple(Evidence(path) for path in (config, lock) if path))
        if view.has("package.json"):
            return None
        for path in _PLACES:
            for number, line in view.lines(path) if view.has(path) else ():
                if _OWN.search(line[:500]):
                    return Detection(60, (Evidence(path, number, line.strip()[:60]),))
        return None

    def plan(self, context: Context) -> Contribution:
        """Version, modules, start, and the stages."""
        view = context.view
        path = view.first(*CONFIGS) or ""
        said = config(view, path) if path else {}
        version = choose(DENO, list(_demands(context)), context.remembered)
        offer = DENO.offer(version.name)
        exact = ".".join(map(str, offer.full)) if offer else version.name
        found = system_packages.find({}, (), asked(context))
        start = _start(view, said, path)
        remote = _remote(view)
        stages, copies, files = _stages(context, said, start, remote, found.build)
        env = {"DENO_DIR": _HOME, "DENO_NO_UPDATE_CHECK": "1", "NODE_ENV": "production"}
        tool = Copy((_BINARY,), _BINARY, stage="deno")
        run = Stage("run", "debian13", built.run(found.run, env, (tool, *copies)))
        decisions = [version.decision, *found.decisions, *built.said(context)]
        if remote and not context.install_command():
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (remote,)))
        sources = [place for place in view.paths if place.endswith((".ts", ".tsx", ".js"))]
        return Contribution(
            Blueprint((_tool(exact), *stages, run)),
            "deno",
            {"deno": version.name},
            start,
            health=built.health(view, sorted(sources, key=lambda p: (p.count("/"), p)), _HEALTH) if start else None,
            decisions=tuple(decisions),
            diagnostics=(*version.diagnostics, *_unpinned(view)),
            secrets=built.secrets(context, _SCOPE),
            key_files=files,
            ignore=_IGNORE,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a task named start to deno.json, a main.ts, or processes.web.command in leeward.yaml"


def _tool(version: str) -> Stage:
    """Deno as npm has it; the layer is the same for every app."""
    kind = "$(dpkg --print-architecture | sed s/amd64/x64/)"
    fetch = f"npm install --prefix /tmp/deno --ignore-scripts --no-audit --no-fund @deno/linux-{kind}-glibc@{version}"
    move = f"install -m 755 /tmp/deno/node_modules/@deno/linux-*-glibc/deno {_BINARY}"
    return Stage("deno", "node24-build", (Run((fetch, move, "rm -rf /tmp/deno /root/.npm"), network=True),))


def _demands(context: Context) -> Iterator[Demand]:
    yield from context.version_demands(DENO, 1)
    view = context.view
    for value, place in [*built.first_line(view, ".dvmrc"), *built.tools(view, "deno")]:
        wanted = numbers(value)[:2]
        if wanted:
            yield Demand(value, _same_major(wanted), place)


def _same_major(wanted: tuple[int, ...]) -> Accepts:
    """A newer Deno of the same major runs what was written for an older one."""

    def accepts(offer: Offer) -> bool:
        return offer.full[0] == wanted[0] and offer.full[: len(wanted)] >= wanted

    return accepts


def _start(view: AppView, config: Mapping[str, Any], path: str) -> Start | None:
    task = mapping(config, "tasks").get("start")
    said = task if isinstance(task, str) else text(task, "command")
    entry = view.first(*_PLACES)
    if said.strip():
        command = _WATCHES.sub("", said.strip())
        place = view.where(path, '"start"', f"tasks.start {said.strip()}"[:80])
        # Deno's own shell in between would be one more process.
        plain = bool(_PLAIN.fullmatch(command))
        return Start(f"{_ADDRESS} {command if plain else 'deno task start'}", (place,))
    if entry is None:
        return None
    code = view.read(entry)
    if _FETCH.search(code):
        where = view.where(entry, "export default", "export default { fetch }")
        return Start(f"deno serve --allow-all --cached-only --host 0.0.0.0 --port $PORT {entry}", (where,))
    match = _SERVES.search(code)
    where = view.where(entry, match[0], match[0]) if match else Evidence(entry)
    return Start(f"{_ADDRESS} deno run --allow-all --cached-only {entry}", (where,), certain=match is not None)


def _remote(view: AppView) -> Evidence | None:
    """The first import of a module from elsewhere that stands in the code itself."""
    sources = [path for path in view.paths if path.endswith((".ts", ".tsx", ".js", ".jsx", ".mjs"))]
    for path in sorted(sources, key=lambda path: (path.count("/"), path))[:60]:
        for number, line in view.lines(path):
            if _REMOTE.search(line[:500]):
                return Evidence(path, number, line.strip()[:60])
    return None


def _stages(
    context: Context, config: Mapping[str, Any], start: Start | None, remote: Evidence | None, packages: tuple[str, ...]
) -> tuple[tuple[Stage, ...], tuple[Copy, ...], tuple[str, ...]]:
    """The stages before the image, what it takes of them, and the key files."""
    view, own = context.view, context.build_command()
    files = tuple(path for path in (*CONFIGS, LOCK, "package.json", ".npmrc") if view.has(path))
    entry = _entry(start) or view.first(*_PLACES)
    frozen = " --frozen" if view.has(LOCK) else ""
    listed = bool(mapping(config, "imports")) or view.has("package.json")
    commands = [f"deno install{frozen}"] if listed else []
    if remote and entry:
        commands.append(f"deno cache --allow-import{frozen} {entry}")
    whole = remote is not None
    steps: tuple[Instruction, ...] = (
        *built.packages(packages),
        Copy((_BINARY,), _BINARY, stage="deno"),
        Env({"DENO_DIR": _HOME, "DENO_NO_UPDATE_CHECK": "1", "DENO_TLS_CA_STORE": "system"}),
        Workdir("/app"),
        *built.install(context, () if whole else files, commands, (), _SCOPE),
        Run((f"mkdir -p {_HOME} {_MODULES}/node_modules", _NOTES, _APART)),
    )
    install = Stage("install", "debian13", steps)
    modules = (
        Copy((_HOME,), _HOME, stage="install", dependencies=True),
        Copy((_MODULES,), "/app", stage="install", dependencies=True),
    )
    makes = isinstance(mapping(config, "tasks").get("build"), str | dict) and not own
    if not makes and not own:
        return (install,), (*modules, Copy((".",), "/app", owned=True)), () if whole else files
    secrets = context.secrets("") if own else context.secrets(*_SCOPE)
    command = own[0] if own else "deno task build"
    run = Run((command,), True, own is not None, (), secrets, context.fingerprint(secrets))
    # The modules are a layer of their own: they come without what the build made of the code.
    output = Run(("mkdir -p /out", "find . -mindepth 1 -maxdepth 1 ! -name node_modules -exec cp -a {} /out/ ';'"))
    build = Stage("build", "install", (Copy((".",), "./"), run, output))
    code = Copy(("/out",), "/app", stage="build", owned=True)
    return (install, build), (*modules, code), () if whole else files


def _entry(start: Start | None) -> str:
    """The file that a command runs."""
    words = start.command.split() if start else []
    return next((word for word in words if re.fullmatch(r"[A-Za-z0-9_./-]+\.(?:[jt]sx?|mjs)", word)), "")


def _unpinned(view: AppView) -> tuple[Diagnostic, ...]:
    if view.has(LOCK):
        return ()
    what = "there is no lock file: a later build may install other versions"
    return (Diagnostic("info", "not-pinned", what, "commit the deno.lock that `deno install` writes"),)
