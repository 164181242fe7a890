"""Find the packages of a Node workspace, and what they need of each other."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from leeward.builders.loose import mapping, text, texts
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Evidence

FILE = "package.json"
PNPM = "pnpm-workspace.yaml"
LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb")
_FOLDER = re.compile(r"[A-Za-z0-9_@.+-]+(?:/[A-Za-z0-9_@.+-]+)*")
_DEPTH = 4
# Each costs a file that is read, and a tree gives only so many.
_MAX_MEMBERS = 80
_MAX_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One package: its directory below the root, its name, its manifest."""

    folder: str
    name: str
    manifest: Mapping[str, Any]

    @property
    def asks_for(self) -> frozenset[str]:
        """The names of all packages that it depends on."""
        groups = ("dependencies", "devDependencies", "optionalDependencies")
        return frozenset(str(name) for group in groups for name in mapping(self.manifest, group))

    def known_as(self, name: str) -> bool:
        """Whether somebody who says this name means it."""
        last = posixpath.basename(self.folder)
        return name.strip("/").removeprefix("./") in (self.folder, self.name, self.name.rpartition("/")[2], last)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory that holds the lock file, and the packages in it."""

    root: AppView
    manifest: Mapping[str, Any]
    members: tuple[Member, ...]
    evidence: Evidence

    def find(self, name: str) -> Member | None:
        """The package of this name, or in this directory."""
        return next((member for member in self.members if member.known_as(name)), None)

    def needs(self, member: Member) -> tuple[Member, ...]:
        """The other packages that one needs, each after those that it needs itself."""
        by_name = {each.name: each for each in self.members if each.name}
        found: dict[str, Member] = {}

        def visit(one: Member, above: frozenset[str]) -> None:
            for name in sorted(one.asks_for & by_name.keys() - above - found.keys()):
                visit(by_name[name], above | {name})
                found[name] = by_name[name]

        visit(member, frozenset({member.name}))
        return tuple(found.values())


def at(view: AppView) -> Workspace | None:
    """The workspace whose root is this directory."""
    if not view.first(FILE, PNPM):
        return None
    manifest = view.json(FILE) if view.has(FILE) else {}
    patterns, evidence = _patterns(view, manifest)
    if not patterns:
        return None
    return Workspace(view, manifest, tuple(_members(view, patterns)), evidence)


def around(root: AppView, view: AppView) -> tuple[Workspace, Member] | None:
    """The workspace that a directory is a package of, seen from the tree's root; None when it stands for itself."""
    if view.name == root.name or view.first(*LOCKS):
        return None
    above = posixpath.dirname(view.name)
    while True:
        here = root.at(above)
        found = at(here) if here and here.name != view.name else None
        folder = posixpath.relpath(view.name, above or ".")
        member = next((each for each in found.members if each.folder == folder), None) if found else None
        if found and member:
            return found, member
        if not above:
            return None
        above = posixpath.dirname(above)


def _patterns(view: AppView, manifest: Mapping[str, Any]) -> tuple[tuple[str, ...], Evidence]:
    if view.has(PNPM):
        return texts(_yaml(view, PNPM), "packages"), Evidence(PNPM, 0, "a workspace of packages")
    place = view.where(FILE, '"workspaces":', "a workspace of packages")
    return texts(manifest, "workspaces") or texts(manifest, "workspaces", "packages"), place


def _yaml(view: AppView, path: str) -> object:
    content = view.read(path)
    if len(content) > _MAX_TEXT:
        return {}
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PlanFailed(f"'{path}' is not YAML", hint=f"correct '{path}'") from error


def _members(view: AppView, patterns: tuple[str, ...]) -> Iterator[Member]:
    wanted = [pattern(each) for each in patterns[:50] if not each.startswith("!") and len(each) < 200]
    unwanted = [pattern(each[1:]) for each in patterns[:50] if each.startswith("!") and len(each) < 200]
    count = 0
    for folder in view.directories(_DEPTH):
        path = f"{folder}/{FILE}"
        if not view.has(path) or not _FOLDER.fullmatch(folder) or count >= _MAX_MEMBERS:
            continue
        if any(each.fullmatch(folder) for each in wanted) and not any(each.fullmatch(folder) for each in unwanted):
            count += 1
            manifest = view.json(path)
            yield Member(folder, text(manifest, "name"), manifest)


def pattern(glob: str) -> re.Pattern[str]:
    """A workspace's pattern as a regular expression without alternatives that overlap."""
    parts = [part for part in glob.strip("/").removeprefix("./").split("/") if part not in ("", ".")]
    words = []
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            words.append(".+" if last else "(?:[^/]+/)*")
        else:
            words.append(re.sub(r"(?:\\\*)+", "[^/]*", re.escape(part)) + ("" if last else "/"))
    return re.compile("".join(words))
