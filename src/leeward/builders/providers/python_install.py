"""Install a Python app's dependencies into `/opt/venv`, in a layer of its own."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from leeward.builders.blueprint import Cache, Copy, Env, Instruction, Run
from leeward.builders.loose import mapping, text, texts
from leeward.builders.providers import python_dependencies as reqs
from leeward.builders.providers import python_locks, python_older, python_workspace
from leeward.builders.providers.provider import Context
from leeward.builders.providers.python_dependencies import Dependencies, Dependency
from leeward.builders.providers.python_locks import Held
from leeward.builders.providers.python_workspace import Member, Workspace
from leeward.builders.providers.static_site import write
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

CACHE = Cache("uv", "/var/cache/uv")
_HELD = "/tmp/held.txt"
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
    python: str = ""
    """The version that the declaration names itself."""
    workspace: Workspace | None = None
    member: Member | None = None

    @property
    def decision(self) -> Decision:
        """Which package manager, and why."""
        return Decision("package manager", self.name, self.evidence, self.alternatives)


def manager(view: AppView, project: Mapping[str, object], root: AppView | None = None) -> Manager:
    """Choose how to install; exact lock files before looser lists. `root` is the whole source."""
    if found := python_workspace.around(root, view):
        return _in_workspace(*found)
    requirements = view.first(*reqs.REQUIREMENTS)
    has_project = bool(mapping(project, "project") or mapping(project, "tool", "poetry"))
    if view.has("uv.lock") and view.has("pyproject.toml"):
        return _uv(view, project, ("pip",) if requirements else ())
    if requirements:
        return _pip(view, requirements, ("pyproject",) if has_project else ())
    if has_project:
        return _project(view, project)
    if view.has("Pipfile"):
        return _pipfile(view)
    return _older(view) or Manager("none", Dependencies((), ()), (Evidence(".", 0, "no dependency file"),))


def _in_workspace(workspace: Workspace, member: Member) -> Manager:
    """One package of a workspace: the lock file lies at the root, which is what is installed in."""
    needed = workspace.needs(member.asks_for)
    listed = [reqs.from_project(_view(workspace, each), each.project) for each in (member, *needed)]
    items = tuple(item for each in listed for item in each.items)
    found = Dependencies(items, workspace.files)
    packages = python_locks.held(workspace.root, python_workspace.LOCK)
    command = f"uv sync --frozen --no-dev --no-install-workspace --inexact --package {shlex.quote(member.name)}"
    place = Evidence(f"{workspace.root.name}/uv.lock".removeprefix("./"), 0, f"package {member.folder}")
    return Manager("uv", _as_held(found, packages), (place,), (command,), workspace=workspace, member=member)


def _view(workspace: Workspace, member: Member) -> AppView:
    return workspace.root.at(member.folder) or workspace.root


def _older(view: AppView) -> Manager | None:
    """What only `setup.py` or conda's file says."""
    if (found := python_older.setup(view)) is not None:
        place = (Evidence(view.first(*python_older.SETUP) or "setup.py"),)
        words = [f"{item.name}{_extras(item)}{_safe(item.specifier)}" for item in found.items]
        commands = ("uv pip install .",) if found.whole_tree else _install(words, {})
        return Manager("setuptools", found, place, commands, notes=(_no_lock(place[0].file, "`uv pip compile`"),))
    if known := python_older.conda(view):
        dependencies, version, notes = known
        words = [f"{item.name}{_extras(item)}{_safe(item.specifier)}" for item in dependencies.items]
        place = (Evidence(view.first(*python_older.CONDA) or "environment.yml"),)
        return Manager("conda", dependencies, place, _install(words, {}), notes=notes, python=version)
    return None


def _extras(item: Dependency) -> str:
    return f"[{','.join(sorted(item.extras))}]" if item.extras else ""


def _safe(specifier: str) -> str:
    return specifier if re.fullmatch(r"[A-Za-z0-9.*+!_<>=~, -]{0,120}", specifier) else ""


def wanted(context: Context, project: Mapping[str, object]) -> Manager:
    """How a variable says that it is installed, where the files for that are there; else as the files say."""
    view, option = context.view, context.option("PYTHON_PACKAGE_MANAGER")
    name = option[0].lower() if option else "auto"
    requirements = view.first(*reqs.REQUIREMENTS)
    chosen: Manager | None = None
    if option and name == "skip":
        chosen = Manager("none", Dependencies((), ()), ())
    elif name == "requirements" and requirements:
        chosen = _pip(view, requirements, ())
    elif name == "uv" and view.has("uv.lock") and view.has("pyproject.toml"):
        chosen = _uv(view, project, ())
    elif name in ("setuptools", "poetry", "pdm") and view.has("pyproject.toml"):
        chosen = _project(view, project)
    elif name == "pipenv" and view.has("Pipfile"):
        chosen = _pipfile(view)
    if option and chosen:
        return replace(chosen, evidence=(option[1], *chosen.evidence))
    usual = manager(view, project, context.root)
    if not option or name == "auto":
        return usual
    text = f"the {option[1].file} asks for '{name[:40]}', and its files are not there"
    note = Diagnostic("warning", "not-honoured", text, "use auto, requirements, setuptools, poetry, pdm, uv or pipenv")
    return replace(usual, notes=(*usual.notes, note))


