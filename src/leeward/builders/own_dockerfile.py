"""Plan a build by the user's own Dockerfile. Pure."""

import json
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from leeward.builders.providers.provider import Start
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.app import AppSpec
from leeward.model.build import Decision, Diagnostic, Evidence

_STAGE = re.compile(r"FROM\s+(?:--\S+\s+)*\S+\s+AS\s+(\S+)", re.I)
_EXPOSE = re.compile(r"EXPOSE\s+(\d{1,5})(?:/tcp)?\b", re.I)
_SECRET = re.compile(r"--mount=type=secret,[^\s]*?\bid=([A-Za-z_][A-Za-z0-9_]*)")
_COMMAND = re.compile(r"(CMD|ENTRYPOINT)\s+(\S.*)", re.I)


def text(view: AppView, spec: AppSpec) -> str:
    """The Dockerfile's text. Raises PlanFailed when it is not there or names no stage `target`."""
    path = spec.build.dockerfile
    content = view.whole(path)
    if not content.strip():
        have = [
            name for name in view.paths if name.rpartition("/")[2].lower().startswith(("dockerfile", "containerfile"))
        ]
        known = f"there is '{have[0]}'" if have else "add one, or remove build.strategy to let the files decide"
        if view.has(path):
            raise PlanFailed(
                f"'{path}' is empty in '{view.name}'", hint="write it, or remove it to let the files decide"
            )
        raise PlanFailed(f"'{path}' is not there in '{view.name}'", hint=known)
    stages = [name.lower() for name in _STAGE.findall(content)]
    target = spec.build.target
    if target and target.lower() not in stages and not target.isdigit():
        close = get_close_matches(target.lower(), stages, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(stages) or 'no named stages'}"
        raise PlanFailed(f"'{path}' has no stage '{target}'", hint=hint)
    return content


def start(path: str, content: str) -> Start | None:
    """What the image itself runs, as far as the text tells."""
    found: dict[str, tuple[str, Evidence]] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if re.match(r"FROM\s", line.strip(), re.I):
            found.clear()
        elif match := _COMMAND.match(line.strip()):
            word = match.group(1).upper()
            found[word] = (_words(match.group(2)), Evidence(path, number, word))
    parts = [found[word] for word in ("ENTRYPOINT", "CMD") if word in found]
    if not parts:
        return None
    return Start(" ".join(text for text, _ in parts)[:500], tuple(evidence for _, evidence in parts))


def _words(text: str) -> str:
    """An exec form as one would type it."""
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()
    return shlex.join(str(word) for word in words) if isinstance(words, list) else text.strip()


def secrets(content: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that the Dockerfile mounts as secrets."""
    return tuple(sorted({name for name in _SECRET.findall(content) if name in env}))


def diagnostics(path: str, content: str, spec: AppSpec) -> Iterator[Diagnostic]:
    """A port that nobody will ask."""
    ports = [int(port) for port in _EXPOSE.findall(content)]
    web = spec.processes.get("web")
    expected = web.port if web else 8080
    if ports and expected not in ports and "PORT" not in content.replace("EXPOSE", ""):
        yield Diagnostic(
            "warning",
            "port",
            f"{path} exposes {ports[0]}; requests go to {expected}, which is given as $PORT",
            f"listen on $PORT, or set processes.web.port: {ports[0]}",
        )


def context(view: AppView, spec: AppSpec) -> str:
    """The directory that is sent to the build, from the tree's root. Raises PlanFailed when it leads out."""
    joined = posixpath.normpath(posixpath.join(view.name, spec.build.context))
    if joined.startswith(("../", "/")) or joined == "..":
        raise PlanFailed(
            f"build.context '{spec.build.context}' leads out of the source", hint="use a path inside of it"
        )
    return joined


def ignore_rules(root: AppView, context: str, path: str) -> tuple[str, ...]:
    """The rules that docker would read itself: beside the Dockerfile, else at the top of the context."""
    view = root.at(context)
    name = view.first(f"{path}.dockerignore", ".dockerignore") if view else None
    return tuple(line for _, line in view.lines(name)) if view and name else ()


def decisions(path: str, target: str | None, args: Iterable[str]) -> Iterator[Decision]:
    """What of the Dockerfile is used."""
    if target:
        yield Decision("target", target, (Evidence(path, 0, "build.target"),))
    if names := sorted(args):
        yield Decision("build arguments", " ".join(names), (Evidence("leeward.yaml", 0, "build.args"),))
