"""Recognise what a Node project makes: a site of files, or a server and how it is started."""

import re
from dataclasses import dataclass

from leeward.builders.loose import mapping, text
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.provider import Start
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

_OUT_DIR = re.compile(r"""\boutDir\s*:\s*["']([A-Za-z0-9_./-]{1,100})["']""")
_EXPORT = re.compile(r"""\boutput\s*:\s*["']export["']""")
_STANDALONE = re.compile(r"""\boutput\s*:\s*["']standalone["']""")
_DIST_DIR = re.compile(r"""\bdistDir\s*:\s*["']([A-Za-z0-9_./-]{1,100})["']""")
_ASTRO_SERVER = re.compile(r"""\boutput\s*:\s*["'](?:server|hybrid)["']|\badapter\s*:""")
_NPM_RUN = re.compile(r"(?:npm|pnpm|yarn)(?: run)? ([A-Za-z0-9:_-]+)")
# Scripts that serve files for a developer: never the way to serve the finished site.
_DEV_SERVERS = re.compile(
    r"^(?:npx )?(?:vite|react-scripts start|astro (?:dev|preview)|vue-cli-service serve|ng serve|gatsby develop|serve"
    r"|http-server|docusaurus (?:start|serve)|eleventy|vitepress (?:dev|preview))\b"
)
_SERVERS = ("express", "fastify", "koa", "@nestjs/core", "@hapi/hapi", "hono", "next", "nuxt", "@remix-run/serve")
_ENTRIES = (
    "index.js",
    "server.js",
    "app.js",
    "main.js",
    "index.mjs",
    "server.mjs",
    "src/index.js",
    "src/server.js",
    "src/app.js",
)


@dataclass(frozen=True, slots=True)
class Site:
    """Files in `output`, made by the build; `spa` answers unknown paths with its index."""

    framework: str
    output: str
    evidence: Evidence
    spa: bool = True


def config(view: AppView, name: str) -> tuple[str, str]:
    """A tool's config file and its text, which is never run."""
    path = view.first(*(f"{name}.{ending}" for ending in ("js", "mjs", "cjs", "ts", "mts", "cts")))
    return (path, view.read(path)) if path else ("", "")


def site(project: Project) -> Site | None:
    """The site of files that the build makes; None when the project is a server."""
    view, build, known = project.view, project.script("build"), project.all_dependencies
    start = project.script("start")
    if not build or (start and not _DEV_SERVERS.match(start) and "next" not in known):
        return None
    if "next" in known:
        return _next_export(view, project)
    if "astro" in known:
        path, content = config(view, "astro.config")
        place = Evidence(path or FILE, 0, "astro makes files")
        return (
            None
            if _ASTRO_SERVER.search(content)
            else Site("astro", _found(_OUT_DIR, content, "dist"), place, spa=False)
        )
    if "react-scripts" in known:
        return Site("create-react-app", "build", project.key_at("react-scripts"))
    if "gatsby" in known:
        return Site("gatsby", "public", project.key_at("gatsby"), spa=False)
    if "@docusaurus/core" in known:
        return Site("docusaurus", "build", project.key_at("@docusaurus/core"), spa=False)
    if "@11ty/eleventy" in known:
        return Site("eleventy", "_site", project.key_at("@11ty/eleventy"), spa=False)
    if "@vue/cli-service" in known:
        return Site("vue-cli", "dist", project.key_at("@vue/cli-service"))
    if "@angular/core" in known:
        return _angular(view, project)
    if "vitepress" in known:
        return Site("vitepress", _vitepress_output(build), project.key_at("vitepress"), spa=False)
    path, content = config(view, "vite.config")
    serves = [name for name in _SERVERS if name in project.dependencies]
    if ("vite" in known or path) and "vite build" in build and "@sveltejs/kit" not in known and not serves:
        return Site("vite", _found(_OUT_DIR, content, "dist"), project.script_at("build"))
    return None


def _next_export(view: AppView, project: Project) -> Site | None:
    path, content = config(view, "next.config")
    if _EXPORT.search(content):
        return Site("next", _found(_DIST_DIR, content, "out"), view.where(path, "export", "output: export"), spa=False)
    return None


def _angular(view: AppView, project: Project) -> Site | None:
    if "@angular/ssr" in project.dependencies:
        return None
    for name, value in mapping(view.json("angular.json"), "projects").items():
        options = mapping(value, "architect", "build", "options")
        builder = text(value, "architect", "build", "builder")
        output = text(options, "outputPath") or f"dist/{name}"
        ending = "/browser" if builder.endswith(":application") else ""
        return Site("angular", f"{output}{ending}", view.where("angular.json", "outputPath", output[:80]))
    return None


def _vitepress_output(build: str) -> str:
    folder = build.rpartition("build")[2].strip()
    return f"{folder}/.vitepress/dist" if re.fullmatch(r"[A-Za-z0-9_./-]+", folder) else ".vitepress/dist"


def _found(pattern: re.Pattern[str], content: str, usual: str) -> str:
    match = pattern.search(content)
    return match.group(1) if match else usual


def standalone(view: AppView) -> Evidence | None:
    """Where Next is told to make a server that brings its own modules."""
    path, content = config(view, "next.config")
    return view.where(path, "standalone", "output: standalone") if _STANDALONE.search(content) else None


def server(project: Project) -> Start | None:
    """How the server is started: its script, else the framework's way, else a file with a usual name."""
    view, known = project.view, project.all_dependencies
    if "next" in known and (evidence := standalone(view)):
        return Start("HOSTNAME=0.0.0.0 node server.js", (evidence,))
    script = _resolved(project, "start")
    if script and not (_DEV_SERVERS.match(script) and "vite" in known):
        command = re.sub(r"^next start$", "next start -p $PORT", script)
        return Start(command, (project.script_at("start"),))
    if "next" in known:
        return Start("next start -p $PORT", (project.key_at("next"),))
    for package, command in (
        ("nuxt", "node .output/server/index.mjs"),
        ("@remix-run/serve", "remix-serve ./build/server/index.js"),
        ("@astrojs/node", "HOST=0.0.0.0 node ./dist/server/entry.mjs"),
        ("@sveltejs/adapter-node", "node build"),
        ("@nestjs/core", "node dist/main.js"),
    ):
        if package in known:
            return Start(command, (project.key_at(package),))
    main = text(project.manifest, "main")
    if (
        main
        and re.fullmatch(r"[A-Za-z0-9_./-]+", main)
        and (view.has(main.removeprefix("./")) or project.script("build"))
    ):
        return Start(f"node {main}", (project.key_at("main", f"main: {main}"),))
    for path in _ENTRIES:
        if view.has(path):
            return Start(f"node {path}", (Evidence(path, 0, "a file with a usual name"),), certain=False)
    return None


def _resolved(project: Project, name: str) -> str:
    """The script's own text, so that no npm stands between the platform's signals and the app."""
    script = project.script(name)
    for _ in range(5):
        match = _NPM_RUN.fullmatch(script)
        inner = project.script(match.group(1)) if match else ""
        if not inner:
            break
        name, script = (match.group(1) if match else name), inner
    before = project.script(f"pre{name}") if script else ""
    return f"{before} && exec {script}" if before and not re.search(r"[;&|]", script) else script
