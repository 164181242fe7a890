"""Decide whose app a tree is, and in which directory it lies. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from leeward.builders import strangers
from leeward.builders.providers import PROVIDERS
from leeward.builders.providers.provider import Detection, Provider
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

# How far below the root apps are looked for when it holds none.
DEPTH = 2
# Directories with a manifest, else those with code, else those with pages.
_TIERS = (60, 40, 1)
_NOT_APPS = frozenset({"docs", "doc", "test", "tests", "examples", "example", "e2e", "scripts", ".github"})


@dataclass(frozen=True, slots=True)
class Match:
    """A provider that knows the tree, and how sure it is."""

    provider: Provider
    detection: Detection


@dataclass(frozen=True, slots=True)
class Found:
    """Where the app lies and whose it is; the best match first."""

    view: AppView
    matches: tuple[Match, ...]
    decisions: tuple[Decision, ...]
    dockerfile: bool = False

    @property
    def best(self) -> Match:
        """The match that is used."""
        return self.matches[0]


def detect(view: AppView, dockerfile: str, wanted: tuple[str, Evidence] | None = None) -> Found:
    """Find the app. Raises PlanFailed naming the files that were looked for, or the directories to choose from."""
    if view.has(dockerfile) and wanted is None:
        found = matches(view)
        because = (Evidence(dockerfile, 0, "strategy auto uses a Dockerfile that is there"),)
        chosen = Decision("provider", "dockerfile", because, tuple(match.provider.name for match in found))
        return Found(view, tuple(found), (chosen,), dockerfile=True)
    if wanted:
        return _wanted(view, *wanted)
    found = matches(view)
    strangers.refuse(view, found[0].detection.score if found else 0)
    if found:
        return Found(view, tuple(found), (_decision(found),))
    return _below(view, dockerfile)


def matches(view: AppView) -> list[Match]:
    """Every provider that knows this directory, the surest first."""
    found = [Match(provider, seen) for provider in PROVIDERS if (seen := provider.detect(view))]
    return sorted(found, key=lambda match: -match.detection.score)


def _wanted(view: AppView, name: str, evidence: Evidence) -> Found:
    provider = next((provider for provider in PROVIDERS if provider.name == name), None)
    if provider is None:
        known = ", ".join(provider.name for provider in PROVIDERS)
        raise PlanFailed(f"'{name}' ({evidence.file}) is no provider", hint=f"there are {known}")
    match = Match(provider, provider.detect(view) or Detection(0, ()))
    others = tuple(other.provider.name for other in matches(view) if other.provider is not provider)
    return Found(view, (match,), (Decision("provider", name, (evidence,), others),))


def _decision(found: Sequence[Match]) -> Decision:
    best, *others = found
    alternatives = tuple(f"{match.provider.name} ({match.detection.score})" for match in others)
    return Decision("provider", best.provider.name, best.detection.evidence, alternatives)


def below(view: AppView, dockerfile: str) -> tuple[AppView, ...]:
    """Directories below that hold an app, the surest kind only."""
    found: list[tuple[AppView, int]] = []
    for path in view.directories(DEPTH):
        inside = any(path.startswith(f"{other.name.removeprefix(_prefix(view))}/") for other, _ in found)
        here = None if inside or _NOT_APPS.intersection(path.split("/")) else view.at(path)
        if here is not None:
            known = matches(here)
            score = 100 if here.has(dockerfile) else known[0].detection.score if known else 0
            if score:
                found.append((here, score))
    tiers = (tuple(here for here, score in found if score >= floor) for floor in _TIERS)
    return next((tier for tier in tiers if tier), ())


def _below(view: AppView, dockerfile: str) -> Found:
    candidates = below(view, dockerfile)
    if not candidates:
        raise PlanFailed(_nothing(view, dockerfile), hint=_hint(view))
    if len(candidates) > 1:
        names = ", ".join(f"'{candidate.name}'" for candidate in candidates[:8])
        raise PlanFailed(
            f"no app was recognised in '{view.name}' itself, and there are several below it: {names}",
            hint=f"choose one: set path: {candidates[0].name} in leeward.yaml, or deploy that directory",
            code="plan-ambiguous",
        )
    here = candidates[0]
    inner = detect(here, dockerfile)
    evidence = inner.decisions[0].because[0]
    place = Decision("path", here.name, (Evidence(f"{here.name}/{evidence.file}", 0, "the only app in the tree"),))
    return Found(here, inner.matches, (place, *inner.decisions), inner.dockerfile)


def _prefix(view: AppView) -> str:
    return "" if view.name == "." else f"{view.name}/"


def _nothing(view: AppView, dockerfile: str) -> str:
    looked = ", ".join(dict.fromkeys([*(name for provider in PROVIDERS for name in provider.looked_for), dockerfile]))
    what = f"no app was recognised in '{view.name}'" if view.paths else f"there are no files in '{view.name}'"
    return f"{what}: looked for {looked}"


def _hint(view: AppView) -> str:
    if not view.paths:
        return "commit some files, or set path: to the app's directory"
    return "add one of these files, set path: to the app's directory, or write a Dockerfile"
