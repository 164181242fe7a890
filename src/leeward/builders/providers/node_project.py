"""Read a Node project's manifest: its scripts, dependencies, package manager and version."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leeward.builders import semver
from leeward.builders.catalogue import NODE
from leeward.builders.loose import first_text, mapping, text
from leeward.builders.providers.provider import Context, bounded
from leeward.builders.tree import AppView
from leeward.builders.versions import Accepts, Demand, numbers, pinned
from leeward.errors import PlanFailed
from leeward.model.build import Diagnostic, Evidence

FILE = "package.json"
# Scripts that npm runs while installing: they may need any file of the tree.
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")


@dataclass(frozen=True, slots=True)
class Project:
    """What `package.json` says, with the place of each script and dependency."""

    view: AppView
    manifest: Mapping[str, Any]

    def script(self, name: str) -> str:
        """The text of a script, '' when there is none."""
        found = text(self.manifest, "scripts", name)
        return bounded(found, f"{FILE} scripts.{name}") if found else ""

    def script_at(self, name: str) -> Evidence:
        """Where a script stands."""
        return self.key_at(name, f"scripts.{name}: {self.script(name)}"[:100])

    def key_at(self, key: str, what: str = "") -> Evidence:
        """Where a key stands."""
        return self.view.where(FILE, f'"{key}":', what or key)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """What is installed at run time too."""
        return tuple(str(name) for name in mapping(self.manifest, "dependencies"))

    @property
    def all_dependencies(self) -> frozenset[str]:
        """What is installed for the build."""
        return frozenset([*self.dependencies, *(str(name) for name in mapping(self.manifest, "devDependencies"))])

    @property
    def has_dev_dependencies(self) -> bool:
        """Whether something is installed for the build only."""
        return bool(mapping(self.manifest, "devDependencies"))

    def whole_tree(self) -> Evidence | None:
        """Why installing needs the whole tree."""
        for name in _INSTALL_SCRIPTS:
            if self.script(name):
                return self.script_at(name)
        if self.manifest.get("workspaces") or self.view.has("pnpm-workspace.yaml"):
            return self.key_at("workspaces")
        for group in ("dependencies", "devDependencies", "optionalDependencies"):
            for name, value in mapping(self.manifest, group).items():
                if isinstance(value, str) and value.startswith(("file:", "link:", "./", "../", "workspace:")):
                    return self.key_at(str(name), f"{name} is a directory of the tree"[:80])
        return None


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager: what it installs by, and from which files."""

    name: str
    install: tuple[str, ...]
    prune: str
    files: tuple[str, ...]
    cache: str
    evidence: Evidence
    alternatives: tuple[str, ...] = ()
    notes: tuple[Diagnostic, ...] = ()


def manager(project: Project) -> Manager:
    """The package manager that the lock file or `packageManager` asks for. Raises PlanFailed for bun's."""
    view = project.view
    asked = text(project.manifest, "packageManager")
    name, _, version = asked.partition("+")[0].partition("@")
    locks = {"pnpm": "pnpm-lock.yaml", "yarn": "yarn.lock", "npm": "package-lock.json"}
    present = [tool for tool, lock in locks.items() if view.has(lock)]
    tool = name if name in locks else present[0] if present else "npm"
    if view.has("npm-shrinkwrap.json") and name not in ("pnpm", "yarn"):
        tool = "npm"
    if not present and tool == "npm" and view.first("bun.lock", "bun.lockb"):
        note = Diagnostic(
            "warning",
            "lock-not-read",
            "bun's lock is not read: npm installs what package.json allows",
            "commit a package-lock.json with `npm install --package-lock-only`",
        )
        return _npm(project, (note,))
    others = tuple(other for other in present if other != tool)
    evidence = project.key_at("packageManager", asked[:60]) if name in locks else Evidence(locks[tool])
    version = version if re.fullmatch(r"\d{1,3}(\.\d{1,4}){0,2}", version) else ""
    if tool == "pnpm":
        return _pnpm(view, version, evidence, others)
    if tool == "yarn":
        return _yarn(view, version, evidence, others)
    return _npm(project, (), others)


