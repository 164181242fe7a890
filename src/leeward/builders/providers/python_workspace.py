"""Find the packages of a uv workspace, and what they need of each other."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leeward.builders.loose import mapping, text, texts
from leeward.builders.providers.node_workspace import pattern
from leeward.builders.providers.python_dependencies import SAFE_PATH, normal, parse
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Evidence

FILE = "pyproject.toml"
LOCK = "uv.lock"
_DEPTH = 4
_MAX_MEMBERS = 60


@dataclass(frozen=True, slots=True)
class Member:
    """One package: its directory below the root, its normalised name, its project file."""

    folder: str
    name: str
    project: Mapping[str, Any]

    @property
    def asks_for(self) -> frozenset[str]:
        """The names of what it depends on."""
        listed = texts(self.project, "project", "dependencies")
        return frozenset(item.name for line in listed if (item := parse(line, Evidence(FILE))))


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory with the lock file, and the packages in it."""

    root: AppView
    project: Mapping[str, Any]
    members: tuple[Member, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """What the install reads: the lock file names every package."""
        found = [FILE, LOCK, *(f"{member.folder}/{FILE}" for member in self.members)]
        return tuple(path for path in found if SAFE_PATH.fullmatch(path))

    @property
    def virtual(self) -> bool:
        """Whether the root is no package itself."""
        return not mapping(self.project, "project")

    def needs(self, names: Iterable[str]) -> tuple[Member, ...]:
        """The packages behind these names, with those that they need."""
        by_name = {member.name: member for member in self.members}
        found: dict[str, Member] = {}
        waiting = sorted(names)
        while waiting:
            member = by_name.get(waiting.pop(0))
            if member and member.name not in found:
                found[member.name] = member
                waiting += sorted(member.asks_for)
        return tuple(found[name] for name in sorted(found))


def at(view: AppView) -> Workspace | None:
    """The workspace whose root is this directory."""
    if not view.has(LOCK) or not view.has(FILE):
        return None
    project = view.toml(FILE)
    table = mapping(project, "tool", "uv", "workspace")
    if not table:
        return None
    return Workspace(view, project, tuple(_members(view, texts(table, "members"), texts(table, "exclude"))))


def around(root: AppView | None, view: AppView) -> tuple[Workspace, Member] | None:
    """The workspace that a directory is a package of; None when it stands for itself."""
    if root is None or view.name == root.name or view.has(LOCK) or not view.has(FILE):
        return None
    above = view.name
    while above:
        above = posixpath.dirname(above)
        here = root.at(above)
        found = at(here) if here else None
        folder = posixpath.relpath(view.name, above or ".")
        member = next((each for each in found.members if each.folder == folder), None) if found else None
        if found and member:
            return found, member
    return None


def _members(view: AppView, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> Iterator[Member]:
    inside = [pattern(each) for each in wanted[:50] if len(each) < 200]
    outside = [pattern(each) for each in unwanted[:50] if len(each) < 200]
    count = 0
    for folder in view.directories(_DEPTH):
        path = f"{folder}/{FILE}"
        if not view.has(path) or not re.fullmatch(r"[A-Za-z0-9_@.+/-]+", folder) or count >= _MAX_MEMBERS:
            continue
        if any(each.fullmatch(folder) for each in inside) and not any(each.fullmatch(folder) for each in outside):
            count += 1
            try:
                project = view.toml(path)
            except PlanFailed as error:
                raise PlanFailed(f"the workspace's {error.message}", hint=error.hint) from error
            yield Member(folder, normal(text(project, "project", "name")), project)
