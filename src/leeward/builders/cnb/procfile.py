"""The buildpack that takes processes from a Procfile, or from the platform that knows more."""

import json
import re

from leeward.builders.cnb.hooks import hooks, run
from leeward.builders.cnb.phase import Phase, Process, say

FILE = "Procfile"
# The platform's own list: it knows the manifest, variables and the code.
GIVEN = "LEEWARD_PROCESSES"
_LINE = re.compile(r"([A-Za-z0-9_-]{1,64})\s*:\s*(\S.*)")


def detect(phase: Phase) -> bool:
    """Whether anything lists processes."""
    return bool(listed(phase))


def build(phase: Phase) -> None:
    """Write them; `web` is what the image starts by itself."""
    own = hooks(phase, "procfile")
    run(phase, *own.before, own.install, *own.between, own.build, *own.after)
    commands = listed(phase)
    for type in sorted(commands):
        say(f"process {type}: {commands[type]}")
    phase.processes([Process(type, commands[type], type == "web") for type in sorted(commands)])


def listed(phase: Phase) -> dict[str, str]:
    """Process type to command."""
    found = {match[1].lower(): match[2] for line in phase.text(FILE).splitlines() if (match := _match(line))}
    return found | _object(phase, GIVEN)


def _object(phase: Phase, name: str) -> dict[str, str]:
    """A variable of the platform that holds names and texts."""
    try:
        given = json.loads(phase.env.get(name) or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in given.items() if value} if isinstance(given, dict) else {}


def _match(line: str) -> re.Match[str] | None:
    return _LINE.fullmatch(line.strip())
