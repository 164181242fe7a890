"""What a language's module must offer, and what it is given.

A provider reads files only, through an `AppView`; it never runs or imports the user's code.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from leeward.builders.blueprint import Blueprint
from leeward.builders.catalogue import Tool
from leeward.builders.foreign import Foreign
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, pinned
from leeward.errors import PlanFailed
from leeward.model.app import AppSpec
from leeward.model.build import Decision, Diagnostic, Evidence

# Our own name first, then those that people bring from elsewhere.
PREFIXES = ("PLAN_", "RAILPACK_", "NIXPACKS_")
MAX_COMMAND = 8192
# Fingerprints by the hash of what they are of: each takes milliseconds, and a plan asks for one again and again.
_FINGERPRINTS: dict[bytes, str] = {}
_MOST_FINGERPRINTS = 256


@dataclass(frozen=True, slots=True)
class Detection:
    """How sure a provider is (0 to 100) that the tree is its own, and by which files."""

    score: int
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """How a process is started, and where that is said."""

    command: str
    evidence: tuple[Evidence, ...]
    alternatives: tuple[str, ...] = ()
    certain: bool = True
    """False for a guess from a file's name."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a provider plans from."""

    view: AppView
    spec: AppSpec
    env: Mapping[str, str]
    remembered: Mapping[str, str]
    start: Start | None = None
    """A start command that was given; a provider looks for one only when there is none."""
    manifest: Mapping[str, Evidence] = field(default_factory=dict)
    """Where the manifest says what: 'build.install_command' to its line."""
    root: AppView | None = None
    """The whole source, of which `view` may be a part."""
    commands: tuple[str, ...] = ()
    """What other processes than the first are started by, and what runs before a rollout."""
    foreign: Foreign = field(default_factory=Foreign)
    """What the files of other platforms say."""
    used: set[str] = field(default_factory=set)
    """Names of the variables and options that had a say; the rest is told to the user."""

    def option(self, *names: str) -> tuple[str, Evidence] | None:
        """The value of a variable that steers the plan, like `PLAN_PYTHON_VERSION`, and its name."""
        for name in names:
            for prefix in PREFIXES:
                if value := self.env.get(prefix + name, "").strip():
                    self.used.add(prefix + name)
                    return value, Evidence(f"variable {prefix}{name}")
        for name in names:
            if said := self.foreign.options.get(name):
                self.used.add(name)
                return said
        return None

    def said(self, field_path: str) -> Evidence:
        """The place of a field of the manifest."""
        return self.manifest.get(field_path, Evidence("leeward.yaml", 0, field_path))

    def install_command(self) -> tuple[str, Evidence] | None:
        """The user's own way to install the dependencies."""
        return self._command(self.spec.build.install_command, "build.install_command", "INSTALL_CMD")

    def build_command(self) -> tuple[str, Evidence] | None:
        """The user's own build step."""
        return self._command(self.spec.build.command, "build.command", "BUILD_CMD")

    def output(self) -> tuple[str, Evidence] | None:
        """The directory that the user says is the result of the build."""
        if self.spec.build.output:
            return self.spec.build.output, self.said("build.output")
        return self.option("OUTPUT_DIR", "SPA_OUTPUT_DIR", "SPA_OUT_DIR", "STATICFILE_ROOT", "STATIC_FILE_ROOT")

    def _command(self, said: str | None, path: str, name: str) -> tuple[str, Evidence] | None:
        if said and said.strip():
            return bounded(said, path), self.said(path)
        found = self.option(name)
        return (bounded(found[0], found[1].file), found[1]) if found else None

    def version_demands(self, tool: Tool, places: int) -> list[Demand]:
        """What variables and the manifest ask of a tool's version."""
        found = []
        if option := self.option(f"{tool.name.upper()}_VERSION"):
            found.append(option)
        if said := self.spec.build.versions.get(tool.name, "").strip():
            found.append((said, self.said(f"build.versions.{tool.name}")))
        return [
            Demand(value, pinned(value, places) or (lambda offer: False), evidence, pin=False)
            for value, evidence in found
        ]

    def secrets(self, *prefixes: str) -> tuple[str, ...]:
        """Names of the app's variables that begin with one of the prefixes ('' means all); never those for the plan."""
        return tuple(
            sorted(
                name
                for name in self.env
                if name.startswith(prefixes)
                and not name.startswith(PREFIXES)
                and name not in self.foreign.defaults
                and (self.foreign.secrets is None or name in self.foreign.secrets)
                and re.fullmatch(r"[A-Za-z_]\w*", name, re.A)
            )
        )

    def fingerprint(self, names: tuple[str, ...]) -> str:
        """Eight digits that change with the values; too few, and too slow to compute, to guess a value by."""
        if not names:
            return ""
        material = "\0".join(f"{name}={self.env[name]}" for name in names).encode("utf-8", "surrogateescape")
        key = hashlib.sha256(material).digest()
        found = _FINGERPRINTS.get(key)
        if found is None:
            found = hashlib.pbkdf2_hmac("sha256", material, b"leeward build variables", 20_000).hex()[:8]
            if len(_FINGERPRINTS) >= _MOST_FINGERPRINTS:
                _FINGERPRINTS.clear()
            _FINGERPRINTS[key] = found
        return found


@dataclass(frozen=True, slots=True)
class Contribution:
    """A provider's part of the plan."""

    blueprint: Blueprint
    package_manager: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    start: Start | None = None
    release: Start | None = None
    health: tuple[str, Evidence] | None = None
    decisions: tuple[Decision, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    secrets: tuple[str, ...] = ()
    key_files: tuple[str, ...] = ()
    """Files that the blueprint copies by name: no ignore rule may hide them."""
    ignore: tuple[str, ...] = ()
    writable: Evidence | None = None
    """Why the image cannot run with a read-only root."""
    own_command: bool = False
    """The base image itself knows how to start (a static site)."""
    context: str | None = None
    """The directory of the source that is sent to the build, where it is not the app's own."""


class Provider(Protocol):
    """One language."""

    @property
    def name(self) -> str: ...

    @property
    def looked_for(self) -> tuple[str, ...]:
        """The files that it recognises an app by."""
        ...

    def detect(self, view: AppView) -> Detection | None:
        """Whether the tree is its own. Cheap: looks at names, reads nothing large."""
        ...

    def plan(self, context: Context) -> Contribution:
        """How to build it. Raises PlanFailed."""
        ...

    def start_help(self) -> str:
        """What to do when no start command was found."""
        ...


def bounded(command: str, where: str) -> str:
    """The command, if it can be one. Raises PlanFailed."""
    if len(command) > MAX_COMMAND or "\0" in command:
        raise PlanFailed(
            f"the command in '{where}' is longer than {MAX_COMMAND} characters",
            hint="put it into a script and call that",
        )
    try:
        command.encode()
    except UnicodeEncodeError as error:
        raise PlanFailed(f"the command in '{where}' is not Unicode", hint="write it in UTF-8") from error
    return command.strip()
