"""The buildpack for Node: npm, and through it yarn and pnpm."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leeward.builders.cnb import procfile
from leeward.builders.cnb.hooks import Hooks, hooks, run
from leeward.builders.cnb.phase import Component, Failed, Layer, Phase, Process, files_key, key_of, say

LOOKED_FOR = ("package.json",)
# Where the builder image has its versions.
NODES = Path("/opt/node")
_USUAL = "24"
# The platform's word for the version that it chose, and that the run image has.
GIVEN = "LEEWARD_NODE"
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")
_SETTINGS = (".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml")


def detect(phase: Phase) -> bool:
    """Whether the app is Node's."""
    return bool(phase.has(*LOOKED_FOR))


def build(phase: Phase) -> None:
    """Node in one layer, what the app needs to run in another; the build script sees all packages."""
    package = _json(phase, "package.json")
    given = phase.env.get(GIVEN, "")
    node = NODES / (given or version(package, tuple(path.name for path in NODES.glob("[0-9]*"))))
    env = {"PATH": f"{node / 'bin'}:{phase.env.get('PATH', '')}", "npm_config_cache": str(phase.tools_cache("npm"))}
    env |= {"npm_config_fund": "false", "npm_config_audit": "false", "npm_config_update_notifier": "false"}
    phase.env |= env
    if not given:
        _tool(phase, node)
    own = hooks(phase, "node")
    run(phase, *own.before)
    if own.install:
        run(phase, own.install, env={"NODE_ENV": "development", "CI": "1"})
        _script(phase, package, own)
    elif in_place(package):
        say("note: packages of the app itself are installed: every change of the code installs anew")
        _manager(phase, phase.app, dev=True)
        _script(phase, package, own)
    elif not needs_packages(package):
        _script(phase, package, own)
    else:
        _layers(phase, package, node, own)
    phase.processes(_processes(phase, package))


def version(package: Mapping[str, Any], there: tuple[str, ...]) -> str:
    """The version to use of those that are there: the newest even one that `engines.node` lets pass."""
    offers = sorted((name for name in there if name.isdigit()), key=int)
    if not offers:
        raise Failed("the builder image has no Node")
    engines = package.get("engines")
    wanted = str(engines.get("node", "")) if isinstance(engines, dict) else ""
    fitting = [name for name in offers if _fits(wanted, int(name))]
    if not fitting:
        raise Failed(f"engines.node '{wanted}' cannot be had: there are {', '.join(offers)}")
    return _USUAL if _USUAL in fitting else fitting[-1]


def needs_packages(package: Mapping[str, Any]) -> bool:
    """Whether there is anything to install."""
    kinds = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "workspaces")
    return any(package.get(kind) for kind in kinds)


def in_place(package: Mapping[str, Any]) -> bool:
    """Whether packages lie in the app itself, so that they cannot be installed apart from it."""
    kinds = [package.get(kind) for kind in ("dependencies", "devDependencies", "optionalDependencies")]
    wanted = [str(value) for kind in kinds if isinstance(kind, dict) for value in kind.values()]
    scripts = package.get("scripts")
    hooks = isinstance(scripts, dict) and {"preinstall", "postinstall", "prepare"} & scripts.keys()
    return bool(hooks or "workspaces" in package or any(re.match(r"file:|link:|workspace:|\.", v) for v in wanted))


def components(modules: Path) -> Iterator[Component]:
    """What is installed below a `node_modules`."""
    for path in sorted(modules.glob("**/package.json")):
        where = path.parent.relative_to(modules).as_posix()
        if not re.fullmatch(r"(?:.*/node_modules/|\.pnpm/[^/]+/node_modules/)?(?:@[^/]+/)?[^/@.][^/]*", where):
            continue
        try:
            facts = json.loads(path.read_bytes())
            name, number = str(facts["name"]), str(facts["version"])
        except (ValueError, KeyError, TypeError, OSError):
            continue
        yield Component(name, number, f"pkg:npm/{name.replace('@', '%40', 1)}@{number}")


def _fits(wanted: str, major: int) -> bool:
    """Whether a range of `engines.node` lets a major version pass; what is not understood does."""
    if not wanted.strip():
        return True
    return any(_part(part.strip(), major) for part in wanted.split("||"))


def _part(part: str, major: int) -> bool:
    for sign, number in re.findall(r"(>=|<=|>|<|\^|~|=)?\s*v?(\d+)(?:\.[\dx*]+)*", part):
        bound = int(number)
        fine = {">=": major >= bound, ">": major >= bound, "<=": major <= bound, "<": major < bound}
        if not fine.get(sign, major == bound):
            return False
    return True


def _tool(phase: Phase, node: Path) -> None:
    layer = phase.layer("node")
    key = key_of(node.name, (node / "bin" / "node").stat().st_size)
    if layer.known != key:
        shutil.copytree(node, layer.empty(), symlinks=True, dirs_exist_ok=True)
        layer.env({"NODE_ENV": "production"})
        layer.bill([Component("node", node.name, f"pkg:generic/node@{node.name}")])
    layer.keep(key, launch=True)


