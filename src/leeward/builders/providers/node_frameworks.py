"""Recognise a Node project whose build makes a site of files."""

import posixpath
import re
from dataclasses import dataclass

from leeward.builders.loose import mapping, text
from leeward.builders.providers.node_config import config, found
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.node_servers import DEV, is_runner, resolved
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

_OUT_DIR = re.compile(r"""\boutDir\s*:\s*["']([A-Za-z0-9_./-]{1,100})["']""")
_EXPORT = re.compile(r"""\boutput\s*:\s*["']export["']""")
_DIST_DIR = re.compile(r"""\bdistDir\s*:\s*["']([A-Za-z0-9_./-]{1,100})["']""")
_ASTRO_SERVER = re.compile(r"""\boutput\s*:\s*["'](?:server|hybrid)["']|\badapter\s*:""")
_NO_SERVER = re.compile(r"\bssr\s*:\s*false\b")
_PAGES = re.compile(r"""\bpages\s*:\s*["']([A-Za-z0-9_./-]{1,100})["']""")
_FALLBACK = re.compile(r"""\bfallback\s*:\s*["']""")
_SERVERS = ("express", "fastify", "koa", "@nestjs/core", "@hapi/hapi", "hono", "next", "nuxt", "@remix-run/serve")
# Package, framework, output, and whether unknown paths are the app's own.
_SIMPLE = (
    ("react-scripts", "create-react-app", "build", True),
    ("gatsby", "gatsby", "public", False),
    ("@docusaurus/core", "docusaurus", "build", False),
    ("@11ty/eleventy", "eleventy", "_site", False),
    ("@vue/cli-service", "vue-cli", "dist", True),
)


@dataclass(frozen=True, slots=True)
class Site:
    """Files in `output`, made by the build; `spa` answers unknown paths with its index."""

    framework: str
    output: str
    evidence: Evidence
    spa: bool = True
    command: str = ""
    """How it is built where no script says so."""


def site(project: Project) -> Site | None:
    """The site of files that the build makes; None when the project is a server."""
    build, known = project.script("build"), project.all_dependencies
    start = resolved(project, "start")
    serves = bool(start) and not DEV.match(start) and not is_runner(start)
    if not build:
        return None if serves else _expo(project)
    if serves and "next" not in known:
        return None
    if "next" in known:
        return _next_export(project)
    if "nuxt" in known:
        return _nuxt(project, build)
    if "astro" in known:
        return _astro(project.view)
    if "@sveltejs/kit" in known:
        return _svelte(project)
    for package, framework, output, spa in _SIMPLE:
        if package in known:
            return Site(framework, output, project.key_at(package), spa)
    if "@angular/core" in known:
        return _angular(project.view, project)
    if "vitepress" in known:
        return Site("vitepress", _vitepress_output(build), project.key_at("vitepress"), spa=False)
    return _router(project) or _expo(project) or _vite(project, build)


def _next_export(project: Project) -> Site | None:
    path, content = config(project.view, "next.config")
    if _EXPORT.search(content):
        place = project.view.where(path, "export", "output: export")
        return Site("next", found(_DIST_DIR, content, "out"), place, spa=False)
    return None


def _nuxt(project: Project, build: str) -> Site | None:
    path, content = config(project.view, "nuxt.config")
    if re.search(r"\b(?:nuxt|nuxi) generate\b", build):
        return Site("nuxt", ".output/public", project.script_at("build"), spa=bool(_NO_SERVER.search(content)))
    if re.search(r"""\bpreset\s*:\s*["']static["']""", content):
        return Site("nuxt", ".output/public", project.view.where(path, "preset", "preset: static"), spa=False)
    return None


def _astro(view: AppView) -> Site | None:
    path, content = config(view, "astro.config")
    if _ASTRO_SERVER.search(content):
        return None
    return Site("astro", found(_OUT_DIR, content, "dist"), Evidence(path or FILE, 0, "astro makes files"), spa=False)


def _svelte(project: Project) -> Site | None:
    if "@sveltejs/adapter-static" not in project.all_dependencies:
        return None
    # Since its third major version it is configured among Vite's plugins.
    content = "\n".join(config(project.view, name)[1] for name in ("svelte.config", "vite.config"))
    spa = bool(_FALLBACK.search(content))
    return Site("sveltekit", found(_PAGES, content, "build"), project.key_at("@sveltejs/adapter-static"), spa)


def _router(project: Project) -> Site | None:
    """React Router and Remix without a server."""
    for package, name in (("@react-router/dev", "react-router.config"), ("@remix-run/dev", "vite.config")):
        path, content = config(project.view, name)
        if package in project.all_dependencies:
            if _NO_SERVER.search(content):
                return Site("react-router", "build/client", project.view.where(path, "ssr", "ssr: false"))
            return None
    return None


def _expo(project: Project) -> Site | None:
    """Expo's web app; most of them have no script that builds it."""
    known = project.all_dependencies
    if "expo" not in known or not {"react-native-web", "react-dom"} & known:
        return None
    build = project.script("build")
    if build and "export" not in build:
        return None
    return Site("expo", "dist", project.key_at("expo"), command="" if build else "npx expo export --platform web")


def _vite(project: Project, build: str) -> Site | None:
    path, content = config(project.view, "vite.config")
    known = project.all_dependencies
    server = any(name in project.dependencies for name in _SERVERS) or "@react-router/dev" in known
    # What a framework with a server of its own builds by Vite is not only files.
    server = server or bool({"@remix-run/dev", "@tanstack/react-start", "@solidjs/start"} & known)
    if ("vite" in known or path) and "vite build" in build and not server:
        output = posixpath.normpath(found(_OUT_DIR, content, "dist"))
        return Site("vite", output, project.script_at("build"))
    return None


def _angular(view: AppView, project: Project) -> Site | None:
    if "@angular/ssr" in project.dependencies:
        return None
    for name, value in mapping(view.json("angular.json"), "projects").items():
        options = mapping(value, "architect", "build", "options")
        builder = text(value, "architect", "build", "builder")
        output = text(options, "outputPath") or text(options, "outputPath", "base") or f"dist/{name}"
        ending = "/browser" if builder.endswith(":application") else ""
        return Site("angular", f"{output}{ending}", view.where("angular.json", "outputPath", output[:80]))
    return None


def _vitepress_output(build: str) -> str:
    folder = build.rpartition("build")[2].strip()
    return f"{folder}/.vitepress/dist" if re.fullmatch(r"[A-Za-z0-9_./-]+", folder) else ".vitepress/dist"
