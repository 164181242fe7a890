"""Install a Python app's dependencies into `/opt/venv`, in a layer of its own."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from leeward.builders.blueprint import Cache, Copy, Instruction, Run
from leeward.builders.loose import mapping, text, texts
from leeward.builders.providers import python_dependencies as reqs
from leeward.builders.providers.provider import Context
from leeward.builders.providers.python_dependencies import SAFE_PATH, Dependencies
from leeward.builders.tree import AppView
from leeward.model.build import Decision, Diagnostic, Evidence

CACHE = Cache("uv", "/var/cache/uv")
# Backends that compile: their projects must really be built, the files alone are not enough.
_COMPILING = ("maturin", "scikit_build_core", "mesonpy", "poetry.build", "setuptools_rust")


@dataclass(frozen=True, slots=True)
class Manager:
    """How the dependencies are declared and installed."""

    name: str
    dependencies: Dependencies
    evidence: tuple[Evidence, ...]
    commands: tuple[str, ...] = ()
    """Run with the key files only (or the whole tree)."""
    alternatives: tuple[str, ...] = ()
    notes: tuple[Diagnostic, ...] = ()
    requirements: str | None = None

    @property
    def decision(self) -> Decision:
        """Which package manager, and why."""
        return Decision("package manager", self.name, self.evidence, self.alternatives)


def manager(view: AppView, project: Mapping[str, object]) -> Manager:
    """Choose how to install; exact lock files before looser lists."""
    requirements = view.first(*reqs.REQUIREMENTS)
    has_project = bool(mapping(project, "project") or mapping(project, "tool", "poetry"))
    if view.has("uv.lock") and view.has("pyproject.toml"):
        return _uv(view, project, ("pip",) if requirements else ())
    if requirements:
        found = reqs.from_requirements(view, requirements)
        names = " ".join(f"-r {shlex.quote(path)}" for path in found.files[:1])
        others = ("pyproject",) if has_project else ()
        return Manager(
            "pip",
            found,
            (Evidence(requirements),),
            (f"uv pip install {names}",),
            others,
            _unpinned(found),
            requirements,
        )
    if has_project:
        return _project(view, project)
    if view.has("Pipfile"):
        return _pipfile(view)
    return Manager("none", Dependencies((), ()), (Evidence(".", 0, "no dependency file"),))


def _uv(view: AppView, project: Mapping[str, object], others: tuple[str, ...]) -> Manager:
    found = reqs.from_project(view, project)
    members = (
        [f"{m}/pyproject.toml" for m in view.directories(3) if view.has(f"{m}/pyproject.toml")]
        if mapping(project, "tool", "uv", "workspace")
        else []
    )
    reason = _compiles(view, project) or _path_source(view, project)
    files = ("pyproject.toml", "uv.lock", *(m for m in members if SAFE_PATH.fullmatch(m)))
    skip = "" if reason and reason.what.startswith("build-backend") else " --no-install-workspace"
    dependencies = Dependencies(found.items, files, reason is not None, reason)
    command = f"uv sync --frozen --no-dev --no-editable --inexact{skip}"
    return Manager("uv", dependencies, (Evidence("uv.lock"),), (command,), others)


def _project(view: AppView, project: Mapping[str, object]) -> Manager:
    found = reqs.from_project(view, project)
    poetry = not mapping(project, "project") or not texts(project, "project", "dependencies")
    dynamic = "dependencies" in texts(project, "project", "dynamic")
    reason = _compiles(view, project)
    if reason is None and (dynamic or (poetry and mapping(project, "tool", "poetry", "dependencies"))):
        reason = Evidence("pyproject.toml", 0, "its build backend knows the dependencies")
    notes = []
    if lock := view.first("poetry.lock", "pdm.lock"):
        text_ = f"'{lock}' is not read yet: the newest versions that pyproject.toml allows are installed"
        notes.append(
            Diagnostic("warning", "lock-not-read", text_, "add a uv.lock with `uv lock`, or a requirements.txt")
        )
    else:
        notes.append(_no_lock("pyproject.toml", "`uv lock`"))
    command = "uv pip install ." if reason else "uv pip install -r pyproject.toml"
    dependencies = Dependencies(found.items, found.files, reason is not None, reason)
    return Manager("pyproject", dependencies, (Evidence("pyproject.toml"),), (command,), (), tuple(notes))


def _pipfile(view: AppView) -> Manager:
    """A Pipfile's packages, by name and version; uv does not read the file itself."""
    found = reqs.from_pipfile(view)
    packages = mapping(view.toml("Pipfile"), "packages")
    words = []
    for name, value in sorted(packages.items()):
        version = value if isinstance(value, str) else text(value, "version")
        extras = ",".join(texts(value, "extras"))
        words.append(shlex.quote(f"{name}[{extras}]" if extras else name + ("" if version in ("*", "") else version)))
    commands = (f"uv pip install {' '.join(words)}",) if words else ()
    note = Diagnostic(
        "warning",
        "lock-not-read",
        "a Pipfile's lock is not read: the newest versions that it allows are installed",
        "add a requirements.txt with `pipenv requirements > requirements.txt`",
    )
    return Manager("pipenv", Dependencies(found.items, ()), (Evidence("Pipfile"),), commands, (), (note,))


