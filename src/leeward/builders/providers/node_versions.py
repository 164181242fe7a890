"""Read which Node a project asks for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from leeward.builders import semver
from leeward.builders.catalogue import NODE
from leeward.builders.loose import first_text, mapping, text
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.provider import Context
from leeward.builders.tree import AppView
from leeward.builders.versions import Accepts, Demand, never, pinned
from leeward.model.build import Evidence

# One version, or the patches of one: they are the maker's business.
_PIN = re.compile(r"(?:=|~>?)?\s*v?(\d{1,3}(?:\.\d{1,4}){0,2}|\d{1,3}(?:\.\d{1,4})?(?:\.[x*]){1,2})")


def demands(context: Context, project: Project) -> list[Demand]:
    """Every demand on Node's version, the strongest first."""
    found = [_explicit(demand) for demand in context.version_demands(NODE, 1)]
    asked = list(_written(project.view, project.manifest))
    if project.workspace:
        asked += _written(project.root, project.workspace.manifest)
    for value, evidence in asked:
        found.append(_ranged(value, evidence) or Demand(value[:60], never, evidence, unread=True))
    return found


def _written(view: AppView, manifest: Mapping[str, Any]) -> Iterator[tuple[str, Evidence]]:
    """What the files of a directory say."""
    if value := text(manifest, "engines", "node"):
        yield value, view.where(FILE, '"node":', f"engines.node {value}"[:60])
    for path in (".nvmrc", ".node-version"):
        line = next((line.strip() for _, line in view.lines(path) if line.strip()), "")
        if line:
            yield line[:60], Evidence(path, 1, line[:60])
    for number, line in view.lines(".tool-versions"):
        words = line.split()
        if len(words) > 1 and words[0] in ("nodejs", "node"):
            yield words[1][:60], Evidence(".tool-versions", number, line.strip()[:60])
    for path in ("mise.toml", ".mise.toml"):
        if word := first_text(mapping(view.toml(path), "tools").get("node")):
            yield word[:60], view.where(path, "node", f"node = {word}"[:60])
    runtime = mapping(manifest, "devEngines").get("runtime")
    for each in runtime if isinstance(runtime, list) else [runtime]:
        if text(each, "name") == "node" and (value := text(each, "version")):
            yield value[:60], view.where(FILE, '"devEngines":', f"devEngines.runtime {value}"[:60])
    if value := text(manifest, "volta", "node"):
        yield value[:60], view.where(FILE, '"volta":', f"volta.node {value}"[:60])


def _explicit(demand: Demand) -> Demand:
    """A variable may hold a range too, and gives way to nothing."""
    ranged = _ranged(demand.text, demand.evidence)
    return Demand(demand.text, ranged.accepts, demand.evidence) if ranged else demand


def _ranged(value: str, evidence: Evidence) -> Demand | None:
    word = value.strip().lower()
    if match := _PIN.fullmatch(word):
        accepts = pinned(match[1], 1)
        return Demand(match[1], accepts, evidence, pin=True) if accepts else None
    if word == "lts" or word.startswith(("lts/", "lts-")):
        return Demand(value, _named(word[4:] or "*"), evidence, pin=True)
    accepted = semver.parse(word)
    return Demand(value, _full(accepted), evidence) if accepted else None


def _named(codename: str) -> Accepts:
    return lambda offer: codename in ("*", offer.codename)


def _full(accepted: semver.Accepts) -> Accepts:
    return lambda offer: accepted(offer.full)
