"""Hold what the configuration files of other platforms say, in our own words.

The readers (`foreign_nixpacks`, `foreign_railpack`, `foreign_heroku`, `foreign_project`) fill it, the strongest file
first: what is said already stays. After that it is only read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from leeward.model.build import Decision, Diagnostic, Evidence

Said = tuple[str, Evidence]


@dataclass(slots=True)
class Commands:
    """Commands around a step of the provider; `own` in place of the provider's, where somebody wrote them all."""

    before: list[Said] = field(default_factory=list)
    own: list[Said] | None = None
    after: list[Said] = field(default_factory=list)
    claimed: bool = False
    """A stronger file has said all about this step."""


@dataclass(slots=True)
class Foreign:
    """Everything that was brought, with the place where it is said."""

    files: list[str] = field(default_factory=list)
    options: dict[str, Said] = field(default_factory=dict)
    """Names of variables that steer the plan, without their prefix: the variables themselves win."""
    build_packages: list[Said] = field(default_factory=list)
    run_packages: list[Said] = field(default_factory=list)
    """Debian packages for the build and for the image."""
    tools: list[tuple[str, str, Evidence]] = field(default_factory=list)
    """Languages that are asked for by name and version, as the app's own or beside it."""
    env: dict[str, Said] = field(default_factory=dict)
    """Defaults of variables, in the build and in the image."""
    run_env: dict[str, Said] = field(default_factory=dict)
    build_env: dict[str, Said] = field(default_factory=dict)
    paths: list[Said] = field(default_factory=list)
    """Directories in front of `PATH`."""
    assets: dict[str, Said] = field(default_factory=dict)
    """Texts that lie below `/assets`."""
    excluded: list[Said] = field(default_factory=list)
    """Rules of `.dockerignore`."""
    setup: Commands = field(default_factory=Commands)
    install: Commands = field(default_factory=Commands)
    build: Commands = field(default_factory=Commands)
    install_caches: list[Said] = field(default_factory=list)
    build_caches: list[Said] = field(default_factory=list)
    without_caches: list[Said] = field(default_factory=list)
    """Names of caches that are not wanted; `*` is all of them."""
    secrets: dict[str, Evidence] | None = None
    """The only variables that a build may see, where somebody listed them."""
    generated: dict[str, Evidence] = field(default_factory=dict)
    """Variables that get a random value once."""
    wanted: dict[str, Evidence] = field(default_factory=dict)
    """Variables that the app needs and that nobody gives a value."""
    formation: dict[str, tuple[int | None, str | None, Evidence]] = field(default_factory=dict)
    """Instances and size that a new app's processes begin with."""
    release: Said | None = None
    """A command that runs before each rollout."""
    health: Said | None = None
    """A path that answers when the app works."""
    first: Said | None = None
    """A command that runs once, after the app's first deploy."""
    notes: list[Diagnostic] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def option(self, name: str, value: str, evidence: Evidence) -> None:
        """A stronger file's word stays."""
        if value.strip():
            self.options.setdefault(name, (value.strip(), evidence))

    def languages(self, names: list[str], evidence: Evidence) -> None:
        """The languages of the app, the leading one first; `...` is what the files say."""
        self.option("PROVIDERS", ",".join(dict.fromkeys(names)), evidence)
        self.tools += [(name, "", evidence) for name in names[1:] if name != "..."]

    def note(self, evidence: Evidence, what: str, fix: str = "", level: str = "warning") -> None:
        """Say that something is not honoured, and what to do instead."""
        place = f"{evidence.file}:{evidence.line}" if evidence.line else evidence.file
        self.notes.append(Diagnostic(level, "not-honoured", f"{place} {what}", fix))

    def default(self, table: dict[str, Said], name: str, value: str, evidence: Evidence) -> None:
        """A default of a variable. A value that a Dockerfile cannot hold is refused, with a note."""
        if not name.isascii() or not name.replace("_", "a").isalnum() or name[0].isdigit() or len(name) > 128:
            self.note(evidence, f"'{name[:60]}' is not the name of a variable", "use letters, digits and '_'")
        elif not value.isprintable() or len(value) > 4096:
            self.note(
                evidence, f"the value of '{name}' has lines or is too long", f"set it: `lee env set APP {name}=…`"
            )
        else:
            table.setdefault(name, (value, evidence))

    @property
    def defaults(self) -> dict[str, str]:
        """Variables that a build sees unless the app's own say otherwise."""
        return {name: said[0] for name, said in {**self.env, **self.build_env}.items()}


def texts(values: Iterable[Said]) -> tuple[str, ...]:
    """The texts alone."""
    return tuple(value for value, _ in values)
