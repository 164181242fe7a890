"""Decide whether an app's Python is worth a look at the index, and read what is asked there. Pure.

Only names and versions are asked for. What a line would run or fetch from elsewhere (paths, URLs, options) is left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from leeward.builders.catalogue import PYTHON
from leeward.builders.tree import AppView
from leeward.builders.versions import USUAL
from leeward.model.build import BuildPlan

FILE = "requirements.txt"
_INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]+(\S+)")
_INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url|-f|--find-links|--no-index)\b")
_INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
_MAX_FILES = 20
_MAX_LINES = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask an index for: plain requirements, and the versions of Python to try, the newest first."""

    requirements: tuple[str, ...]
    versions: tuple[str, ...]


def wanted(view: AppView, plan: BuildPlan, env: Mapping[str, str]) -> Wanted | None:
    """What to ask; None when a version is named, remembered or given by known wheels, or when nothing can be asked."""
    chosen = next((decision for decision in plan.decisions if decision.topic == "python version"), None)
    if plan.package_manager != "pip" or chosen is None or not view.has(FILE):
        return None
    if [evidence.file for evidence in chosen.because] != [USUAL] or any(env.get(name) for name in _INDEX_VARIABLES):
        return None
    lines = list(_lines(view, FILE, set()))
    if any(_INDEX.match(line) for line in lines) or not lines:
        # Another index than the platform's: the control plane does not go where an app sends it.
        return None
    requirements = tuple(dict.fromkeys(filter(None, map(_plain, lines[:_MAX_LINES]))))
    return Wanted(requirements, PYTHON.names[::-1]) if requirements else None


def command(uv: str, file: str, version: str, python: str, cache: str) -> tuple[str, ...]:
    """Ask whether all requirements have wheels for a version. Nothing is built, so nothing of a stranger's runs."""
    options = ("--only-binary", ":all:", "--no-config", "--no-header", "--no-annotate", "--quiet")
    return (
        *(uv, "pip", "compile", *options, "--python-version", version),
        *("--python", python, "--cache-dir", cache, file),
    )


def _lines(view: AppView, path: str, seen: set[str]) -> Iterator[str]:
    if path in seen or len(seen) >= _MAX_FILES:
        return
    seen.add(path)
    folder = path.rpartition("/")[0]
    for _, line in view.lines(path):
        text = line.strip()
        if match := _INCLUDE.match(text):
            yield from _lines(view, f"{folder}/{match[1]}".lstrip("/").removeprefix("./"), seen)
        elif text and not text.startswith("#"):
            yield text


def _plain(line: str) -> str:
    """The requirement alone; '' when the line is anything else."""
    text = re.split(r"\s+#|\s--|\\$", line, maxsplit=1)[0].strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return ""
    return "" if requirement.url else str(requirement)