def _unpinned(found: Dependencies) -> tuple[Diagnostic, ...]:
    loose = [item for item in found.items if "==" not in item.specifier and "@" not in item.specifier]
    return (_no_lock(found.files[0], "`uv pip compile` or `pip freeze`"),) if loose else ()


def _no_lock(path: str, command: str) -> Diagnostic:
    return Diagnostic(
        "info",
        "not-pinned",
        f"{path} does not pin every version: a later build may install others",
        f"pin them with {command}",
    )


def _compiles(view: AppView, project: Mapping[str, object]) -> Evidence | None:
    backend = text(project, "build-system", "build-backend")
    if backend.startswith(_COMPILING):
        return view.where("pyproject.toml", "build-backend", f"build-backend {backend}"[:80])
    return None


def _path_source(view: AppView, project: Mapping[str, object]) -> Evidence | None:
    for name, source in mapping(project, "tool", "uv", "sources").items():
        if "path" in mapping(source):
            return view.where("pyproject.toml", "path", f"{name} is a directory of the tree"[:80])
    return None


def key_copies(files: Sequence[str]) -> tuple[Copy, ...]:
    """Copy the key files, each to its own directory."""
    folders: dict[str, list[str]] = {}
    for path in files:
        folders.setdefault(str(PurePosixPath(path).parent), []).append(path)
    return tuple(
        Copy(tuple(paths), "./" if folder == "." else f"./{folder}/") for folder, paths in sorted(folders.items())
    )


def steps(context: Context, chosen: Manager, version: str, extra: Sequence[str]) -> tuple[Instruction, ...]:
    """The install steps of the build stage; `extra` are packages that we add."""
    make = f"uv venv --python /usr/bin/python{version} /opt/venv"
    secrets = context.secrets("PYTHON", "PIP", "PIPX", "UV_", "PDM", "POETRY")
    fingerprint = context.fingerprint(secrets)
    more = (f"uv pip install {' '.join(extra)}",) if extra else ()
    own = context.install_command()
    if own:
        return (
            Run((make,)),
            Copy((".",), "./"),
            Run((own[0],), network=True, verbatim=True, caches=(CACHE,), secrets=secrets, fingerprint=fingerprint),
            *((Run(more, network=True, caches=(CACHE,), secrets=secrets),) if more else ()),
        )
    commands = (make, *(_with_index(command, secrets) for command in (*chosen.commands, *more)))
    whole = chosen.dependencies.whole_tree
    copies = (Copy((".",), "./"),) if whole else key_copies(chosen.dependencies.files)
    if len(commands) == 1:
        return (Run(commands),)
    return (*copies, Run(commands, network=True, caches=(CACHE,), secrets=secrets, fingerprint=fingerprint))


def _with_index(command: str, secrets: Sequence[str]) -> str:
    """uv does not read pip's own variables: give it what they say."""
    told = [
        f'{ours}="${theirs}"'
        for ours, theirs in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_INDEX", "PIP_EXTRA_INDEX_URL"))
        if theirs in secrets and ours not in secrets
    ]
    return "sh -c " + shlex.quote(" ".join(["export", *told, "&&", "exec", command])) if told else command


def own_package(view: AppView, project: Mapping[str, object], manager: Manager, version: str) -> tuple[Run, ...]:
    """Make the project itself importable from `/app`, as an editable install would, without building it.

    So that its metadata and scripts are there while the code stays in the last layer.
    """
    name = reqs.project_name(project)
    built = manager.dependencies.whole_tree and any(
        command.endswith((" .", "--inexact")) for command in manager.commands
    )
    if not mapping(project, "build-system") or built or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", name):
        return ()
    release = text(project, "project", "version")
    release = release if re.fullmatch(r"[A-Za-z0-9.+!_-]{1,50}", release) else "0.0.0"
    site = f"/opt/venv/lib/python{version}/site-packages"
    folder = re.sub(r"[-.]+", "_", name)
    info = f"{site}/{folder}-{release}.dist-info"
    commands = [
        f"mkdir -p {info}",
        _write(f"{info}/METADATA", ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {release}"]),
        _write(f"{info}/RECORD", []),
        _write(f"{site}/{folder}.pth", ["/app/src" if _has_src(view) else "/app"]),
    ]
    scripts = [item for item in sorted(mapping(project, "project", "scripts").items()) if _is_script(*item)]
    if scripts:
        entries = ["[console_scripts]", *(f"{script} = {target}" for script, target in scripts)]
        commands.append(_write(f"{info}/entry_points.txt", entries))
    for script, target in scripts:
        module, _, function = target.partition(":")
        lines = ["#!/opt/venv/bin/python", "import sys", f"from {module} import {function}", f"sys.exit({function}())"]
        commands += [_write(f"/opt/venv/bin/{script}", lines), f"chmod 755 /opt/venv/bin/{script}"]
    return (Run(tuple(commands)),)


def _has_src(view: AppView) -> bool:
    return any(path.startswith("src/") and path.endswith(".py") for path in view.paths)


def _is_script(name: str, target: object) -> bool:
    return (
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}", name) is not None
        and isinstance(target, str)
        and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", target, re.A) is not None
    )


def _write(path: str, lines: Sequence[str]) -> str:
    words = " ".join(shlex.quote(line) for line in lines)
    return f"printf '%s\\n' {words} > {path}" if lines else f": > {path}"
