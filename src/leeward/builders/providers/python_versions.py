"""Read which version of Python an app asks for."""

import re
from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from leeward.builders.catalogue import PYTHON, WHEELS_FOR_PYTHON_313, Offer
from leeward.builders.loose import first_text, mapping, text
from leeward.builders.providers.provider import Context
from leeward.builders.providers.python_dependencies import Dependencies
from leeward.builders.providers.python_locks import pep440
from leeward.builders.tree import AppView
from leeward.builders.versions import Accepts, Demand, never, numbers, pinned
from leeward.model.build import Evidence

_PIN = re.compile(r"(?:cpython-|python-|python)?v?(\d{1,3}(?:\.\d{1,3}){0,2})")
_COMMENT = re.compile(r"#\s*(?:requires[- ])?python(?:[- ]version)?\s*(?::|==?|\s)\s*(\d\.\d{1,2}(?:\.\d{1,2})?)", re.I)
_LOCKED = re.compile(r'requires-python = "([^"\n]{1,100})"')


def demands(
    context: Context, project: Mapping[str, Any], dependencies: Dependencies, requirements: str | None
) -> list[Demand]:
    """Every demand on the version, the strongest first."""
    view = context.view
    found = [_widened(demand) for demand in context.version_demands(PYTHON, 2)]
    found += _from_pin_files(view)
    found += _from_project(view, project)
    if requirements:
        for number, line in view.lines(requirements):
            if match := _COMMENT.match(line.strip()):
                found += _pin(match.group(1), Evidence(requirements, number, line.strip()[:60]))
                break
    return [*found, *_wheels(dependencies)]


def _widened(demand: Demand) -> Demand:
    """A variable may hold a range too."""
    accepts = specifier(demand.text) if numbers(demand.text) == () else None
    return Demand(demand.text, accepts, demand.evidence) if accepts else demand


def _from_pin_files(view: AppView) -> list[Demand]:
    found: list[Demand] = []
    for path in (".python-version", "runtime.txt"):
        for number, line in view.lines(path):
            word = line.strip()
            if word and not word.startswith("#"):
                found += _pin(word, Evidence(path, number, word[:60]))
                break
    requires = mapping(view.toml("Pipfile"), "requires")
    for key in ("python_full_version", "python_version"):
        if value := text(requires, key):
            found += _pin(value, view.where("Pipfile", key, f"{key} = {value}"[:60]))
    for number, line in view.lines(".tool-versions"):
        words = line.split()
        if len(words) > 1 and words[0] == "python":
            found += _pin(words[1], Evidence(".tool-versions", number, line.strip()[:60]))
    for path in ("mise.toml", ".mise.toml"):
        if word := first_text(mapping(view.toml(path), "tools").get("python")):
            found += _pin(word, view.where(path, "python", f"python = {word}"[:60]))
    return found


def _from_project(view: AppView, project: Mapping[str, Any]) -> list[Demand]:
    found = []
    for value, place in (
        (text(project, "project", "requires-python"), ("pyproject.toml", "requires-python")),
        (pep440(text(project, "tool", "poetry", "dependencies", "python")), ("pyproject.toml", "python =")),
    ):
        accepts = specifier(value)
        if value and accepts:
            found.append(Demand(value, accepts, view.where(*place, f"{place[1].strip(' =')} {value}"[:60])))
    if match := _LOCKED.search(view.read("uv.lock")[:2000]):
        accepts = specifier(match.group(1))
        if accepts:
            evidence = view.where("uv.lock", "requires-python", f"requires-python {match.group(1)}")
            found.append(Demand(match.group(1), accepts, evidence))
    return found


def _pin(word: str, evidence: Evidence) -> list[Demand]:
    match = _PIN.fullmatch(word.lower())
    if not match:
        accepts = specifier(word)
        if accepts or word.lower() == "latest":
            return [Demand(word[:60], accepts, evidence)] if accepts else []
        return [Demand(word[:60], never, evidence, unread=True)]
    accepts = pinned(match.group(1), 2)
    return [Demand(match.group(1), accepts, evidence, pin=True)] if accepts else []


def specifier(value: str) -> Accepts | None:
    """What a PEP 440 range accepts; None when it is none."""
    if not value or len(value) > 100:
        return None
    try:
        allowed = SpecifierSet(value)
    except InvalidSpecifier:
        return None
    return lambda offer: allowed.contains(".".join(str(part) for part in offer.full))


def _wheels(dependencies: Dependencies) -> list[Demand]:
    """Advice against a Python that pinned packages have no wheels for."""
    found = []
    for item in dependencies.items:
        first = WHEELS_FOR_PYTHON_313.get(item.name)
        if not first or not item.specifier.startswith("==") or "," in item.specifier:
            continue
        version = numbers(item.specifier.lstrip("= "))
        if version and version < first:
            evidence = Evidence(
                item.evidence.file, item.evidence.line, f"{item.name}{item.specifier} has no wheels above 3.12"
            )
            found.append(Demand(item.specifier, _below_313, evidence, soft=True))
    return found


def _below_313(offer: Offer) -> bool:
    return offer.full < (3, 13)
