"""Choose a Node project's package manager, and say how it installs."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from leeward.builders.blueprint import Cache
from leeward.builders.loose import first_text, mapping, text
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.python_dependencies import SAFE_PATH
from leeward.builders.tree import AppView
from leeward.builders.versions import numbers
from leeward.model.build import Diagnostic, Evidence

LOCKS: Mapping[str, tuple[str, ...]] = {
    "pnpm": ("pnpm-lock.yaml",),
    "yarn": ("yarn.lock",),
    "bun": ("bun.lock", "bun.lockb"),
    "npm": ("npm-shrinkwrap.json", "package-lock.json"),
}
# The newest release of each major version when this list was written: a plan names exactly one.
_NEWEST: Mapping[str, Mapping[int, str]] = {
    "pnpm": {6: "6.35.1", 7: "7.33.7", 8: "8.15.9", 9: "9.15.9", 10: "10.34.9", 11: "11.28.11"},
    "yarn": {1: "1.22.22", 2: "2.4.2", 3: "3.8.6", 4: "4.18.1"},
    "bun": {1: "1.4.5"},
}
_USUAL: Mapping[str, int] = {"pnpm": 10, "yarn": 1, "bun": 1}
# The pnpm that wrote each form of the lock file; 9.0 is that of 9 and all later ones.
_PNPM_LOCKS: Mapping[str, int] = {"5.1": 6, "5.2": 6, "5.3": 6, "5.4": 7, "6.0": 8, "6.1": 8, "9.0": 10}
_VERSION = re.compile(r"\d{1,3}(?:\.\d{1,5}){0,2}(?:-[0-9A-Za-z.]{1,20})?")
_GLOBAL = "npm install --global --no-audit --no-fund --no-update-notifier"
_BERRY_ENV = {
    "YARN_ENABLE_PROGRESS_BARS": "0",
    "YARN_ENABLE_TELEMETRY": "0",
    "YARN_GLOBAL_FOLDER": "/root/.yarn/berry",
    "YARN_NODE_LINKER": "node-modules",
}
_MANIFESTS = (".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", ".pnpmfile.cjs", "pnpm-workspace.yaml")
_FOLDERS = ("patches/", ".yarn/releases/", ".yarn/plugins/", ".yarn/patches/", ".yarn/cache/")
_MAX_FILES = 2000


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager: how it comes, what it installs by, and from which files."""

    name: str
    evidence: Evidence
    files: tuple[str, ...]
    cache: Cache
    install: tuple[str, ...]
    without_dev: tuple[str, ...]
    """Leave what the build alone needed out of what is installed."""
    version: str = ""
    """'' for the npm that comes with Node."""
    setup: tuple[str, ...] = ()
    """Bring the tool itself."""
    fetch: tuple[str, ...] = ()
    """Fetch what the lock file alone names, before `install`."""
    env: Mapping[str, str] = field(default_factory=dict)
    alternatives: tuple[str, ...] = ()
    notes: tuple[Diagnostic, ...] = ()

    def run(self, script: str) -> str:
        """The command that runs a script of the manifest."""
        return f"{self.name} run {script}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which manager, which version of it, and who says so."""

    name: str
    version: str
    evidence: Evidence


def manager(project: Project) -> Manager:
    """The package manager that `packageManager` or the lock file asks for, npm when none does."""
    view = project.root
    manifest = project.workspace.manifest if project.workspace else project.manifest
    present = [tool for tool, locks in LOCKS.items() if view.first(*locks)]
    asked = next(_asked(view, manifest), None)
    if asked is None or (asked.name not in present and present and asked.name == "npm"):
        tool = present[0] if present else "npm"
        asked = _Asked(tool, "", Evidence(view.first(*LOCKS[tool]) or FILE))
    others = tuple(other for other in present if other != asked.name)
    build = {"pnpm": _pnpm, "yarn": _yarn, "bun": _bun}.get(asked.name, _npm)
    return build(project, asked, others)


def _asked(view: AppView, manifest: Mapping[str, object]) -> Iterator[_Asked]:
    """What the manifest says: exact versions before ranges."""
    said = text(manifest, "packageManager")
    name, _, version = said.partition("+")[0].partition("@")
    if name in LOCKS:
        yield _Asked(name, version, view.where(FILE, '"packageManager":', said[:60]))
    wanted = mapping(manifest, "devEngines").get("packageManager")
    for each in wanted if isinstance(wanted, list) else [wanted]:
        if (name := text(each, "name")) in LOCKS:
            place = view.where(FILE, '"devEngines":', f"devEngines.packageManager {name}")
            yield _Asked(name, text(each, "version"), place)
    for name, version, place in _tools(view):
        if view.first(*LOCKS[name]):
            yield _Asked(name, version, place)
    for table in ("volta", "engines"):
        for name in ("pnpm", "yarn", "bun"):
            # Everybody has an opinion about npm; the lock file knows better.
            if (version := text(manifest, table, name)) and view.first(*LOCKS[name]):
                yield _Asked(name, version, view.where(FILE, f'"{table}":', f"{table}.{name} {version}"[:60]))


