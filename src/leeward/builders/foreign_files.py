"""Find the files that people bring from other platforms, and read them, the strongest first."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from leeward.builders import (
    catalogue,
    foreign_heroku,
    foreign_nixpacks,
    foreign_phases,
    foreign_project,
    foreign_railpack,
    foreign_railway,
    foreign_steps,
    foreign_variables,
)
from leeward.builders.catalogue import Tool
from leeward.builders.detect import matches
from leeward.builders.foreign import Foreign, Said
from leeward.builders.foreign_phases import SPREAD
from leeward.builders.procfile import Procfile
from leeward.builders.providers.provider import Context, Contribution, Start
from leeward.builders.tree import AppView
from leeward.builders.versions import numbers
from leeward.model.build import Decision, Diagnostic, Evidence

# Those that have a reader of their own.
TOOLS: Mapping[str, Tool] = {value.name: value for value in vars(catalogue).values() if isinstance(value, Tool)}
FILES = ("railpack.json", "nixpacks.toml", "nixpacks.json", *foreign_railway.FILES, "project.toml", "app.json")


def read(view: AppView, env: Mapping[str, str], used: set[str]) -> Foreign:
    """Everything that variables and files say; what is stronger is read first. Raises PlanFailed for broken files."""
    found = Foreign()
    foreign_variables.read(found, env, used)
    for file, reader in _config_files(found, view, env, used):
        reader(found, view, file)
    if railway := view.first(*foreign_railway.FILES):
        foreign_railway.read(found, view, railway)
    if view.has(foreign_project.FILE):
        foreign_project.read(found, view)
    if view.has(foreign_heroku.APP_FILE):
        foreign_heroku.read_app(found, view)
    foreign_heroku.read_files(found, view)
    foreign_phases.settle(found)
    for tool, version, evidence in found.tools:
        _version(found, tool, version, evidence)
    for table in (found.env, found.run_env, found.build_env):
        for name in [name for name in table if name in env]:
            del table[name]
    if found.files:
        because = tuple(Evidence(file) for file in found.files)
        found.decisions.append(Decision("brought configuration", " ".join(found.files), because))
    return found


def _config_files(
    found: Foreign, view: AppView, env: Mapping[str, str], used: set[str]
) -> Iterator[tuple[str, Callable[[Foreign, AppView, str], None]]]:
    """The file that a variable names, else the ones with usual names."""
    for prefix, reader, usual in (
        ("RAILPACK_", foreign_railpack.read, ("railpack.json",)),
        ("NIXPACKS_", foreign_nixpacks.read, foreign_nixpacks.FILES),
    ):
        names = [name for name in (f"{prefix}CONFIG_FILE", "PLAN_CONFIG_FILE") if env.get(name, "").strip()]
        named = next((name for name in names if name.startswith(prefix) or _is_for(env[name], prefix)), None)
        if named is None:
            if file := view.first(*usual):
                yield file, reader
            continue
        used.add(named)
        path = env[named].strip().removeprefix("./")
        if view.has(path):
            yield path, reader
        else:
            text = f"the variable {named} names '{path[:80]}', which is not there"
            found.notes.append(Diagnostic("warning", "not-honoured", text, "correct the path: it is seen from the app"))


def _version(found: Foreign, tool: str, version: str, evidence: Evidence) -> None:
    """A version that can be had; else the usual one, with a note: it is a package there, and no pin of the app's."""
    if not version:
        return
    known = TOOLS.get(tool)
    wanted = numbers(version)[: 1 if tool in ("node", "java", "dotnet", "deno") else 2]
    if known and not any(offer.full[: len(wanted)] == wanted for offer in known.offers):
        what = f"asks for {tool} {version[:20]}, which there is not: there are {', '.join(known.names)}"
        found.note(evidence, what, f"set build.versions: {{{tool}: …}} in leeward.yaml")
    else:
        found.option(f"{tool.upper()}_VERSION", version, evidence)


def _is_for(path: str, prefix: str) -> bool:
    """A file that our own variable names: TOML is Nixpacks', JSON is by its name."""
    railpack = path.strip().endswith(".json") and "nixpacks" not in path
    return railpack == (prefix == "RAILPACK_")


@dataclass(frozen=True, slots=True)
class Brought:
    """What a plan takes over beside the steps."""

    decisions: tuple[Decision, ...]
    diagnostics: tuple[Diagnostic, ...]
    generated: tuple[str, ...]
    formation: Mapping[str, Mapping[str, int | str]]
    first: str | None


def wanted(bare: Context) -> Said | None:
    """The languages that are named: by a variable, or by a file that agrees with the tree. Raises PlanFailed."""
    said = bare.option("PROVIDERS", "PROVIDER")
    # A Dockerfile says more than a file for another builder.
    if said or bare.view.has(bare.spec.build.dockerfile):
        return said
    told = read(bare.view, bare.env, set()).options
    option = told.get("PROVIDERS") or told.get("PROVIDER")
    if option is None:
        return None
    # A list may name what is not there, and what is found anyway needs no word.
    there = [match.provider.name for match in matches(bare.view)]
    names = [name for name in option[0].split(",") if name == SPREAD or name in there]
    return (",".join(names), option[1]) if names not in ([], [SPREAD], there[:1]) else None