def _npm(project: Project, notes: tuple[Diagnostic, ...], others: tuple[str, ...] = ()) -> Manager:
    lock = project.view.first("package-lock.json", "npm-shrinkwrap.json")
    quiet = "--no-audit --no-fund --include=dev"
    if lock:
        # A lock that does not fit package.json is common: install anyway, loudly.
        fallback = "echo 'WARNING: the lock file does not fit package.json: installing without it' >&2"
        install = (f'sh -c "npm ci {quiet} || {{ {fallback}; npm install {quiet}; }}"',)
    else:
        install = (f"npm install {quiet}",)
        if not notes and project.all_dependencies:
            notes = (
                Diagnostic(
                    "info",
                    "not-pinned",
                    "there is no lock file: a later build may install other versions",
                    "commit a package-lock.json with `npm install --package-lock-only`",
                ),
            )
    files = tuple(path for path in (FILE, lock, ".npmrc") if path and project.view.has(path))
    prune = "npm prune --omit=dev --no-audit --no-fund"
    return Manager("npm", install, prune, files, "/root/.npm", Evidence(lock or FILE), others, notes)


def _pnpm(view: AppView, version: str, evidence: Evidence, others: tuple[str, ...]) -> Manager:
    run = f"npx --yes pnpm@{version or 10}"
    frozen = "--frozen-lockfile" if view.has("pnpm-lock.yaml") else "--no-frozen-lockfile"
    install = f"{run} install {frozen} --prod=false --store-dir=/root/.pnpm-store"
    files = tuple(path for path in (FILE, "pnpm-lock.yaml", ".npmrc") if view.has(path))
    prune = f"sh -c 'CI=true {run} prune --prod --ignore-scripts'"
    return Manager("pnpm", (install,), prune, files, "/root/.pnpm-store", evidence, others)


def _yarn(view: AppView, version: str, evidence: Evidence, others: tuple[str, ...]) -> Manager:
    if view.has(".yarnrc.yml") or (numbers(version) or (1,))[0] > 1:
        raise PlanFailed(
            f"yarn 2 and newer ({evidence.file}) cannot be built yet",
            hint="use npm, pnpm or yarn 1, or write a Dockerfile",
        )
    run = f"npx --yes yarn@{version or 1}"
    frozen = " --frozen-lockfile" if view.has("yarn.lock") else ""
    install = f"{run} install{frozen} --production=false --non-interactive --cache-folder=/root/.yarn"
    files = tuple(path for path in (FILE, "yarn.lock", ".npmrc", ".yarnrc") if view.has(path))
    prune = f"{run} install --production --ignore-scripts --prefer-offline --non-interactive --cache-folder=/root/.yarn"
    return Manager("yarn", (install,), prune, files, "/root/.yarn", evidence, others)


def demands(context: Context, project: Project) -> list[Demand]:
    """Every demand on Node's version, the strongest first."""
    view, manifest = context.view, project.manifest
    found = [_explicit(demand) for demand in context.version_demands(NODE, 1)]
    asked: list[tuple[str, Evidence]] = []
    if value := text(manifest, "engines", "node"):
        asked.append((value, project.key_at("node", f"engines.node {value}"[:60])))
    for path in (".nvmrc", ".node-version"):
        line = next((line.strip() for _, line in view.lines(path) if line.strip()), "")
        if line:
            asked.append((line[:60], Evidence(path, 1, line[:60])))
    for number, line in view.lines(".tool-versions"):
        words = line.split()
        if len(words) > 1 and words[0] in ("nodejs", "node"):
            asked.append((words[1][:60], Evidence(".tool-versions", number, line.strip()[:60])))
    for path in ("mise.toml", ".mise.toml"):
        if word := first_text(mapping(view.toml(path), "tools").get("node")):
            asked.append((word[:60], view.where(path, "node", f"node = {word}"[:60])))
    if value := text(manifest, "volta", "node"):
        asked.append((value[:60], project.key_at("volta", f"volta.node {value}"[:60])))
    for value, evidence in asked:
        if demand := _ranged(value, evidence):
            found.append(demand)
    return found


def _explicit(demand: Demand) -> Demand:
    """A variable may hold a range too, and gives way to nothing."""
    ranged = _ranged(demand.text, demand.evidence)
    return Demand(demand.text, ranged.accepts, demand.evidence) if ranged else demand


def _ranged(value: str, evidence: Evidence) -> Demand | None:
    word = value.strip().lower()
    if re.fullmatch(r"v?\d{1,3}(\.\d{1,4}){0,2}", word) or re.fullmatch(r"\d{1,3}\.x(\.x)?", word):
        accepts = pinned(word, 1)
        return Demand(value, accepts, evidence, pin=True) if accepts else None
    if word.startswith("lts/"):
        return Demand(value, _named(word.removeprefix("lts/")), evidence, pin=True)
    accepted = semver.parse(word)
    return Demand(value, _full(accepted), evidence) if accepted else None


def _named(codename: str) -> Accepts:
    return lambda offer: codename in ("*", offer.codename)


def _full(accepted: semver.Accepts) -> Accepts:
    return lambda offer: accepted(offer.full)
