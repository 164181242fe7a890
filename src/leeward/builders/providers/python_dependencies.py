"""Read which packages a Python app depends on, and from which files they are installed."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leeward.builders.loose import mapping, text, texts
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Evidence

REQUIREMENTS = (
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements-prod.txt",
    "requirements/base.txt",
)
_NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?\s*([^;#]*)")
_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)(?:\s+|=|(?<=[rc]))(\S+)")
_LOCAL = re.compile(r"(?:-e\s*|--editable[\s=]+)?(?:file:|\.{1,2}/|\.$|\.\[|/)")
# Names that COPY takes as they are, without patterns or variables.
SAFE_PATH = re.compile(r"[A-Za-z0-9_@+,.][A-Za-z0-9_@%+,. /-]*")
_MAX_FILES = 30


@dataclass(frozen=True, slots=True)
class Dependency:
    """One package that is asked for, by its normalised name."""

    name: str
    extras: frozenset[str]
    specifier: str
    evidence: Evidence
    held: bool = False
    """Only a lock file names it: another package needs it, or only the development does."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """All that is asked for. `whole_tree`: installing needs more of the tree than `files`, because of `reason`."""

    items: tuple[Dependency, ...]
    files: tuple[str, ...]
    whole_tree: bool = False
    reason: Evidence | None = None

    def find(self, *names: str) -> Dependency | None:
        """The first dependency with one of these names."""
        return next((item for name in names for item in self.items if item.name == name), None)


def normal(name: str) -> str:
    """The name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def from_requirements(view: AppView, first: str) -> Dependencies:
    """Everything in a requirements file and those that it includes. Raises PlanFailed when one is missing."""
    items: list[Dependency] = []
    files: list[str] = []
    local: Evidence | None = None
    queue = [(first, Evidence(first))]
    while queue:
        path, asked_by = queue.pop(0)
        if path in files:
            continue
        _check_include(view, path, asked_by, len(files))
        files.append(path)
        for number, line in _logical_lines(view.whole(path)):
            if match := _INCLUDE.match(line):
                if "://" not in match.group(1):
                    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match.group(1)))
                    queue.append((target, Evidence(path, number, line[:80])))
            elif _LOCAL.match(line) or re.search(r"@\s*file:", line):
                local = local or Evidence(path, number, line[:80])
            elif dependency := parse(line, Evidence(path, number, line[:80])):
                items.append(dependency)
    unsafe = next((Evidence(path, 0, "unusual name") for path in files if not SAFE_PATH.fullmatch(path)), None)
    reason = local or unsafe
    return Dependencies(tuple(items), tuple(files), reason is not None, reason)


def _check_include(view: AppView, path: str, asked_by: Evidence, count: int) -> None:
    place = f"{asked_by.file}:{asked_by.line}" if asked_by.line else asked_by.file
    if path.startswith(("../", "/")) or path == "..":
        raise PlanFailed(
            f"{place} includes '{path}', which is outside of '{view.name}'",
            hint="move the file into the app, or set path: to the directory that holds both",
        )
    if not view.has(path):
        raise PlanFailed(f"{place} includes '{path}', which is not there", hint="add the file, or remove the line")
    if count >= _MAX_FILES:
        raise PlanFailed(f"{place}: more than {_MAX_FILES} files include each other", hint="put them into fewer files")


def _logical_lines(content: str) -> Iterator[tuple[int, str]]:
    """Lines with `\\` continuations joined and comments removed, by the number of their first line."""
    begun, parts = 0, []
    for number, line in enumerate(content.splitlines(), 1):
        stripped = re.sub(r"(^|\s)#.*$", "", line).strip()
        begun = begun or number
        parts.append(stripped.removesuffix("\\").strip())
        if stripped.endswith("\\"):
            continue
        if joined := " ".join(part for part in parts if part):
            yield begun, joined
        begun, parts = 0, []
    if joined := " ".join(part for part in parts if part):
        yield begun, joined


def parse(line: str, evidence: Evidence) -> Dependency | None:
    """One requirement, tolerantly; None when the line is none."""
    match = _NAME.match(line)
    if not match or line.startswith("-") or "://" in match.group(1):
        return None
    extras = frozenset(normal(extra.strip()) for extra in (match.group(2) or "").split(",") if extra.strip())
    specifier = match.group(3).split(" --")[0].strip()
    return Dependency(normal(match.group(1)), extras, specifier, evidence)


def from_project(view: AppView, project: Mapping[str, Any]) -> Dependencies:
    """Everything in `pyproject.toml`: the standard table, or poetry's own."""
    path = "pyproject.toml"
    lines = list(view.lines(path))
    items = [
        found
        for line in texts(project, "project", "dependencies")
        if (found := parse(line, _quoted(path, lines, line)))
    ]
    for name, value in mapping(project, "tool", "poetry", "dependencies").items():
        if name.lower() != "python" and (found := parse(name, _key(path, lines, name))):
            extras = frozenset(normal(extra) for extra in texts(value, "extras"))
            items.append(Dependency(found.name, extras, "", found.evidence))
    return Dependencies(tuple(items), (path,))


def from_pipfile(view: AppView) -> Dependencies:
    """Everything in a Pipfile."""
    lines = list(view.lines("Pipfile"))
    packages = mapping(view.toml("Pipfile"), "packages")
    items = (parse(name, _key("Pipfile", lines, name)) for name in packages)
    return Dependencies(tuple(item for item in items if item), ("Pipfile",))


def project_name(project: Mapping[str, Any]) -> str:
    """The project's own name, '' when it has none."""
    return text(project, "project", "name") or text(project, "tool", "poetry", "name")


def _quoted(path: str, lines: list[tuple[int, str]], needle: str) -> Evidence:
    number = next((number for number, line in lines if f'"{needle}"' in line or f"'{needle}'" in line), 0)
    return Evidence(path, number, needle[:80])


def _key(path: str, lines: list[tuple[int, str]], name: str) -> Evidence:
    key = re.compile(rf"""\s*["']?{re.escape(name)}["']?\s*=""")
    number = next((number for number, line in lines if key.match(line)), 0)
    return Evidence(path, number, name[:80])
