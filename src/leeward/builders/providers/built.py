"""What the languages share whose code is built before it runs."""

import re
from collections.abc import Iterable, Sequence

from leeward.builders.blueprint import Cache, Copy, Env, Instruction, Packages, Run, User, Workdir
from leeward.builders.catalogue import Offer
from leeward.builders.loose import first_text, mapping
from leeward.builders.providers.provider import Context
from leeward.builders.providers.python_install import key_copies
from leeward.builders.tree import AppView
from leeward.builders.versions import Demand, numbers
from leeward.model.build import Decision, Evidence

RUN_ENV = {"HOME": "/tmp", "PORT": "8080"}
IGNORE = (".env", ".env.*", "!.env.example", "node_modules")
# Reading is bounded; a program's main file and its routes are near the top of a tree.
_READ = 40


def tools(view: AppView, *names: str) -> list[tuple[str, Evidence]]:
    """The versions that `.tool-versions` and `mise.toml` give for a tool that goes by these names."""
    found = []
    for number, line in view.lines(".tool-versions"):
        words = line.split()
        if len(words) > 1 and words[0] in names:
            found.append((words[1][:60], Evidence(".tool-versions", number, line.strip()[:60])))
    for path in ("mise.toml", ".mise.toml"):
        table = mapping(view.toml(path), "tools")
        for name in names:
            if word := first_text(table.get(name)):
                found.append((word[:60], view.where(path, name, f"{name} = {word}"[:60])))
    return found


def first_line(view: AppView, path: str) -> list[tuple[str, Evidence]]:
    """A version file with one line."""
    for number, line in view.lines(path):
        if line.strip() and not line.startswith("#"):
            return [(line.strip()[:60], Evidence(path, number, line.strip()[:60]))]
    return []


def at_least(text: str, evidence: Evidence, places: int = 2) -> Demand | None:
    """A version as the least that will do, for tools whose newer releases build older code."""
    wanted = numbers(text)[:places]
    if not wanted:
        return None

    def accepts(offer: Offer) -> bool:
        return offer.full[: len(wanted)] >= wanted

    return Demand(text, accepts, evidence)


def health(view: AppView, paths: Iterable[str], route: re.Pattern[str]) -> tuple[str, Evidence] | None:
    """The first route for health checks in these files; the pattern's group is its path."""
    for path in list(paths)[:_READ]:
        for number, line in view.lines(path):
            if match := route.search(line[:500]):
                return match[1], Evidence(path, number, f"answers GET {match[1]}")
    return None


def packages(names: Sequence[str]) -> tuple[Instruction, ...]:
    """The step for Debian packages, if there are any."""
    return (Packages(tuple(names)),) if names else ()


def install(
    context: Context, files: Sequence[str], commands: Sequence[str], caches: Sequence[Cache], scope: Sequence[str]
) -> tuple[Instruction, ...]:
    """Bring the dependencies from the key files alone; the user's own command gets the whole tree."""
    own = context.install_command()
    secrets = context.secrets(*scope)
    if not own and not commands:
        return ()
    run = Run(
        (own[0],) if own else tuple(commands),
        network=True,
        verbatim=own is not None,
        caches=tuple(caches),
        secrets=secrets,
        fingerprint=context.fingerprint(secrets),
    )
    return ((Copy((".",), "./"),) if own or not files else key_copies(files)) + (run,)


def build(
    context: Context,
    commands: Sequence[str],
    caches: Sequence[Cache],
    scope: Sequence[str],
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> tuple[Instruction, ...]:
    """Build the code: our way, or the user's with all variables; before or after it, put things in their places."""
    own = context.build_command()
    secrets = context.secrets("") if own else context.secrets(*scope)
    run = Run(
        (own[0],) if own else tuple(commands),
        network=True,
        verbatim=own is not None,
        caches=tuple(caches),
        secrets=secrets,
        fingerprint=context.fingerprint(secrets),
    )
    first, last = ((Run(tuple(each)),) if each else () for each in (before, after))
    return (Copy((".",), "./"), *first, run, *last)


def programs(*, own: bool) -> tuple[Copy, ...]:
    """What the image takes from the build stage: the whole tree after the user's `own` build command, else what we
    put aside of it, with the programs on top."""
    if own:
        return (Copy(("/app",), "/app", stage="build", owned=True),)
    return (
        Copy(("/out/app",), "/app", stage="build", owned=True),
        Copy(("/out/bin",), "/app/bin", stage="build"),
    )


def run(names: Sequence[str], env: dict[str, str], copies: Sequence[Copy]) -> tuple[Instruction, ...]:
    """The steps of the image itself."""
    return image(packages(names), (Env({**RUN_ENV, **env}),), "/app", copies)


def image(
    packages: Sequence[Instruction], own: Sequence[Instruction], workdir: str, copies: Sequence[Copy]
) -> tuple[Instruction, ...]:
    """The steps of an image: what changes seldom first, the code last."""
    first = tuple(copy for copy in copies if copy.dependencies)
    code = tuple(copy for copy in copies if not copy.dependencies)
    return (*packages, *first, *own, Workdir(workdir), *code, User("1000:1000"))


def said(context: Context) -> list[Decision]:
    """The user's own commands, as decisions."""
    pairs = (("install command", context.install_command()), ("build command", context.build_command()))
    return [Decision(topic, found[0], (found[1],)) for topic, found in pairs if found]


def secrets(context: Context, scope: Sequence[str]) -> tuple[str, ...]:
    """Every variable that one of the steps sees."""
    return context.secrets("" if context.build_command() else "\0", *scope)
