"""How a source becomes an image: the plan and its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Evidence:
    """A place that a decision rests on; `line` is 1-based, 0 means the whole file."""

    file: str
    line: int = 0
    what: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.what}".strip()


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was chosen, why, and what else it could have been."""

    topic: str
    """'provider', 'python version', 'package manager', 'start command' …"""
    chose: str
    because: tuple[Evidence, ...] = ()
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something that the user should know; `level` is 'info', 'warning' or 'error'."""

    level: str
    code: str
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What to build and how. The same tree, spec and variables give the same plan, byte for byte."""

    strategy: str
    providers: tuple[str, ...]
    package_manager: str | None
    versions: Mapping[str, str]
    start_command: str | None
    processes: Mapping[str, str | None]
    """Process type to command; None is the image's own command."""
    decisions: tuple[Decision, ...]
    dockerfile: str
    """The equivalent Dockerfile; '' for strategy image."""
    bases: tuple[str, ...] = ()
    """Names of the base images that it builds on, as `leeward-base/<flavour>:<key>`."""
    dockerignore: tuple[str, ...] = ()
    context: str = "."
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    """Strategy image: the reference to pin."""
    build_secrets: tuple[str, ...] = ()
    """Names of variables that are mounted as secrets while building."""
    health_path: str | None = None
    release_command: str | None = None
    generated: tuple[str, ...] = ()
    """Names of variables that get a random value when the app has none."""
    formation: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)
    """Process to the `instances` and `size` that it begins with where the manifest does not name it."""
    first_command: str | None = None
    """Runs once, after the app's first deploy."""
    read_only: bool = True
    diagnostics: tuple[Diagnostic, ...] = ()
    schema: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The Plan as `lee plan --json` prints it."""
        return {
            "schema": self.schema,
            "strategy": self.strategy,
            "providers": list(self.providers),
            "package_manager": self.package_manager,
            "versions": dict(sorted(self.versions.items())),
            "start_command": self.start_command,
            "processes": dict(sorted(self.processes.items())),
            "decisions": [
                {
                    "topic": d.topic,
                    "chose": d.chose,
                    "because": [{"file": e.file, "line": e.line, "what": e.what} for e in d.because],
                    "alternatives": list(d.alternatives),
                }
                for d in self.decisions
            ],
            "diagnostics": [{"level": d.level, "code": d.code, "text": d.text, "fix": d.fix} for d in self.diagnostics],
            "bases": list(self.bases),
            "build_secrets": list(self.build_secrets),
            "context": self.context,
            "target": self.target,
            "args": dict(sorted(self.args.items())),
            "image": self.image,
            "health_path": self.health_path,
            "release_command": self.release_command,
            "first_command": self.first_command,
            "generated": list(self.generated),
            "formation": {name: dict(each) for name, each in sorted(self.formation.items())},
            "read_only": self.read_only,
            "dockerfile": self.dockerfile,
        }
