"""Find how a Python web app is started and checked."""

import re
from collections.abc import Iterator, Mapping

from leeward.builders.loose import mapping
from leeward.builders.providers.provider import Start
from leeward.builders.providers.python_dependencies import Dependencies
from leeward.builders.providers.python_django import django
from leeward.builders.providers.python_files import candidates, import_name, texts
from leeward.builders.providers.python_found import Found
from leeward.builders.providers.python_syntax import APPLICATIONS, HINT, Application, Reading, read
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

HEALTH_PATHS = (
    "/health",
    "/healthz",
    "/health/",
    "/api/health",
    "/livez",
    "/ready",
    "/readyz",
    "/up",
    "/ping",
    "/status",
)
_ASGI = frozenset({"fastapi", "starlette", "litestar", "quart"})
_PLAIN = (
    "main.py",
    "app.py",
    "server.py",
    "api.py",
    "run.py",
    "start.py",
    "bot.py",
    "worker.py",
    "hello.py",
    "index.py",
)
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?!/tmp/|:memory:|[\"'])|sqlite3\.connect\(\s*f?[\"'](?!:memory:|/tmp/)")


def find(view: AppView, dependencies: Dependencies, project: Mapping[str, object]) -> Found:
    """The likeliest application of a tree; its `start` is None when there is none."""
    files = candidates(view)
    found = [*_all(view, dependencies, project, files)]
    if not found:
        return Found(writable=_writable(view, files))
    best, *others = found
    start = best.start
    if start is not None:
        alternatives = tuple(
            dict.fromkeys(o.start.command for o in others if o.start and o.start.command != start.command)
        )
        start = Start(start.command, start.evidence, alternatives[:5], start.certain)
    return Found(
        start,
        best.framework,
        best.server,
        best.python_path,
        best.health,
        best.release,
        best.after_copy,
        best.writable or _writable(view, files),
        best.env,
        best.notes,
    )


def _all(
    view: AppView, dependencies: Dependencies, project: Mapping[str, object], files: tuple[str, ...]
) -> Iterator[Found]:
    if found := django(view, dependencies, files):
        yield found
    yield from _servers(view, dependencies, files)
    yield from _scripts_with(view, files, "streamlit")
    yield from _scripts_with(view, files, "gradio")
    yield from _entry_points(project)
    yield from _plain(view, files)


def _servers(view: AppView, dependencies: Dependencies, files: tuple[str, ...]) -> Iterator[Found]:
    frameworks = frozenset(APPLICATIONS.values()) & {item.name for item in dependencies.items}
    # Starlette is often named beside what is built on it.
    frameworks = frameworks - {"starlette"} if len(frameworks) > 1 else frameworks
    factories = []
    for path, content in texts(view, files):
        if not HINT.search(content) or (module := view.module(path)) is None:
            continue
        reading = read(module, frameworks)
        for application in reading.applications:
            found = _served(view, path, application, reading)
            if application.factory:
                factories.append(found)
            else:
                yield found
    yield from factories


def _served(view: AppView, path: str, application: Application, reading: Reading) -> Found:
    module, directory = import_name(view, path, reading.imports)
    target = f"{module}:{application.name}"
    if application.framework in _ASGI:
        factory = " --factory" if application.factory else ""
        server, command = "uvicorn", f"uvicorn {target}{factory} --host 0.0.0.0 --port $PORT --proxy-headers"
    elif application.framework == "sanic":
        server, command = "", f"sanic {target}{' --factory' if application.factory else ''} --host 0.0.0.0 --port $PORT"
    else:
        quoted = f"'{target}()'" if application.factory else target
        server, command = "gunicorn", f"gunicorn --bind 0.0.0.0:$PORT --threads 8 {quoted}"
    evidence = Evidence(path, application.line, _line(view, path, application.line))
    return Found(
        Start(command, (evidence,)),
        application.framework,
        server,
        directory,
        _health(path, reading, application.framework),
    )


def _health(path: str, reading: Reading, framework: str) -> tuple[str, Evidence] | None:
    routes = dict(reversed(reading.routes))
    for wanted in (*HEALTH_PATHS, "/"):
        if wanted in routes:
            return wanted, Evidence(path, routes[wanted], f'answers GET "{wanted}"')
    if framework == "fastapi" and not reading.no_openapi:
        return "/openapi.json", Evidence(path, 0, "no route is known; FastAPI itself answers this one")
    return None


def _scripts_with(view: AppView, files: tuple[str, ...], package: str) -> Iterator[Found]:
    imports = re.compile(rf"^[ \t]*(?:import|from)[ \t]+{package}\b", re.M)
    usual = (f"{package}_app.py", "app.py", "main.py", "Home.py", "home.py", "demo.py", "streamlit.py")
    order = sorted(files, key=lambda path: (usual.index(path) if path in usual else len(usual), files.index(path)))
    for path in order:
        content = view.read(path)
        if "/pages/" in f"/{path}" or not imports.search(content):
            continue
        quoted = _quoted(path)
        if package == "streamlit":
            evidence = view.where(path, "streamlit", "import streamlit")
            options = "--server.headless true --server.fileWatcherType none --browser.gatherUsageStats false"
            command = f"streamlit run {quoted} --server.port $PORT --server.address 0.0.0.0 {options}"
            yield Found(Start(command, (evidence,)), package, health=("/_stcore/health", evidence))
        elif ".launch(" in content:
            evidence = view.where(path, ".launch(", "gradio's launch()")
            variables = "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT GRADIO_ANALYTICS_ENABLED=False"
            yield Found(Start(f"{variables} python {quoted}", (evidence,)), package, health=("/", evidence))


def _entry_points(project: Mapping[str, object]) -> Iterator[Found]:
    scripts = [name for name in mapping(project, "project", "scripts") if re.fullmatch(r"[A-Za-z0-9_.-]+", name)]
    if len(scripts) == 1:
        yield Found(
            Start(scripts[0], (Evidence("pyproject.toml", 0, f"[project.scripts] {scripts[0]}"),), certain=False)
        )


def _plain(view: AppView, files: tuple[str, ...]) -> Iterator[Found]:
    packages = [path for path in files if path.endswith("/__main__.py") and path.count("/") == 1]
    for path in packages:
        evidence = Evidence(path, 0, "a package that runs")
        yield Found(Start(f"python -m {path.partition('/')[0]}", (evidence,), certain=False))
    known = [path for path in _PLAIN if view.has(path)] + [f"src/{path}" for path in _PLAIN if view.has(f"src/{path}")]
    alone = [path for path in view.top(".py") if path not in ("setup.py", "conftest.py", "manage.py")]
    for path in known or (alone if len(alone) == 1 else []):
        yield Found(Start(f"python {_quoted(path)}", (Evidence(path, 0, "a file with a usual name"),), certain=False))


def _writable(view: AppView, files: tuple[str, ...]) -> Evidence | None:
    """Where the code keeps a database file in the image's own file system."""
    for path, content in texts(view, files):
        if match := _SQLITE.search(content):
            return Evidence(path, content.count("\n", 0, match.start()) + 1, "a database file beside the code")
    return None


def _line(view: AppView, path: str, number: int) -> str:
    return next((line.strip()[:80] for place, line in view.lines(path) if place == number), "")


def _quoted(path: str) -> str:
    return path if re.fullmatch(r"[A-Za-z0-9_./-]+", path) else "'" + path.replace("'", "'\\''") + "'"