def _pip(view: AppView, requirements: str, others: tuple[str, ...]) -> Manager:
    found = reqs.from_requirements(view, requirements)
    names = " ".join(f"-r {shlex.quote(path)}" for path in found.files[:1])
    command = f"uv pip install {names}"
    return Manager("pip", found, (Evidence(requirements),), (command,), others, _unpinned(found), requirements)


def _uv(view: AppView, project: Mapping[str, object], others: tuple[str, ...]) -> Manager:
    found = reqs.from_project(view, project)
    workspace = python_workspace.at(view)
    reason = _compiles(view, project) or _path_source(view, project)
    files = workspace.files if workspace else ("pyproject.toml", "uv.lock")
    skip = "" if reason and reason.what.startswith("build-backend") else " --no-install-workspace"
    packages = python_locks.held(view, "uv.lock")
    dependencies = _as_held(Dependencies(found.items, files, reason is not None, reason), packages)
    every = " --all-packages" if workspace and workspace.virtual else ""
    command = f"uv sync --frozen --no-dev --no-editable --inexact{skip}{every}"
    return Manager("uv", dependencies, (Evidence("uv.lock"),), (command,), others, workspace=workspace)


def _project(view: AppView, project: Mapping[str, object]) -> Manager:
    found = reqs.from_project(view, project)
    lock = view.first("poetry.lock", "pdm.lock")
    name = python_locks.LOCKS[lock] if lock else "pyproject"
    packages = python_locks.held(view, lock) if lock else {}
    notes = () if lock else (_no_lock("pyproject.toml", "`uv lock`"),)
    evidence = (Evidence(lock),) if lock else (Evidence("pyproject.toml"),)
    listed = texts(project, "project", "dependencies")
    table = {} if listed else mapping(project, "tool", "poetry", "dependencies")
    reason = _compiles(view, project)
    if reason is None and "dependencies" in texts(project, "project", "dynamic"):
        reason = view.where("pyproject.toml", "dynamic", "its build backend knows the dependencies")
    words = python_locks.requirements(table) if table else None
    if reason is None and table and words is None:
        reason = Evidence("pyproject.toml", 0, "a dependency is more than a version")
    if reason is None and words is not None:
        commands = _install(words, packages)
        return Manager(name, _as_held(Dependencies(found.items, ()), packages), evidence, commands, (), notes)
    command = "uv pip install ." if reason else "uv pip install -r pyproject.toml"
    dependencies = _as_held(Dependencies(found.items, found.files, reason is not None, reason), packages)
    return Manager(name, dependencies, evidence, _held_to(command, packages), (), notes)


def _pipfile(view: AppView) -> Manager:
    found = reqs.from_pipfile(view)
    packages = python_locks.held(view, "Pipfile.lock") if view.has("Pipfile.lock") else {}
    words = python_locks.requirements(mapping(view.toml("Pipfile"), "packages"))
    if words is None:
        raise PlanFailed(
            "'Pipfile' has packages that are more than a name and a version",
            hint="add a requirements.txt with `pipenv requirements > requirements.txt`",
        )
    notes = () if packages else (_no_lock("Pipfile", "`pipenv lock`"),)
    evidence = (Evidence("Pipfile.lock" if packages else "Pipfile"),)
    return Manager(
        "pipenv", _as_held(Dependencies(found.items, ()), packages), evidence, _install(words, packages), (), notes
    )


def _install(words: Sequence[str], packages: Mapping[str, Held]) -> tuple[str, ...]:
    """Install what is asked for, at the versions that are held: the plan itself brings the list."""
    if not words:
        return ()
    return _held_to(f"uv pip install {' '.join(shlex.quote(word) for word in words)}", packages)


def _held_to(command: str, packages: Mapping[str, Held]) -> tuple[str, ...]:
    lines = python_locks.constraints(packages)
    return (write(_HELD, lines), f"{command} -c {_HELD}") if lines else (command,)


