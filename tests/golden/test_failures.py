"""What real tools printed when they failed, and the sentence that a user reads: `GOLDEN=write` writes them anew.

The logs were printed by the tools themselves (Gradle's are written after its documentation), shortened, with other
names of hosts.
"""

import os
import re
from pathlib import Path

import pytest

from leeward.builders.failures import explain

HERE = Path(__file__).parent / "failures"
GOLDEN = HERE / "sentences.golden"
GROUPS = {
    "uv and pip": ("uv", "pip"),
    "npm, yarn and pnpm": ("npm", "yarn", "pnpm"),
    "go": ("go",),
    "cargo": ("cargo",),
    "maven and gradle": ("maven", "gradle"),
}


def logs(tool: str) -> list[tuple[str, list[str]]]:
    """Name and lines of each failure of a tool."""
    parts = re.split(r"^=== (\S+)\n", (HERE / f"{tool}.txt").read_text(), flags=re.M)[1:]
    return [(name, text.splitlines()) for name, text in zip(parts[::2], parts[1::2], strict=True)]


def test_every_failure_has_the_sentence_that_was_read() -> None:
    found = []
    for tool in sorted(tool for tools in GROUPS.values() for tool in tools):
        for name, lines in logs(tool):
            message, hint = explain("[2/3] RUN x", lines, "exit code: 1")
            found.append(f"{tool}: {name}: {message}\n    {hint}\n")
    text = "".join(found)
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(text)

    assert text == GOLDEN.read_text()


@pytest.mark.parametrize("group", GROUPS)
def test_twenty_failures_have_a_hint_of_their_own(group: str) -> None:
    told = [explain("[2/3] RUN x", lines, "exit code: 1")[1] for tool in GROUPS[group] for name, lines in logs(tool)]

    assert len([hint for hint in told if not hint.startswith("read the log above")]) >= 20


def test_colours_hide_no_failure() -> None:
    line = '\x1b[31mnpm error\x1b[0m Missing script: \x1b[1m"build"\x1b[0m'

    assert explain("", [line], "")[0] == "package.json has no script 'build'"