def _layers(phase: Phase, package: Mapping[str, Any], node: Path, own: Hooks) -> None:
    """Install apart from the app, so that a change of the code leaves the packages alone."""
    key = key_of(node.name, files_key(phase.app, ("package.json", *_LOCKS, *_SETTINGS)))
    scripts = package.get("scripts")
    builds = own.need_packages or (isinstance(scripts, dict) and "build" in scripts)
    shutil.rmtree(phase.app / "node_modules", ignore_errors=True)
    link = phase.app / "node_modules"
    if builds:
        whole = phase.layer("build-modules")
        _filled(phase, whole, key, dev=True)
        whole.keep(key, build=True, cache=True)
        link.symlink_to(whole.path / "node_modules")
        _script(phase, package, own)
        link.unlink(missing_ok=True)
    layer = phase.layer("modules")
    if layer.known == key:
        say("packages are as they were: the layer is used again")
    else:
        _filled(phase, layer, key, dev=False)
        layer.bill(components(layer.path / "node_modules"))
    layer.keep(key, launch=True)
    link.symlink_to(layer.path / "node_modules")


def _filled(phase: Phase, layer: Layer, key: str, *, dev: bool) -> None:
    if layer.known == key and (layer.path / "node_modules").is_dir():
        return
    folder = layer.empty()
    for name in ("package.json", *_LOCKS, *_SETTINGS):
        if phase.has(name):
            shutil.copyfile(phase.app / name, folder / name)
    _manager(phase, folder, dev=dev)
    (folder / "node_modules").mkdir(exist_ok=True)
    for path in (folder / "node_modules" / ".cache", folder / "node_modules" / ".modules.yaml"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _manager(phase: Phase, folder: Path, *, dev: bool) -> None:
    """Install with the manager whose lock is there."""
    name, major = manager(phase)
    env = {"NODE_ENV": "development" if dev else "production", "CI": "1"}
    npx = ("npm", "exec", "--yes", "--")
    match name:
        case "pnpm":
            only = () if dev else ("--prod",)
            command = (*npx, f"pnpm@{major or '9'}", "install", "--frozen-lockfile", "--node-linker=hoisted", *only)
        case "yarn" if int(major or "1") == 1:
            only = () if dev else ("--production",)
            command = (*npx, "yarn@1", "install", "--frozen-lockfile", "--non-interactive", *only)
        case "yarn":
            env |= {"YARN_NODE_LINKER": "node-modules", "YARN_ENABLE_TELEMETRY": "0"}
            command = (*npx, f"@yarnpkg/cli-dist@{major}", "install", "--immutable")
        case _:
            only = () if dev else ("--omit=dev",)
            verb = "ci" if (folder / "package-lock.json").is_file() or phase.has("npm-shrinkwrap.json") else "install"
            command = ("npm", verb, *only)
    phase.run(*command, cwd=folder, env=env)


def manager(phase: Phase) -> tuple[str, str]:
    """The package manager, and its major version where one is named."""
    said = re.match(r"(npm|yarn|pnpm)@(\d+)", str(_json(phase, "package.json").get("packageManager", "")))
    if said:
        return said[1], said[2]
    if phase.has("pnpm-lock.yaml"):
        return "pnpm", ""
    if phase.has("yarn.lock"):
        return "yarn", "4" if "__metadata:" in phase.text("yarn.lock") else "1"
    return "npm", ""


def _script(phase: Phase, package: Mapping[str, Any], own: Hooks) -> None:
    """The build script, or the user's own command in its place, and what runs around it."""
    scripts, env = package.get("scripts"), {"NODE_ENV": "production", "CI": "1"}
    modules = {**env, "PATH": f"{phase.app / 'node_modules' / '.bin'}:{phase.env.get('PATH', '')}"}
    run(phase, *own.between, own.build, env=modules)
    if not own.build and isinstance(scripts, dict) and "build" in scripts:
        phase.run("npm", "run", "build", env=env)
    run(phase, *own.after, env=modules)


def _processes(phase: Phase, package: Mapping[str, Any]) -> list[Process]:
    if procfile.listed(phase):
        return []
    scripts = package.get("scripts")
    if isinstance(scripts, dict) and "start" in scripts:
        return [Process("web", "exec npm start", True)]
    main = phase.has(str(package.get("main") or "server.js"), "server.js", "index.js", "app.js")
    return [Process("web", f"exec node {main}", True)] if main and re.fullmatch(r"[\w./-]+", main) else []


def _json(phase: Phase, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(phase.text(name) or "{}")
    except ValueError as error:
        raise Failed(f"'{name}' is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Failed(f"'{name}' must hold an object")
    return found
