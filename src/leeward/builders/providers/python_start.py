"""Find how a Python web app is started and checked."""

import re
from collections.abc import Iterator, Mapping

from leeward.builders.loose import mapping
from leeward.builders.providers.provider import Start
from leeward.builders.providers.python_dependencies import Dependencies, project_name
from leeward.builders.providers.python_django import django
from leeward.builders.providers.python_files import candidates, import_name, texts
from leeward.builders.providers.python_found import Found
from leeward.builders.providers.python_syntax import APPLICATIONS, HINT, Application, Reading, read
from leeward.builders.tree import AppView
from leeward.model.build import Diagnostic, Evidence

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
_ASGI = frozenset({"fastapi", "starlette", "litestar", "quart", "fasthtml", "falcon-asgi"})
# A port that is written out is only a problem where nothing reads the variable.
_PORT = re.compile(r"(?:\.listen\(|\bport\s*=)\s*(\d{2,5})\b")
_DASH_SERVER = re.compile(r"^server\s*=\s*\w+\.server\b", re.M)
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
# FastHTML writes the key of its sessions to a file of the directory that it starts in, unless it is given one.
_SESSION_KEY = re.compile(r"\b(?:fast_app|FastHTML)\((?![^)]{0,2000}\bsecret_key\b)")


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
        (*best.notes, *_sessions(view, files)),
    )


def _all(
    view: AppView, dependencies: Dependencies, project: Mapping[str, object], files: tuple[str, ...]
) -> Iterator[Found]:
    if found := django(view, dependencies, files):
        yield found
    yield from _servers(view, dependencies, files)
    yield from _scripts_with(view, files, "streamlit")
    yield from _scripts_with(view, files, "gradio")
    yield from _scripts_with(view, files, "chainlit")
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
    elif application.framework == "aiohttp":
        server = "gunicorn"
        command = f"gunicorn --bind 0.0.0.0:$PORT --worker-class aiohttp.GunicornWebWorker {target}"
    elif application.framework == "tornado":
        name = module.removesuffix(".__main__")
        server, command = "", f"python -m {name}" if "." in module else f"python {_quoted(path)}"
    elif application.framework == "dash":
        served = _DASH_SERVER.search(view.read(path)) is not None
        server = "gunicorn" if served else ""
        command = f"gunicorn --bind 0.0.0.0:$PORT --threads 8 {module}:server"
        command = command if served else f"HOST=0.0.0.0 python {_quoted(path)}"
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
        notes=_fixed_port(view, path) if application.framework in ("tornado", "dash") else (),
    )


def _fixed_port(view: AppView, path: str) -> tuple[Diagnostic, ...]:
    """A script that listens on a port of its own gets no requests."""
    content = view.read(path)
    match = _PORT.search(content)
    if not match or "PORT" in content or match[1] == "8080":
        return ()
    line = content.count("\n", 0, match.start()) + 1
    what = f"{path}:{line} listens on {match[1]}, and requests go to the port in the variable PORT"
    return (Diagnostic("warning", "port", what, 'read it: int(os.environ["PORT"])'),)


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
        elif package == "chainlit":
            evidence = view.where(path, "chainlit", "import chainlit")
            yield Found(Start(f"chainlit run {quoted} --host 0.0.0.0 --port $PORT --headless", (evidence,)), package)
        elif ".launch(" in content:
            evidence = view.where(path, ".launch(", "gradio's launch()")
            variables = "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT GRADIO_ANALYTICS_ENABLED=False"
            yield Found(Start(f"{variables} python {quoted}", (evidence,)), package, health=("/", evidence))


def _entry_points(project: Mapping[str, object]) -> Iterator[Found]:
    """A program that the project installs: the only one, or the one whose name says that it is the app's."""
    tables = {**mapping(project, "tool", "poetry", "scripts"), **mapping(project, "project", "scripts")}
    scripts = [name for name in tables if re.fullmatch(r"[A-Za-z0-9_.-]+", name)]
    usual = (project_name(project), "start", "serve", "server", "web", "app", "api", "run")
    chosen = scripts[0] if len(scripts) == 1 else next((name for name in usual if name in scripts), None)
    if chosen:
        others = tuple(name for name in sorted(scripts) if name != chosen)[:5]
        place = Evidence("pyproject.toml", 0, f"[project.scripts] {chosen}")
        yield Found(Start(chosen, (place,), others, certain=False))


def _plain(view: AppView, files: tuple[str, ...]) -> Iterator[Found]:
    packages = [path for path in files if re.fullmatch(r"(?:src/)?[A-Za-z_]\w*/__main__\.py", path, re.A)]
    for path in packages:
        evidence = Evidence(path, 0, "a package that runs")
        below = "src" if path.startswith("src/") and path.count("/") == 2 else ""
        name = path.split("/")[-2]
        yield Found(Start(f"python -m {name}", (evidence,), certain=False), python_path=below)
    known = [path for path in _PLAIN if view.has(path)] + [f"src/{path}" for path in _PLAIN if view.has(f"src/{path}")]
    alone = [path for path in view.top(".py") if path not in ("setup.py", "conftest.py", "manage.py")]
    for path in known or (alone if len(alone) == 1 else []):
        guess = Start(f"python {_quoted(path)}", (Evidence(path, 0, "a file with a usual name"),), certain=False)
        yield Found(guess, notes=_fixed_port(view, path))


def _writable(view: AppView, files: tuple[str, ...]) -> Evidence | None:
    """Where the code keeps a database file in the image's own file system."""
    for path, content in texts(view, files):
        if match := _SQLITE.search(content):
            return Evidence(path, content.count("\n", 0, match.start()) + 1, "a database file beside the code")
    return _session_key(view, files)


def _session_key(view: AppView, files: tuple[str, ...]) -> Evidence | None:
    for path, content in texts(view, files):
        if "fasthtml" in content and (match := _SESSION_KEY.search(content)):
            return Evidence(path, content.count("\n", 0, match.start()) + 1, "a session key beside the code")
    return None


def _sessions(view: AppView, files: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    """Each instance would have sessions of its own."""
    place = _session_key(view, files)
    if place is None:
        return ()
    text = f"{place.file}:{place.line} every instance makes a session key of its own: a new one ends all sessions"
    fix = "give it `secret_key=os.environ['SECRET_KEY']`, and set that with `lee env set --secret`"
    return (Diagnostic("info", "session-key", text, fix),)


def _line(view: AppView, path: str, number: int) -> str:
    return next((line.strip()[:80] for place, line in view.lines(path) if place == number), "")


def _quoted(path: str) -> str:
    return path if re.fullmatch(r"[A-Za-z0-9_./-]+", path) else "'" + path.replace("'", "'\\''") + "'"
