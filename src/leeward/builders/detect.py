"""Decide whose app a tree is, and in which directory it lies. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leeward.builders import strangers
from leeward.builders.providers import PROVIDERS, node_servers, python_install, python_start
from leeward.builders.providers.node_project import Project
from leeward.builders.providers.provider import Detection, Provider, Start
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

# How far below the root apps are looked for when it holds none.
DEPTH = 2
# Directories with a manifest, else those with code, else those with pages.
_TIERS = (60, 40, 1)
# Whose programs a start command calls.
_PROGRAMS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(rf"(?:^|[\s;&|(/])(?:{words})(?:\s|$)")
    for name, words in {
        "python": r"python3?|uvicorn|gunicorn|flask|streamlit|hypercorn|daphne|celery|fastapi",
        "ruby": r"ruby|bundle|rails|puma|rackup|rake",
        "php": r"php|leeward-php|artisan",
        "java": r"java|mvn|gradle",
        "elixir": r"mix|elixir",
        "node": r"node|npm|npx|yarn|pnpm|bun|next|nest|tsx",
    }.items()
}
_SPREAD = "..."
# They lead only where nothing else does.
_LAST = ("node", "shell", "static")
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
    more: tuple[str, ...] = ()
    """Languages that are wanted beside the best one."""
    both: bool = False
    """Whether two languages have an app of their own here."""

    @property
    def best(self) -> Match:
        """The match that is used."""
        return self.matches[0]


def detect(
    view: AppView, dockerfile: str, wanted: tuple[str, Evidence] | None = None, start: Start | None = None
) -> Found:
    """Find the app; `start` is a command that was given. Raises PlanFailed naming the files that were looked for, or
    the directories to choose from."""
    if view.has(dockerfile) and wanted is None:
        found = matches(view)
        because = (Evidence(dockerfile, 0, "strategy auto uses a Dockerfile that is there"),)
        chosen = Decision("provider", "dockerfile", because, tuple(match.provider.name for match in found))
        return Found(view, tuple(found), (chosen,), dockerfile=True)
    if wanted:
        return _wanted(view, *wanted, start)
    found = matches(view)
    strangers.refuse(view, found[0].detection.score if found else 0)
    if found:
        return _led(view, found, start)
    return _below(view, dockerfile)


def matches(view: AppView) -> list[Match]:
    """Every provider that knows this directory, the surest first."""
    found = [Match(provider, seen) for provider in PROVIDERS if (seen := provider.detect(view))]
    return sorted(found, key=lambda match: -match.detection.score)


def _led(view: AppView, found: list[Match], start: Start | None) -> Found:
    """The match that leads: the surest, but Node only where it starts a server, or nothing else has an app."""
    node = next((match for match in found if match.provider.name == "node"), None)
    others = [match for match in found if match.provider.name not in _LAST and match.detection.score >= 60]
    if node is None or not others:
        return Found(view, tuple(found), (_decision(found),))
    chosen: Match | None = None
    both = False
    because: Evidence | None = None
    named = next((m for m in (*others, node) if start and _calls(m.provider.name, start.command)), None)
    if named is not None and start is not None:
        chosen, because = named, start.evidence[0]
    elif server := _server(view):
        both = others[0].provider.name != "python" or _python_server(view)
        chosen = found[0] if both else node
        because = server if chosen is node else None
    else:
        chosen, because = others[0], Evidence("package.json", 0, "starts no server")
    ordered = [chosen, *(match for match in found if match is not chosen)]
    decision = _decision(ordered)
    if because is not None:
        decision = Decision(decision.topic, decision.chose, (*decision.because, because), decision.alternatives)
    return Found(view, tuple(ordered), (decision,), both=both)


def _calls(name: str, command: str) -> bool:
    pattern = _PROGRAMS.get(name)
    return pattern is not None and pattern.search(command[:2000]) is not None


def _server(view: AppView) -> Evidence | None:
    """Where a Node project says how it starts a server."""
    try:
        start = node_servers.server(Project(view, view.json("package.json"), view))
    except PlanFailed:
        # It may be no app at all: only its own plan complains.
        return None
    return start.evidence[0] if start and start.certain else None


def _python_server(view: AppView) -> bool:
    """Whether a Python application is seen, and not only files that might be run."""
    try:
        project = view.toml("pyproject.toml")
        found = python_start.find(view, python_install.manager(view, project).dependencies, project)
    except PlanFailed:
        return False
    return found.start is not None and found.start.certain


def _wanted(view: AppView, text: str, evidence: Evidence, start: Start | None) -> Found:
    """The languages that somebody named, parted by commas or spaces; `...` stands for what the files say."""
    words = [word for word in re.split(r"[\s,]+", text) if word]
    seen = matches(view) if _SPREAD in words else []
    detected = [match.provider.name for match in _led(view, seen, start).matches[:1]] if seen else []
    names = [name for word in words for name in (detected if word == _SPREAD else [word])]
    names = list(dict.fromkeys(names))
    known = {provider.name: provider for provider in PROVIDERS}
    for name in names:
        if name not in known:
            listed = ", ".join(known)
            raise PlanFailed(f"'{name}' ({evidence.file}) is no provider", hint=f"there are {listed}")
    if not names:
        raise PlanFailed(f"'{text}' ({evidence.file}) names no provider", hint=f"there are {', '.join(known)}")
    lead = known[names[0]]
    match = Match(lead, lead.detect(view) or Detection(0, ()))
    others = tuple(other.provider.name for other in matches(view) if other.provider.name not in names)
    return Found(view, (match,), (Decision("provider", lead.name, (evidence,), others),), more=tuple(names[1:]))


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
