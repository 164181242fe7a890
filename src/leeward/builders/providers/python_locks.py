"""Read the lock files of poetry, pdm, pipenv and uv: which version each package is held at."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from leeward.builders.loose import mapping, text, texts
from leeward.builders.tree import AppView
from leeward.builders.versions import numbers
from leeward.model.build import Evidence

# With TOML's own order of the two keys, which all three writers keep; a large file costs no parse.
_PACKAGE = re.compile(r'^\[\[package\]\]\nname = "([A-Za-z0-9._-]{1,100})"\nversion = "([A-Za-z0-9.+!_-]{1,60})"', re.M)
# A package that comes from elsewhere than an index is what it is there: its version is nobody's to hold.
_ELSEWHERE = re.compile(r'^(?:type = "(?:directory|file|git|url)"|(?:path|git|url) = ")', re.M)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_SPECIFIER = re.compile(r"(?:(?:===?|~=|!=|<=?|>=?)[A-Za-z0-9.*+!_-]+,?)*")
LOCKS: Mapping[str, str] = {"poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv", "uv.lock": "uv"}


@dataclass(frozen=True, slots=True)
class Held:
    """A package at one version, and where that is said."""

    version: str
    evidence: Evidence


def held(view: AppView, path: str) -> Mapping[str, Held]:
    """The packages of a lock file; those with several versions, or from no index, are left out."""
    content = view.read(path)
    if path == "Pipfile.lock":
        return _pipfile(content)
    found: dict[str, Held] = {}
    twice = set()
    line, position = 1, 0
    matches = list(_PACKAGE.finditer(content))
    ends = [*(match.start() for match in matches[1:]), len(content)][: len(matches)]
    for match, end in zip(matches, ends, strict=True):
        line, position = line + content.count("\n", position, match.start()), match.start()
        name, version = match.groups()
        if name in found and found[name].version != version:
            twice.add(name)
        if path == "uv.lock" or not _ELSEWHERE.search(content, match.end(), end):
            found[name] = Held(version, Evidence(path, line + 1, f"{name} {version}"))
    return {name: item for name, item in found.items() if name not in twice}


def _pipfile(content: str) -> Mapping[str, Held]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    found = {}
    for name, entry in mapping(value, "default").items():
        version = text(entry, "version").removeprefix("==")
        if _NAME.fullmatch(name) and re.fullmatch(r"[A-Za-z0-9.+!_-]{1,60}", version):
            found[name] = Held(version, Evidence("Pipfile.lock", 0, f"{name} {version}"))
    return found


def constraints(packages: Mapping[str, Held]) -> list[str]:
    """The lines of a constraints file."""
    return [f"{name}=={item.version}" for name, item in sorted(packages.items())]


def requirements(table: Mapping[str, object]) -> list[str] | None:
    """A table of packages, as poetry and pipenv write it, as requirements; None when it holds more than versions."""
    found = []
    for name, value in table.items():
        if name.lower() == "python" or mapping(value).get("optional") is True:
            continue
        version = value.strip() if isinstance(value, str) else text(value, "version")
        plain = isinstance(value, str) or (isinstance(value, Mapping) and not _FOREIGN.intersection(value))
        extras = [extra for extra in texts(value, "extras") if _NAME.fullmatch(extra)]
        specifier = pep440(version)
        if not plain or not _NAME.fullmatch(name) or not _SPECIFIER.fullmatch(specifier):
            return None
        found.append(f"{name}[{','.join(extras)}]{specifier}" if extras else f"{name}{specifier}")
    return sorted(found)


_FOREIGN = frozenset({"git", "path", "url", "file", "editable", "markers", "python", "platform", "source", "develop"})


def pep440(value: str) -> str:
    """A version as poetry and pipenv write it (`^1.2`, `~1.2`, `1.2`, `*`) in the terms of PEP 440."""
    parts = []
    for part in value.replace(" ", "").split(","):
        digits = numbers(part.lstrip("^~"))
        if part in ("", "*"):
            continue
        if part.startswith("^") and digits:
            parts.append(f">={part[1:]},<{_after(digits)}")
        elif part.startswith("~") and not part.startswith("~=") and digits:
            upper = f"{digits[0]}.{digits[1] + 1}" if len(digits) > 1 else f"{digits[0] + 1}"
            parts.append(f">={part[1:]},<{upper}")
        elif part[0].isdigit():
            parts.append(f"=={part}")
        else:
            parts.append(part)
    return ",".join(parts)


def _after(digits: tuple[int, ...]) -> str:
    """The first version that `^` no longer allows: the leftmost number that is not 0 grows."""
    place = next((index for index, digit in enumerate(digits) if digit), len(digits) - 1)
    return ".".join(str(digit) for digit in (*digits[:place], digits[place] + 1))
