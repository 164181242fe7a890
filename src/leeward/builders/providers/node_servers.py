"""Find how a Node server is started."""

import re

from leeward.builders.loose import text
from leeward.builders.providers.node_config import config, standalone
from leeward.builders.providers.node_project import Project
from leeward.builders.providers.provider import Start
from leeward.model.build import Diagnostic, Evidence

_RUN = re.compile(r"(?:npm|pnpm|yarn|bun)(?: run)? ([A-Za-z0-9:_-]+)")
# Scripts that serve a developer, or the files of a site: never the way to serve what was built.
DEV = re.compile(
    r"^(?:cross-env |[A-Z_]+=\S+ )*(?:npx |bunx )?(?:vite(?! build)|react-scripts start|astro (?:dev|preview)"
    r"|vue-cli-service serve|ng serve|gatsby (?:develop|serve)|serve|http-server|docusaurus (?:start|serve)|eleventy"
    r"|vitepress (?:dev|preview)|nest start|nux[ti] (?:dev|preview)|next dev|remix (?:vite:)?dev|react-router dev"
    r"|webpack(?:-dev-server| serve)|expo start|parcel(?: serve)?|(?:tsx|bun|node)(?: run)? (?:--)?watch|ts-node-dev"
    r"|nodemon|turbo (?:run )?dev|concurrently)(?=\s|$)"
)
_RUNNERS = re.compile(
    r"^(?:npx )?(?:turbo|nx|lerna|moon|pnpm (?:-r|--filter|-F)|yarn workspaces?|npm (?:-w|--workspace))"
)
_LISTEN = re.compile(r"\.listen\(\s*(?:\{\s*port\s*:\s*)?(\d{2,5})\b")
_PRODUCTION = ("start:prod", "start:production", "serve:prod", "prod", "production")
# What makes a server of a project, by the package that brings it.
_FRAMEWORKS = (
    ("nuxt", "node .output/server/index.mjs"),
    ("@react-router/serve", "react-router-serve ./build/server/index.js"),
    ("@remix-run/serve", "remix-serve ./build/server/index.js"),
    ("@tanstack/react-start", "node .output/server/index.mjs"),
    ("@solidjs/start", "node .output/server/index.mjs"),
    ("@astrojs/node", "node ./dist/server/entry.mjs"),
    ("@sveltejs/adapter-node", "node build"),
    ("@nestjs/core", "node dist/main.js"),
)
_ENTRIES = tuple(
    f"{folder}{stem}.{ending}"
    for folder in ("", "src/")
    for ending in ("js", "mjs", "cjs", "ts")
    for stem in ("index", "server", "app", "main")
)


def fixed_port(project: Project, command: str) -> tuple[Diagnostic, ...]:
    """A file that listens on a port of its own gets no requests."""
    for word in command.split():
        path = word.removeprefix("./")
        if not re.fullmatch(r"[A-Za-z0-9_./-]+\.[cm]?[jt]s", path) or not project.view.has(path):
            continue
        for number, line in project.view.lines(path):
            if match := _LISTEN.search(line[:500]):
                if match[1] != "8080" and "PORT" not in project.view.read(path):
                    what = f"{path}:{number} listens on {match[1]}, and requests go to the port in the variable PORT"
                    return (Diagnostic("warning", "port", what, "listen on process.env.PORT"),)
                break
    return ()


def is_runner(script: str) -> bool:
    """Whether a script hands its work to the packages of a workspace."""
    return bool(_RUNNERS.match(script))


def server(project: Project, manager: str = "npm") -> Start | None:
    """How the server is started: its script, else the framework's way, else a file with a usual name."""
    view, known = project.view, project.all_dependencies
    if "next" in known and (evidence := standalone(view)):
        return Start("HOSTNAME=0.0.0.0 node server.js", (evidence,))
    name, script = _script(project)
    if script and not DEV.match(script) and not is_runner(script):
        command = re.sub(r"^((?:npx )?next start)$", r"\1 -p $PORT", script)
        return Start(command, (project.script_at(name),))
    if "next" in known:
        return Start("next start -p $PORT", (project.key_at("next"),))
    for package, command in _FRAMEWORKS:
        if package in known:
            return Start(command, (project.key_at(package),))
    if found := _angular(project) or _main(project):
        return found
    if script and not is_runner(script):
        # Made for a developer, and the only way that is known.
        return Start(script, (project.script_at(name),), certain=False)
    return _usual(project, manager)


def _script(project: Project) -> tuple[str, str]:
    """The script that starts it in production, without a package manager in between that would swallow signals."""
    for name in ("start", *_PRODUCTION):
        found = resolved(project, name)
        if found and not DEV.match(found):
            return name, found
    return "start", resolved(project, "start")


def resolved(project: Project, name: str) -> str:
    """The script's own text."""
    script = project.script(name)
    for _ in range(5):
        match = _RUN.fullmatch(script)
        inner = project.script(match.group(1)) if match else ""
        if not inner:
            break
        name, script = (match.group(1) if match else name), inner
    before = project.script(f"pre{name}") if script else ""
    return f"{before} && exec {script}" if before and not re.search(r"[;&|]", script) else script


def _angular(project: Project) -> Start | None:
    if "@angular/ssr" not in project.all_dependencies:
        return None
    path, _ = config(project.view, "angular")
    name = text(project.manifest, "name")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        return None
    place = project.key_at("@angular/ssr")
    return Start(f"node dist/{name}/server/server.mjs", (place, *((Evidence(path),) if path else ())))


def _main(project: Project) -> Start | None:
    main = text(project.manifest, "main")
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", main):
        return None
    if not project.view.has(main.removeprefix("./")) and not project.script("build"):
        return None
    # The main file of a library starts nothing.
    certain = bool(project.dependencies) or project.member is None
    return Start(f"node {main}", (project.key_at("main", f"main: {main}"),), certain=certain)


def _usual(project: Project, manager: str) -> Start | None:
    for path in _ENTRIES:
        if project.view.has(path):
            tool = "node"
            if path.endswith(".ts"):
                tool = "bun" if manager == "bun" else "tsx" if "tsx" in project.all_dependencies else "node"
            return Start(f"{tool} {path}", (Evidence(path, 0, "a file with a usual name"),), certain=False)
    return None