def _as_held(dependencies: Dependencies, packages: Mapping[str, Held]) -> Dependencies:
    """The dependencies with everything that is held, at its version."""
    known = {reqs.normal(name): item for name, item in packages.items()}
    asked = {item.name for item in dependencies.items}
    items = [
        replace(item, specifier=f"=={known[item.name].version}") if item.name in known else item
        for item in dependencies.items
    ]
    items += [
        Dependency(name, frozenset(), f"=={item.version}", item.evidence, held=True)
        for name, item in sorted(known.items())
        if name not in asked
    ]
    return replace(dependencies, items=tuple(items))


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
    own, beside = context.install_command(), context.foreign.install
    # The user's own commands call `pip` and `python`, and mean the app's; ours need neither.
    brought = own is not None or bool(beside.before or beside.after)
    interpreter = f"/usr/bin/python{version}"
    make = f"{interpreter} -m venv /opt/venv" if brought else f"uv venv --python {interpreter} /opt/venv"
    path = (Env({"PATH": "/opt/venv/bin:$PATH"}),) if brought else ()
    secrets = context.secrets("PYTHON", "PIP", "PIPX", "UV_", "PDM", "POETRY")
    fingerprint = context.fingerprint(secrets)
    more = (f"uv pip install {' '.join(extra)}",) if extra else ()
    if own:
        return (
            *path,
            Run((make,)),
            Copy((".",), "./"),
            Run((own[0],), network=True, verbatim=True, caches=(CACHE,), secrets=secrets, fingerprint=fingerprint),
            *((Run(more, network=True, caches=(CACHE,), secrets=secrets),) if more else ()),
        )
    commands = (make, *(_with_index(command, secrets) for command in (*chosen.commands, *more)))
    whole = chosen.dependencies.whole_tree
    copies = (Copy((".",), "./"),) if whole else key_copies(chosen.dependencies.files)
    if len(commands) == 1:
        return (*path, Run(commands))
    return (*path, *copies, Run(commands, network=True, caches=(CACHE,), secrets=secrets, fingerprint=fingerprint))


def _with_index(command: str, secrets: Sequence[str]) -> str:
    """uv does not read pip's own variables: give it what they say."""
    told = [
        f'{ours}="${theirs}"'
        for ours, theirs in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_INDEX", "PIP_EXTRA_INDEX_URL"))
        if theirs in secrets and ours not in secrets
    ]
    if not command.startswith("uv "):
        return command
    return "sh -c " + shlex.quote(" ".join(["export", *told, "&&", "exec", command])) if told else command


def own_packages(view: AppView, project: Mapping[str, object], manager: Manager, version: str) -> tuple[Run, ...]:
    """Make the project itself importable from `/app`, as an editable install would, without building it.

    So that its metadata and scripts are there while the code stays in the last layer; the same for the packages of a
    workspace that it needs.
    """
    built = manager.dependencies.whole_tree and any(
        command.endswith((" .", "--inexact")) for command in manager.commands
    )
    if built:
        return ()
    site = f"/opt/venv/lib/python{version}/site-packages"
    commands: list[str] = []
    workspace, member = manager.workspace, manager.member
    if member is None:
        commands += _importable(view, project, "", site)
    if workspace:
        names = (
            {each.name for each in workspace.members}
            if workspace.virtual and member is None
            else member.asks_for | {member.name}
            if member
            else _own_names(project)
        )
        for each in workspace.needs(names):
            commands += _importable(_view(workspace, each), each.project, f"/{each.folder}", site)
    return (Run(tuple(commands)),) if commands else ()


def _own_names(project: Mapping[str, object]) -> frozenset[str]:
    return Member("", "", project).asks_for


def _importable(view: AppView, project: Mapping[str, object], at: str, site: str) -> list[str]:
    name = reqs.project_name(project)
    if not mapping(project, "build-system") or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", name):
        return []
    release = text(project, "project", "version")
    release = release if re.fullmatch(r"[A-Za-z0-9.+!_-]{1,50}", release) else "0.0.0"
    folder = re.sub(r"[-.]+", "_", name)
    info = f"{site}/{folder}-{release}.dist-info"
    commands = [
        f"mkdir -p {info}",
        _write(f"{info}/METADATA", ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {release}"]),
        _write(f"{info}/RECORD", []),
        _write(f"{site}/{folder}.pth", [f"/app{at}/src" if _has_src(view) else f"/app{at}"]),
    ]
    scripts = [item for item in sorted(mapping(project, "project", "scripts").items()) if _is_script(*item)]
    if scripts:
        entries = ["[console_scripts]", *(f"{script} = {target}" for script, target in scripts)]
        commands.append(_write(f"{info}/entry_points.txt", entries))
    for script, target in scripts:
        module, _, function = target.partition(":")
        lines = ["#!/opt/venv/bin/python", "import sys", f"from {module} import {function}", f"sys.exit({function}())"]
        commands += [_write(f"/opt/venv/bin/{script}", lines), f"chmod 755 /opt/venv/bin/{script}"]
    return commands


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
