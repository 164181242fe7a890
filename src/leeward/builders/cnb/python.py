"""The buildpack for Python: uv installs what a lock or a list of requirements says."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from leeward.builders.cnb import procfile
from leeward.builders.cnb.hooks import Hooks, hooks, run
from leeward.builders.cnb.phase import Component, Failed, Layer, Phase, Process, files_key, key_of, say, tree_key

LOOKED_FOR = ("requirements.txt", "uv.lock", "poetry.lock", "pyproject.toml", "setup.py")
_SERVERS = ("gunicorn", "uvicorn")
_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)", re.M)
# A requirement that is a directory or file of the app: its content is part of the key.
_LOCAL = re.compile(r"^\s*(?:-e\b|--editable\b|\.{1,2}(?:[/\[\s]|$)|/|file:)|@\s*(?:file:|\.)|\.whl\s*$", re.M)
_LAUNCH = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONFAULTHANDLER": "1"}


def detect(phase: Phase) -> bool:
    """Whether the app is Python's."""
    return bool(phase.has(*LOOKED_FOR))


def build(phase: Phase) -> None:
    """Install the dependencies into a layer of their own, keyed by what names them."""
    own, layer = hooks(phase, "python"), phase.layer("venv")
    run(phase, *own.before)
    extra = servers(phase)
    key = key_of(sys.version_info[:2], _what(phase), extra, _linked(phase), *own_key(phase, own))
    # Django collects its static files with what is installed, as do commands of the user's: then it must be here.
    django = bool(phase.has("manage.py")) and not own.build and not phase.env.get("DISABLE_COLLECTSTATIC")
    needed = django or own.need_packages
    if layer.known == key and (not needed or (layer.path / "bin").is_dir()):
        say("dependencies are as they were: the layer is used again")
    else:
        _install(phase, layer, extra, own)
    layer.keep(key, launch=True, build=needed, cache=needed)
    env = _installed(phase, layer)
    run(phase, *own.between, own.build, env=env)
    if django and (_site(layer.path) / "django").is_dir():
        _collect(phase, layer)
    run(phase, *own.after, env=env)
    phase.processes(_processes(phase))


def own_key(phase: Phase, own: Hooks) -> tuple[str, ...]:
    """What the user's own way to install depends on: anything in the app."""
    return (own.install, tree_key(phase.app)) if own.install else ()


def servers(phase: Phase) -> tuple[str, ...]:
    """The servers that start the app, in case nothing installs them."""
    commands = procfile.listed(phase).values()
    words = {word for command in commands for word in re.split(r"[\s;&|]+", command)}
    return tuple(name for name in _SERVERS if name in words)


def requirement_files(app: Path, first: str = "requirements.txt") -> tuple[str, ...]:
    """A list of requirements and everything that it includes, inside the app."""
    found: dict[str, None] = {}
    waiting = [first]
    while waiting and len(found) < 100:
        name = waiting.pop()
        path = app / name
        if name in found or not path.is_file() or not path.resolve().is_relative_to(app.resolve()):
            continue
        found[name] = None
        for include in _INCLUDE.findall(path.read_text(errors="replace")):
            waiting.append(str(PurePosixPath(name).parent / include))
    return tuple(sorted(found))


def pinned(lock: dict[str, Any]) -> tuple[str, ...]:
    """What a poetry.lock pins for running: name, version and marker of each package."""
    found = []
    for package in lock.get("package", ()):
        groups = package.get("groups", ["main"])
        if package.get("optional") or "main" not in groups or package.get("category", "main") != "main":
            continue
        if package.get("source", {}).get("type", "legacy") in ("directory", "file", "git", "url"):
            continue
        marker = package.get("markers", "")
        marker = marker.get("main", "") if isinstance(marker, dict) else marker
        found.append(f"{package['name']}=={package['version']}" + (f" ; {marker}" if marker else ""))
    return tuple(sorted(found))


def _what(phase: Phase) -> str:
    """The hash of what names the dependencies."""
    app = phase.app
    if phase.has("requirements.txt"):
        files = requirement_files(app)
        local = any(_LOCAL.search(phase.text(name)) for name in files)
        return tree_key(app) if local else files_key(app, files)
    if phase.has("uv.lock", "poetry.lock"):
        return files_key(app, ("uv.lock", "poetry.lock", "pyproject.toml"))
    return files_key(app, ("pyproject.toml",)) if phase.has("pyproject.toml") else tree_key(app)


