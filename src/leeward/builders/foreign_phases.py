"""Order the phases that a file names around our three: setup, install, build. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence

from leeward.builders.foreign import Commands, Foreign, Said
from leeward.builders.providers.provider import bounded
from leeward.model.build import Evidence

SPREAD = "..."
# What may stand in a Dockerfile's mount, unquoted.
_DIRECTORY = re.compile(r"(?:~/|\$HOME/)?[A-Za-z0-9_@%+./-]{1,200}")
_ASSET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def place(found: Foreign, name: str, needs: Mapping[str, Sequence[str]]) -> Callable[[list[Said]], None]:
    """Where the commands of a phase go; `needs` says which phases each one comes after."""
    known: Mapping[str, Commands] = {"setup": found.setup, "install": found.install, "build": found.build}
    kind = name.rpartition(":")[2]
    if kind in known:
        return lambda commands: own(known[kind], commands)
    after = _all_needs(name, needs)
    if "build" in after:
        return found.build.after.extend
    return found.build.before.extend if "install" in after else found.install.before.extend


def own(step: Commands, commands: list[Said]) -> None:
    """The commands of one of our steps; `...` is what the provider does."""
    if step.claimed:
        return
    step.claimed = True
    texts = [text for text, _ in commands]
    if SPREAD not in texts:
        step.own = commands
        return
    at = texts.index(SPREAD)
    step.before += commands[:at]
    step.after += [said for said in commands[at + 1 :] if said[0] != SPREAD]


def settle(found: Foreign) -> None:
    """Steps that somebody wrote whole become the options that replace a provider's command."""
    for step, option in ((found.install, "INSTALL_CMD"), (found.build, "BUILD_CMD")):
        if step.own:
            evidence = step.own[0][1]
            lines = "\n".join(text for text, _ in step.own)
            text = lines if len(step.own) == 1 else f"set -e\n{lines}"
            found.option(option, bounded(text, evidence.file), evidence)
        elif step.own is not None:
            # An empty list: the provider's step is not wanted.
            found.option(option, "true", Evidence(found.files[0] if found.files else "", 0, "no commands"))


def directory(text: str) -> str | None:
    """A directory that may be named in a mount or in `PATH`; None when it may not."""
    safe = _DIRECTORY.fullmatch(text) and text.strip("./~") and ".." not in text.split("/")
    return text if safe else None


def asset(name: str) -> bool:
    """Whether a file below `/assets` may have this name."""
    return _ASSET.fullmatch(name) is not None


def _all_needs(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    seen: set[str] = set()
    queue = list(needs.get(name, ()))
    while queue:
        each = queue.pop().rpartition(":")[2]
        if each not in seen:
            seen.add(each)
            queue += needs.get(each, ())
    return seen
