"""Read a Procfile."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from leeward.builders.providers.provider import Start, bounded
from leeward.builders.tree import AppView
from leeward.model.app import NAME
from leeward.model.build import Diagnostic, Evidence

_LINE = re.compile(r"([A-Za-z0-9_-]{1,64})\s*:\s*(\S.*)")
FILE = "Procfile"


@dataclass(frozen=True, slots=True)
class Procfile:
    """The processes by their type; `release` runs once before the rollout."""

    processes: Mapping[str, Start] = field(default_factory=dict)
    release: Start | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


def read(view: AppView) -> Procfile:
    """What the Procfile of a tree says; empty when there is none."""
    processes: dict[str, Start] = {}
    release = None
    notes = []
    for number, line in view.lines(FILE):
        match = _LINE.fullmatch(line.strip())
        if not match:
            if line.strip() and not line.lstrip().startswith("#"):
                notes.append(Diagnostic("warning", "procfile-line", f"{FILE}:{number} is not 'type: command'"))
            continue
        kind = match.group(1).lower().replace("_", "-")
        start = Start(bounded(match.group(2), f"{FILE}:{number}"), (Evidence(FILE, number, f"{kind}:"),))
        if kind == "release":
            release = start
        elif NAME.fullmatch(kind):
            processes[kind] = start
        else:
            notes.append(
                Diagnostic("warning", "procfile-name", f"{FILE}:{number} '{kind}' cannot be the name of a process")
            )
    return Procfile(processes, release, tuple(notes))