def context(bare: Context, provider: Said | None) -> Context:
    """The context with what was brought; `provider` is the wish that was followed. Raises PlanFailed."""
    used: set[str] = set()
    told = read(bare.view, bare.env, used)
    if provider:
        used |= {"PROVIDER", "PROVIDERS", provider[1].file.removeprefix("variable ")}
    return replace(bare, env={**told.defaults, **bare.env}, foreign=told, used=used)


def unread(context: Context) -> tuple[Diagnostic, ...]:
    """With a Dockerfile of the user's own nothing of another builder has a say: name it."""
    there = [file for file in (*FILES, "Aptfile", ".buildpacks", ".slugignore") if context.view.has(file)]
    text = "is not read: the Dockerfile says how the image is made"
    fix = "remove it, or set PLAN_PROVIDER to plan by the files"
    files = [Diagnostic("info", "not-honoured", f"{file} {text}", fix) for file in there]
    return (*files, *foreign_variables.unheard(context.env, context.foreign, context.used, "dockerfile"))


def apply(context: Context, part: Contribution) -> Contribution:
    """The provider's part with what was brought. Raises Invalid for what is no package's name."""
    skipped = context.option("SKIP_MIGRATIONS")
    if skipped and part.release:
        chosen = Decision("release command", "none", (skipped[1],), (part.release.command,))
        part = replace(part, release=None, decisions=(*part.decisions, chosen))
    if context.foreign.health:
        part = replace(part, health=context.foreign.health)
    return foreign_steps.apply(context, part)


def listed(context: Context, found: Procfile) -> Procfile:
    """What the Procfile says, and what is stronger than that."""
    release = context.foreign.release
    return replace(found, release=Start(release[0], (release[1],))) if release else found


def brought(context: Context, provider: str, processes: Mapping[str, str | None]) -> Brought:
    """What else the files say, and what was not honoured."""
    told = context.foreign
    decisions = list(told.decisions)
    formation: dict[str, Mapping[str, int | str]] = {}
    for name, (count, size, place) in sorted(told.formation.items()):
        wished = {"instances": count, "size": size}
        each: dict[str, int | str] = {key: value for key, value in wished.items() if value is not None}
        if name not in processes:
            told.note(place, f"there is no process '{name}'", "name it in the Procfile", level="info")
        elif each and name not in context.spec.processes:
            formation[name] = each
            words = " ".join(f"{key} {value}" for key, value in each.items())
            decisions.append(Decision(f"formation {name}", words, (place,)))
    for name in sorted(processes):
        if name not in formation and name not in context.spec.processes and not _runs(name):
            formation[name] = {"instances": 0}
            what = f"the process '{name}' is not started: it is neither 'web' nor a worker by its name"
            fix = f"start it with `lee scale APP {name}=1`, or name it in leeward.yaml"
            told.notes.append(Diagnostic("info", "not-started", what, fix))
    root = context.root
    if root and root.name != context.view.name:
        for file in (*FILES, "Procfile", "Aptfile"):
            if root.has(file) and not context.view.has(file):
                what = f"is not read: the app lies in '{context.view.name}'"
                told.note(Evidence(file), what, f"move it to {context.view.name}", level="info")
    generated = tuple(sorted(told.generated))
    if generated:
        decisions.append(Decision("random values", " ".join(generated), tuple(told.generated[n] for n in generated)))
    if told.first:
        decisions.append(Decision("first command", told.first[0], (told.first[1],)))
    notes = _diagnostics(context, provider)
    return Brought(tuple(decisions), notes, generated, formation, told.first[0] if told.first else None)


def _runs(process: str) -> bool:
    """Whether a process of a Procfile runs without being asked for."""
    return process == "web" or "worker" in process


def _diagnostics(context: Context, provider: str) -> tuple[Diagnostic, ...]:
    """What was not honoured, each once, and what the app still needs."""
    told = context.foreign
    wanted = [
        Diagnostic(
            "warning",
            "variable-wanted",
            f"{place.file}:{place.line} the app needs the variable '{name}', which has no value",
            f"set it: `lee env set APP {name}=…`",
        )
        for name, place in sorted(told.wanted.items())
        if name not in context.env
    ]
    for name in ("PROVIDER", "PROVIDERS"):
        if name in told.options and told.options[name][0].split(",")[0] in (provider, SPREAD):
            context.used.add(name)
    unheard = foreign_variables.unheard(context.env, told, context.used, provider)
    return tuple(dict.fromkeys([*told.notes, *wanted, *unheard]))
