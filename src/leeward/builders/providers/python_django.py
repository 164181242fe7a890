"""Recognise a Django project."""

import re

from leeward.builders.providers.provider import Start
from leeward.builders.providers.python_dependencies import Dependencies
from leeward.builders.providers.python_found import Found
from leeward.builders.tree import AppView
from leeward.model.build import Diagnostic, Evidence

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([A-Za-z_][\w.]*)["']""", re.A)
_WSGI = re.compile(r"""^WSGI_APPLICATION\s*=\s*["']([A-Za-z_][\w.]*)["']""", re.M | re.A)
_ASGI = re.compile(r"""^ASGI_APPLICATION\s*=\s*["']([A-Za-z_][\w.]*)["']""", re.M | re.A)
_STATIC_ROOT = re.compile(r"^\s*STATIC_ROOT\s*=", re.M)
_SQLITE = "django.db.backends.sqlite3"


def django(view: AppView, dependencies: Dependencies, files: tuple[str, ...]) -> Found | None:
    """How a Django project is served: migrations once before the rollout, static files collected while building."""
    below = _below(view)
    inside = view.at(below) if below else view
    if inside is None:
        return None
    manage = inside.read("manage.py")
    if "django" not in manage.lower() or not (dependencies.find("django") or "execute_from_command_line" in manage):
        return None
    path, settings = _settings(inside, manage)
    own = tuple(file.removeprefix(f"{below}/") for file in files if not below or file.startswith(f"{below}/"))
    server, target, evidence = _application(inside, path, settings, dependencies, own)
    at = f"{below}/" if below else ""
    path, evidence = f"{at}{path}", Evidence(f"{at}{evidence.file}", evidence.line, evidence.what)
    if not target:
        return None
    if server == "uvicorn":
        command = f"uvicorn {target} --host 0.0.0.0 --port $PORT --proxy-headers"
    else:
        command = f"gunicorn --bind 0.0.0.0:$PORT --threads 8 {target}"
    python = f"python {at}manage.py"
    migrate = f"{python} migrate --noinput"
    collect = _STATIC_ROOT.search(settings) is not None
    file_database = _SQLITE in settings and "DATABASE_URL" not in settings and "dj_database_url" not in settings
    start = Start(f"{migrate} && exec {command}" if file_database else command, (evidence,))
    note = Diagnostic(
        "warning",
        "database-file",
        f"the database is a file ({path}); it begins empty with every release and instance",
        "use a database server and DATABASE_URL",
    )
    return Found(
        start,
        "django",
        server,
        below,
        health=None,
        release=None if file_database else Start(migrate, (Evidence(f"{at}manage.py", 0, "Django migrations"),)),
        after_copy=(f"{python} collectstatic --noinput",) if collect else (),
        writable=view.where(path, _SQLITE, "a database file beside the code") if file_database else None,
        notes=(note,) if file_database else (),
    )


def _below(view: AppView) -> str:
    """The directory of `manage.py`: '' is the root; another is it only when there is no second one."""
    places = [path for path in view.paths if path.endswith("/manage.py") and path.count("/") == 1]
    name = places[0].removesuffix("/manage.py") if len(places) == 1 and not view.has("manage.py") else ""
    return name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else ""


def _settings(view: AppView, manage: str) -> tuple[str, str]:
    """The settings file with its text, those of production before others."""
    match = _SETTINGS.search(manage)
    module = match.group(1).replace(".", "/") if match else ""
    named = [f"{module}.py", f"{module}/__init__.py"] if module else []
    others = [path for path in view.paths if path.endswith("/settings.py") and path.count("/") <= 2]
    for path in [*named, *others]:
        if view.has(path):
            text = view.read(path)
            beside = path.rpartition("/")[0]
            parts = (
                [p for p in view.paths if p.startswith(f"{beside}/base") and p.endswith(".py")]
                if "import" in text
                else []
            )
            return path, "\n".join([text, *(view.read(part) for part in parts[:2])])
    return "manage.py", ""


def _application(
    view: AppView, path: str, settings: str, dependencies: Dependencies, files: tuple[str, ...]
) -> tuple[str, str, Evidence]:
    asgi, wsgi = _ASGI.search(settings), _WSGI.search(settings)
    if asgi and (dependencies.find("channels", "uvicorn") or not wsgi) and not dependencies.find("gunicorn"):
        return "uvicorn", _target(asgi.group(1)), view.where(path, "ASGI_APPLICATION", asgi.group())
    if wsgi:
        return "gunicorn", _target(wsgi.group(1)), view.where(path, "WSGI_APPLICATION", wsgi.group())
    found = next((file for file in files if file.endswith("/wsgi.py")), None)
    if found:
        return "gunicorn", found.removesuffix(".py").replace("/", ".") + ":application", Evidence(found)
    return "gunicorn", "", Evidence(path)


def _target(dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    return f"{module}:{name}"
