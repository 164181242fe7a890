"""Plan a Python app."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leeward.builders import system_packages
from leeward.builders.blueprint import Blueprint, Copy, Env, Instruction, Packages, Run, Stage, User, Workdir
from leeward.builders.catalogue import PYTHON
from leeward.builders.providers import python_install, python_start, python_versions
from leeward.builders.providers.provider import Context, Contribution, Detection
from leeward.builders.providers.python_dependencies import REQUIREMENTS, Dependencies, Dependency
from leeward.builders.providers.python_found import Found
from leeward.builders.providers.python_install import Manager
from leeward.builders.providers.python_older import CONDA
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, choose, pinned
from leeward.model.build import Decision, Diagnostic, Evidence

_MANIFESTS = ("requirements.txt", "pyproject.toml", "Pipfile", *REQUIREMENTS[1:], "setup.py", "setup.cfg", *CONDA)
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
_SCRIPTS = ("main.py", "app.py", "server.py", "start.py", "bot.py", "api.py", "hello.py")
# uv and its interpreter must give the same bytes for the same lock file, everywhere.
_INSTALL_ENV = {
    "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",
    "SOURCE_DATE_EPOCH": "315532800",
    "UV_CACHE_DIR": python_install.CACHE.target,
    "UV_COMPILE_BYTECODE": "1",
    "UV_LINK_MODE": "copy",
    "UV_NO_PROGRESS": "1",
    "UV_PROJECT_ENVIRONMENT": "/opt/venv",
    "UV_PYTHON": "/opt/venv/bin/python",
    "UV_PYTHON_DOWNLOADS": "never",
    "VIRTUAL_ENV": "/opt/venv",
}
_RUN_ENV = {
    # The edge is the only way in, and it sets these headers itself.
    "FORWARDED_ALLOW_IPS": "*",
    "HOME": "/tmp",
    "PATH": "/opt/venv/bin:$PATH",
    "PORT": "8080",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONUNBUFFERED": "1",
    "VIRTUAL_ENV": "/opt/venv",
}
_IGNORE = (
    ".venv",
    "venv",
    "**/__pycache__",
    "**/*.pyc",
    ".env",
    ".env.*",
    "!.env.example",
    ".pytest_cache",
    ".mypy_cache",
)
# Beside the package, and so wherever that goes.
_BROWSER_ENV = {"PLAYWRIGHT_BROWSERS_PATH": "0"}
_WITH_SERVER = {"uvicorn": ("python-fasthtml", "chainlit", "nicegui")}
_PROVIDES = {"uvicorn": ("fastapi", "litestar"), "gunicorn": (), "streamlit": ()}


class Python:
    """Python apps: pip requirements, uv, pyproject; FastAPI, Flask, Django, Streamlit, Gradio and plain scripts."""

    name = "python"
    looked_for = ("requirements.txt", "pyproject.toml", "uv.lock", "Pipfile", "manage.py", "main.py", "app.py")

    def detect(self, view: AppView) -> Detection | None:
        """By manifest, by `manage.py`, or by a script with a usual name."""
        manifest, lock = view.first(*_MANIFESTS), view.first(*_LOCKS)
        found = [path for path in (manifest, lock, view.first("manage.py")) if path]
        if found:
            score = (90 if lock else 80 if manifest else 60) + (10 if view.has("manage.py") else 0)
            return Detection(min(score, 100), tuple(Evidence(path) for path in found))
        others = (path for path in view.top(".py") if path not in ("setup.py", "conftest.py", "noxfile.py"))
        script = view.first(*_SCRIPTS) or next(others, None)
        return Detection(40, (Evidence(script),)) if script else None

    def plan(self, context: Context) -> Contribution:
        """Version, dependencies, start, and the two stages that make the image."""
        view = context.view
        project = view.toml("pyproject.toml")
        chosen = python_install.wanted(context, project)
        demands = _demands(context, project, chosen)
        version = choose(PYTHON, demands, context.remembered)
        found = python_start.find(view, chosen.dependencies, project)
        start = context.start or found.start
        extra, notes = _added(start.command if start else "", context.start is None, found, chosen, view)
        browser = _browser(context, chosen)
        packages = system_packages.find(
            system_packages.PYTHON,
            ((item.name, item.evidence) for item in chosen.dependencies.items if not item.held),
            [*asked(context), *([("chromium", browser.evidence)] if browser else [])],
        )
        secrets = context.secrets("PYTHON", "PIP", "PIPX", "UV_", "PDM", "POETRY")
        install = python_install.steps(context, chosen, version.name, extra)
        if browser:
            install += (Env(_BROWSER_ENV), Run(("/opt/venv/bin/playwright install chromium",), network=True))
        after = _after_copy(context, found)
        build = Stage(
            "build",
            f"python{version.name}-build",
            (*_packages(packages.build), Env(_INSTALL_ENV), Workdir("/app"), *install),
        )
        own = python_install.own_packages(view, project, chosen, version.name)
        here = f"/app/{chosen.member.folder}" if chosen.member else "/app"
        paths = {"PYTHONPATH": f"{here}/{found.python_path}:{here}"} if found.python_path else {}
        run_env = {**_RUN_ENV, **found.env, **paths, **(_BROWSER_ENV if browser else {})}
        run = Stage(
            "run",
            f"python{version.name}",
            (
                *_packages(packages.run),
                Copy(("/opt/venv",), "/opt/venv", stage="build", dependencies=True),
                Env(run_env),
                *own,
                Workdir(here),
                Copy((".",), "/app", owned=True),
                User("1000:1000"),
                *after,
            ),
        )
        install_said = context.install_command()
        decisions = [version.decision, chosen.decision, *packages.decisions]
        if install_said:
            decisions.append(Decision("install command", install_said[0], (install_said[1],)))
        elif chosen.dependencies.reason:
            reason = chosen.dependencies.reason
            decisions.append(Decision("dependency layer", "renewed by every change of the code", (reason,)))
        return Contribution(
            Blueprint((build, run)),
            None if chosen.name == "none" else chosen.name,
            {"python": version.name},
            found.start,
            found.release,
            found.health if context.start is None or found.start is None or _same_app(context, found) else None,
            tuple(decisions),
            (*version.diagnostics, *chosen.notes, *found.notes, *notes, *_no_browser(chosen, browser)),
            tuple(sorted({*secrets, *(name for step in after if isinstance(step, Run) for name in step.secrets)})),
            () if chosen.dependencies.whole_tree else chosen.dependencies.files,
            _IGNORE,
            found.writable,
            context=chosen.workspace.root.name if chosen.member and chosen.workspace else None,
        )

    def start_help(self) -> str:
        """What to add so that a start command is found."""
        return "add a main.py, a Procfile, or processes.web.command in leeward.yaml"


def asked(context: Context) -> list[tuple[str, Evidence]]:
    """Debian packages that the user names for build and image: manifest, variables, files."""
    found = [(name, context.said("build.packages")) for name in context.spec.build.packages]
    built = set(context.foreign.build_packages)
    return found + [said for said in context.foreign.run_packages if said in built]


def _packages(names: tuple[str, ...]) -> tuple[Instruction, ...]:
    return (Packages(names),) if names else ()


def _added(
    command: str, inferred: bool, found: Found, chosen: Manager, view: AppView
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """The server that the start command needs and that nobody asked for: we add it, and say so."""
    first = re.split(r"[\s;&|]+", command.rpartition("exec ")[2].strip(), maxsplit=1)[0]
    server = found.server if inferred else first if first in _PROVIDES else ""
    if not server or (chosen.name == "none" and not inferred) or _has_server(server, chosen.dependencies, view):
        return (), ()
    note = Diagnostic(
        "warning",
        "server-added",
        f"'{server}' starts the app and is not among its dependencies: it is added",
        f"add {server} to {chosen.evidence[0].file}",
    )
    return (server,), (note,)


def _has_server(server: str, dependencies: Dependencies, view: AppView) -> bool:
    if dependencies.find(server, *_WITH_SERVER.get(server, ())) or f'name = "{server}"' in view.read("uv.lock"):
        return True
    brings = _PROVIDES.get(server, ())
    return any(item.name in brings and item.extras & {"standard", "all"} for item in dependencies.items)


def _after_copy(context: Context, found: Found) -> tuple[Instruction, ...]:
    """Commands that need the code: the user's build step, or the framework's own."""
    said = context.build_command()
    commands = (said[0],) if said else found.after_copy
    if not commands or (not said and context.env.get("DISABLE_COLLECTSTATIC")):
        return ()
    secrets = context.secrets("")
    return (Run(commands, verbatim=said is not None, secrets=secrets, fingerprint=context.fingerprint(secrets)),)


def _demands(context: Context, project: Mapping[str, Any], chosen: Manager) -> list[Demand]:
    """What the files say of the version; those at the root of a workspace too, and what conda's file says."""
    found = python_versions.demands(context, project, chosen.dependencies, chosen.requirements)
    if chosen.member and chosen.workspace:
        above = replace(context, view=chosen.workspace.root)
        asked_for = len(context.version_demands(PYTHON, 2))
        root = python_versions.demands(above, chosen.workspace.project, Dependencies((), ()), None)[asked_for:]
        # What is pinned at the root says more than a range of one of its packages.
        both = [*found[asked_for:], *root]
        pins = [demand for demand in both if demand.pin]
        found = [*found[:asked_for], *pins, *(demand for demand in both if not demand.pin)]
    if chosen.python and (accepts := pinned(chosen.python, 2)):
        place = Evidence(chosen.evidence[0].file, 0, f"python {chosen.python}"[:40])
        found.append(Demand(chosen.python, accepts, place, soft=True))
    return found


def _no_browser(chosen: Manager, browser: Dependency | None) -> tuple[Diagnostic, ...]:
    if browser or not chosen.dependencies.find("playwright"):
        return ()
    what = "playwright brings no browser by itself"
    fix = "set PLAN_PLAYWRIGHT_INSTALL=1 to install its Chromium, or PLAN_APT_PKGS=chromium to use Debian's"
    return (Diagnostic("warning", "browser", what, fix),)


def _browser(context: Context, chosen: Manager) -> Dependency | None:
    """Playwright, where its browser is to be installed."""
    found = chosen.dependencies.find("playwright")
    wanted = found and context.option("PLAYWRIGHT_INSTALL", "PYTHON_PLAYWRIGHT_INSTALL")
    return found if wanted else None


def _same_app(context: Context, found: Found) -> bool:
    """Whether a given start command runs the application that was found, so that its health path holds."""
    target: Mapping[str, str] = {"fastapi": "uvicorn", "streamlit": "streamlit"}
    command = context.start.command if context.start else ""
    words = found.start.command.split() if found.start else []
    return any(word in command.split() for word in words[1:2]) or target.get(found.framework, "\0") in command
