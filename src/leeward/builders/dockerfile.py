"""Write a blueprint as the text of a Dockerfile.

It builds unchanged with the frontend that is built into Docker 20.10: no `# syntax=` line, no heredocs, no
`COPY --link`. Nothing of a user's is written outside JSON or shell quotes.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import assert_never

from leeward.builders.blueprint import Blueprint, Cache, Copy, Env, Instruction, Packages, Run, User, Workdir
from leeward.plan.settle import EPOCH

APP_USER = "1000:1000"
# Secrets that are the builder's own: trust and indexes; read by `with-ca` in the build bases.
NETWORK_SECRETS = ("leeward_ca", "leeward_pip_index", "leeward_npm_registry")
_APT_CACHE = Cache("apt", "/var/cache/apt", locked=True)
# What is different each time, so that the same packages make the same layer.
_APT_LEAVES = "/var/lib/apt/lists/* /var/log/apt/* /var/log/*.log /var/cache/ldconfig/aux-cache"
_SIMPLE = re.compile(r"[A-Za-z0-9_@%+:,./-]+")
_OPERATORS = re.compile(r"[;&|\n(){}<>`]|\$\(")
_BUILTINS = frozenset(
    {"cd", "export", "set", "source", ".", "if", "for", "while", "case", "!", "exec", "trap", "ulimit"}
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def render(blueprint: Blueprint, tags: Mapping[str, str], scope: str, header: Iterable[str] = ()) -> str:
    """The Dockerfile's text; `scope` keeps the caches of different apps apart, `header` lines become comments."""
    stages = {stage.name for stage in blueprint.stages}
    blocks = [[f"# {_comment(line)}" for line in header]]
    for place, stage in enumerate(blueprint.stages):
        last = place == len(blueprint.stages) - 1
        base = stage.base if stage.base in stages else image(stage.base, tags)
        lines = [f"FROM {base}" if last else f"FROM {base} AS {stage.name}"]
        lines += _instructions(stage.steps, scope)
        if last and blueprint.command is not None:
            lines.append("CMD " + _json(["/bin/sh", "-c", as_exec(blueprint.command)]))
        blocks.append(lines)
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def image(flavour: str, tags: Mapping[str, str]) -> str:
    """The name of a base image; a foreign one, with its registry, is its own."""
    return flavour if "/" in flavour else f"leeward-base/{flavour}:{tags.get(flavour, 'latest')}"


def bases(blueprint: Blueprint, tags: Mapping[str, str]) -> tuple[str, ...]:
    """The base images that a blueprint builds on."""
    stages = {stage.name for stage in blueprint.stages}
    return tuple(sorted({image(stage.base, tags) for stage in blueprint.stages if stage.base not in stages}))


def as_exec(command: str) -> str:
    """The command so that the shell gives its place to it and signals arrive, where that is possible."""
    command = command.strip()
    words = command.split(maxsplit=1)
    if not words or _OPERATORS.search(command) or words[0] in _BUILTINS:
        return command
    return f"exec env {command}" if _ASSIGNMENT.match(words[0]) else f"exec {command}"


def _instructions(steps: Sequence[Instruction], scope: str) -> Iterator[str]:
    user = ""
    for step in steps:
        user = step.name.partition(":")[0] if isinstance(step, User) else user
        yield _instruction(step, scope, user)


def _instruction(step: Instruction, scope: str, user: str) -> str:
    match step:
        case Copy(dependencies=True):
            return _dependencies(step)
        case Copy():
            options = "".join(
                [f" --from={step.stage}" if step.stage else "", f" --chown={APP_USER}" if step.owned else ""]
            )
            return f"COPY{options} {_paths([*step.sources, step.target])}"
        case Run():
            return _run(step, scope, user)
        case Packages():
            return _packages(step.names, scope)
        case Env():
            write = _literal if step.literal else _value
            pairs = [f"{key}={write(value)}" for key, value in sorted(step.values.items())]
            return "ENV " + " \\\n    ".join(pairs)
        case Workdir():
            return f"WORKDIR {step.path}"
        case User():
            return f"USER {step.name}"
        case _:
            assert_never(step)


def _run(step: Run, scope: str, user: str) -> str:
    mounts = [_cache(cache, scope) for cache in step.caches]
    names = (*(NETWORK_SECRETS if step.network else ()), *step.secrets)
    mounts += [f"--mount=type=secret,id={name}{f',uid={user}' if user else ''}" for name in names]
    trusted = ["with-ca"] if step.network or step.secrets else []
    note = [f": variables {step.fingerprint}"] if step.fingerprint else []
    if step.verbatim:
        return _lines("RUN", mounts, _json([*trusted, "/bin/sh", "-c", "\n".join([*note, *step.commands])]))
    commands = [" ".join([*trusted, command]) for command in step.commands]
    return _lines("RUN", mounts, " \\\n && ".join([*note, *commands]))


def _dependencies(step: Copy) -> str:
    """What `COPY --from` does, but for the times: one for all, within the year before the epoch of the bases.

    It depends on all content: servers tell by size and time whether a file changed.
    """
    target = step.target
    parents = " ".join(str(parent) for parent in PurePosixPath(target).parents if str(parent) != "/")
    every = f"find {target} -type f -exec cksum {{}} +"
    return _lines(
        "RUN",
        [f"--mount=type=bind,from={step.stage},source={step.sources[0]},target=/mnt"],
        " \\\n && ".join(
            [
                f"mkdir -p {target} && cp -a /mnt/. {target}/",
                f"sum=$({every} | LC_ALL=C sort | cksum | cut -d ' ' -f 1)",
                f"find {target} -exec touch -h -d @$(({EPOCH} - sum % 31536000)) {{}} +",
                *([f"touch -r {target} {parents}"] if parents else []),
            ]
        ),
    )


def _packages(names: Sequence[str], scope: str) -> str:
    install = f"apt-get install -y --no-install-recommends {' '.join(shlex.quote(name) for name in names)}"
    mounts = [_cache(_APT_CACHE, scope), "--mount=type=secret,id=leeward_ca"]
    return _lines("RUN", mounts, f"with-ca apt-get update && with-ca {install} && rm -rf {_APT_LEAVES}")


def _cache(cache: Cache, scope: str) -> str:
    sharing = ",sharing=locked" if cache.locked else ""
    return f"--mount=type=cache,id=leeward-{scope}-{cache.name},target={cache.target}{sharing}"


def _lines(word: str, mounts: Sequence[str], command: str) -> str:
    first, *others = [*mounts, command]
    return " \\\n    ".join([f"{word} {first}", *others])


def _paths(paths: Sequence[str]) -> str:
    if all(_SIMPLE.fullmatch(path) for path in paths):
        return " ".join(paths)
    return _json([path.replace("\\", "\\\\").replace("$", "\\$") for path in paths])


def _value(value: str) -> str:
    """A value of ENV; only `$PATH` and the like that we write ourselves are expanded."""
    if re.fullmatch(r"[A-Za-z0-9_@%+:,./$*=-]*", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(value: str) -> str:
    """A value of ENV that somebody else wrote: nothing in it is filled in."""
    return _value(value) if "$" not in value else _value(value.replace("$", "\0")).replace("\0", "\\$")


def _json(words: Sequence[str]) -> str:
    return json.dumps(list(words), ensure_ascii=False)


def _comment(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line)[:200]