def _install(phase: Phase, layer: Layer, extra: tuple[str, ...], own: Hooks) -> None:
    venv = layer.empty()
    env = {"VIRTUAL_ENV": str(venv), "UV_PROJECT_ENVIRONMENT": str(venv), "UV_LINK_MODE": "copy"}
    env |= {"UV_CACHE_DIR": str(phase.tools_cache("uv")), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    env |= {"UV_PYTHON": "/usr/bin/python3"}

    def uv(*words: str) -> None:
        phase.run("uv", *words, env=env)

    # A command of the user's calls `pip`, and means the app's.
    seed = ("--seed",) if own.need_packages else ()
    uv("venv", "--quiet", "--allow-existing", *seed, "--python", "/usr/bin/python3", str(venv))
    pip = ("pip", "install", "--compile-bytecode", "--python", str(venv / "bin" / "python"))
    if own.install:
        run(phase, own.install, env={**env, **_installed(phase, layer)})
    elif phase.has("requirements.txt"):
        uv(*pip, "--requirement", "requirements.txt")
    elif phase.has("uv.lock"):
        uv("sync", "--frozen", "--no-dev", "--no-install-project", "--compile-bytecode")
    elif phase.has("poetry.lock"):
        listed = venv / "poetry.txt"
        listed.write_text("\n".join(pinned(_toml(phase, "poetry.lock"))) + "\n")
        uv(*pip, "--no-deps", "--requirement", str(listed))
        listed.unlink()
    elif phase.has("pyproject.toml"):
        uv(*pip, "--requirement", "pyproject.toml")
    else:
        uv(*pip, ".")
    if missing := [name for name in extra if not (venv / "bin" / name).exists()]:
        say(f"note: {', '.join(missing)} starts the app and is not among its dependencies: it is added")
        uv(*pip, *missing)
    for folder in _linked(phase):
        (_site(venv) / "leeward-app.pth").write_text(f"{folder}\n")
    layer.env(_LAUNCH)
    layer.bill(components(_site(venv)))


def _installed(phase: Phase, layer: Layer) -> dict[str, str]:
    """Variables with which the user's commands find what is installed."""
    return {"VIRTUAL_ENV": str(layer.path), "PATH": f"{layer.path / 'bin'}:{phase.env.get('PATH', '')}"}


def _collect(phase: Phase, layer: Layer) -> None:
    python = str(layer.path / "bin" / "python")
    try:
        phase.run(python, "manage.py", "collectstatic", "--noinput")
    except Failed as error:
        say(f"note: static files were not collected: {error}; DISABLE_COLLECTSTATIC=1 leaves this out")


def components(site: Path) -> Iterator[Component]:
    """What is installed in a directory of packages."""
    for path in sorted(site.glob("*.dist-info/METADATA")):
        fields = dict(re.findall(r"^(Name|Version): (\S+)\s*$", path.read_text(errors="replace")[:20000], re.M))
        if "Name" in fields and "Version" in fields:
            name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
            yield Component(fields["Name"], fields["Version"], f"pkg:pypi/{name}@{fields['Version']}")


def _linked(phase: Phase) -> tuple[str, ...]:
    """The directory whose modules the app's own package has, as an editable install would say."""
    if not phase.has("pyproject.toml") or "build-system" not in _toml(phase, "pyproject.toml"):
        return ()
    return (str(phase.app / "src"),) if (phase.app / "src").is_dir() else (str(phase.app),)


def _processes(phase: Phase) -> list[Process]:
    """Where nobody lists processes: a file with a usual name."""
    name = phase.has("main.py", "app.py", "server.py")
    return [Process("web", f"exec python {name}", True)] if name and not procfile.listed(phase) else []


def _toml(phase: Phase, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(phase.text(name))
    except tomllib.TOMLDecodeError as error:
        raise Failed(f"'{name}' is not TOML: {error}") from error


def _site(venv: Path) -> Path:
    return next(iter(sorted(venv.glob("lib/python3*/site-packages"))), venv)