def _tools(view: AppView) -> Iterator[tuple[str, str, Evidence]]:
    """What the files of asdf and mise say."""
    for number, line in view.lines(".tool-versions"):
        words = line.split()
        if len(words) > 1 and words[0] in ("pnpm", "yarn", "bun"):
            yield words[0], words[1], Evidence(".tool-versions", number, line.strip()[:60])
    for path in ("mise.toml", ".mise.toml"):
        tools = mapping(view.toml(path), "tools")
        for name in ("pnpm", "yarn", "bun"):
            for key in (name, f"npm:{name}"):
                if version := first_text(tools.get(key)):
                    yield name, version, view.where(path, key, f"{key} = {version}"[:60])


def _exact(tool: str, asked: str, usual: int) -> str:
    """The version to install: an exact one as it is, a range as the newest of its first major version."""
    known = _NEWEST[tool]
    word = asked.strip().lstrip("v=")
    if _VERSION.fullmatch(word) and word.count(".") == 2:
        return word
    first = re.search(r"\d{1,3}", asked)
    major = int(first.group()) if first else usual
    if asked.startswith(">"):
        major = max(major, usual)
    return known.get(major, known[usual])


def _files(project: Project, *locks: str) -> tuple[str, ...]:
    """The files that the install reads; those of the whole workspace, for the lock file names it all."""
    view = project.root
    found = [path for path in (FILE, *locks, *_MANIFESTS) if view.has(path)]
    if project.workspace:
        found += [f"{member.folder}/{FILE}" for member in project.workspace.members]
    found += [path for path in view.paths if path.startswith(_FOLDERS)][:_MAX_FILES]
    found += project.schema_files()
    return tuple(dict.fromkeys(path for path in found if SAFE_PATH.fullmatch(path)))


def _or_without(command: str, loose: str) -> str:
    """A lock that does not fit package.json is common: install anyway, loudly."""
    warning = "echo 'WARNING: the lock file does not fit package.json: installing without it' >&2"
    return f'sh -c "{command} || {{ {warning}; {loose}; }}"'


def _loose(project: Project, command: str) -> tuple[Diagnostic, ...]:
    if not project.all_dependencies:
        return ()
    what = "there is no lock file: a later build may install other versions"
    return (Diagnostic("info", "not-pinned", what, f"commit the lock file that `{command}` writes"),)


def _filters(project: Project, flag: str) -> str:
    """One flag for each package that is installed; nothing where the whole directory is."""
    if not project.member:
        return ""
    folders = [member.folder for member in (*project.siblings, project.member)]
    return "".join(f" {flag}{shlex.quote(folder)}" for folder in folders)


def _npm(project: Project, asked: _Asked, others: tuple[str, ...]) -> Manager:
    lock = project.root.first(*LOCKS["npm"])
    exact = _VERSION.fullmatch(asked.version) and asked.version.count(".") == 2
    only = f"{_filters(project, '--workspace=')} --include-workspace-root" if project.member else ""
    quiet = f"--no-audit --no-fund --include=dev{only}"
    install = _or_without(f"npm ci {quiet}", f"npm install {quiet}") if lock else f"npm install {quiet}"
    return Manager(
        "npm",
        asked.evidence,
        _files(project, *LOCKS["npm"]),
        Cache("npm", "/root/.npm"),
        (install,),
        (f"npm prune --omit=dev --no-audit --no-fund{only}",),
        version=asked.version if exact else "",
        setup=(f"{_GLOBAL} npm@{asked.version}",) if exact else (),
        alternatives=others,
        notes=() if lock else _loose(project, "npm install --package-lock-only"),
    )


def _pnpm(project: Project, asked: _Asked, others: tuple[str, ...]) -> Manager:
    view, lock = project.root, LOCKS["pnpm"][0]
    version = _exact("pnpm", asked.version, _pnpm_of(view))
    only = f" --filter '{{./{project.member.folder}}}...' --filter ." if project.member else ""
    ignore = " --ignore-scripts" if project.install_scripts else ""
    store = "--store-dir=/root/.pnpm-store"
    every = f"pnpm install --prod=false {store}{only}"
    locked = view.has(lock)
    alone = locked and not project.workspace and numbers(version) >= (8,)
    return Manager(
        "pnpm",
        asked.evidence,
        _files(project, lock),
        Cache("pnpm", "/root/.pnpm-store"),
        (_or_without(f"{every} --frozen-lockfile{' --offline' if alone else ''}", f"{every} --no-frozen-lockfile"),)
        if locked
        else (f"{every} --no-frozen-lockfile",),
        (
            "find . -name node_modules -type d -prune -exec rm -rf {} +",
            f"pnpm install --prod {store}{only} --prefer-offline{' --frozen-lockfile' if locked else ''}{ignore}",
        ),
        version=version,
        setup=(f"{_GLOBAL} pnpm@{version}",),
        fetch=(f"pnpm fetch {store}",) if alone else (),
        # It would ask, and fetch another release of itself.
        env={"CI": "true", "npm_config_manage_package_manager_versions": "false"},
        alternatives=others,
        notes=() if locked else _loose(project, "pnpm install --lockfile-only"),
    )


def _pnpm_of(view: AppView) -> int:
    """The pnpm that the lock file was written by."""
    head = view.read("pnpm-lock.yaml")[:200]
    match = re.search(r"^lockfileVersion:\s*['\"]?(\d+\.\d+)", head, re.M)
    return _PNPM_LOCKS.get(match.group(1), _USUAL["pnpm"]) if match else _USUAL["pnpm"]


def _yarn(project: Project, asked: _Asked, others: tuple[str, ...]) -> Manager:
    view = project.root
    berry = view.has(".yarnrc.yml") or "__metadata:" in view.read("yarn.lock")[:2000]
    version = _exact("yarn", asked.version or _vendored(view), 4 if berry else 1)
    if (numbers(version) or (1,))[0] > 1:
        return _berry(project, version, asked, others)
    every = "yarn install --production=false --non-interactive --cache-folder=/root/.yarn/v1"
    locked = view.has("yarn.lock")
    ignore = " --ignore-scripts" if project.install_scripts else ""
    return Manager(
        "yarn",
        asked.evidence,
        _files(project, "yarn.lock"),
        Cache("yarn", "/root/.yarn"),
        (_or_without(f"{every} --frozen-lockfile", every) if locked else every,),
        (f"{every.replace('production=false', 'production')} --prefer-offline{ignore}",),
        version=version,
        setup=(f"{_GLOBAL} yarn@{version}",),
        alternatives=others,
        notes=() if locked else _loose(project, "yarn install"),
    )


def _vendored(view: AppView) -> str:
    """The version of the yarn that the repository brings itself."""
    match = re.search(r"^yarnPath:\s*\S*?yarn-(\d+\.\d+\.\d+)\.c?js\s*$", view.read(".yarnrc.yml")[:10_000], re.M)
    return match.group(1) if match else ""


def _berry(project: Project, version: str, asked: _Asked, others: tuple[str, ...]) -> Manager:
    view = project.root
    kept = any(path.startswith(".yarn/cache/") and path.endswith(".zip") for path in view.paths)
    locked = view.has("yarn.lock")
    note: tuple[Diagnostic, ...] = () if locked else _loose(project, "yarn install")
    if view.first(".pnp.cjs", ".pnp.js"):
        what = "the packages are laid out as node_modules, not as Plug'n'Play"
        note += (Diagnostic("info", "plug-n-play", what, "set nodeLinker: node-modules in .yarnrc.yml"),)
    one = project.member.name if project.member else ""
    named = shlex.quote(one) if one else "--all"
    focus = f"yarn workspaces focus --production {named}"
    # Before 4 it is a plugin, which may be there: what is too much does no harm.
    prune = focus if numbers(version)[0] > 3 else f"sh -c {shlex.quote(f'{focus} || true')}"
    return Manager(
        "yarn",
        asked.evidence,
        _files(project, "yarn.lock"),
        Cache("yarn", "/root/.yarn"),
        (_or_without("yarn install --immutable", "yarn install --no-immutable") if locked else "yarn install",),
        (prune,),
        version=version,
        setup=(f"{_GLOBAL} @yarnpkg/cli-dist@{version}",),
        env={**_BERRY_ENV, "YARN_ENABLE_GLOBAL_CACHE": "false" if kept else "true"},
        alternatives=others,
        notes=note,
    )


def _bun(project: Project, asked: _Asked, others: tuple[str, ...]) -> Manager:
    version = _exact("bun", asked.version, _USUAL["bun"])
    locked = project.root.first(*LOCKS["bun"])
    only = _filters(project, "--filter=./")
    ignore = " --ignore-scripts" if project.install_scripts else ""
    frozen = " --frozen-lockfile" if locked else ""
    every = f"bun install --no-progress{only}"
    return Manager(
        "bun",
        asked.evidence,
        _files(project, *LOCKS["bun"]),
        Cache("bun", "/root/.bun/install/cache"),
        (_or_without(f"{every}{frozen}", every) if locked else every,),
        (
            "find . -name node_modules -type d -prune -exec rm -rf {} +",
            f"bun install --no-progress --production{only}{frozen}{ignore}",
            "mkdir -p node_modules",
        ),
        version=version,
        setup=(f"{_GLOBAL} bun@{version}",),
        alternatives=others,
        notes=() if locked else _loose(project, "bun install"),
    )
