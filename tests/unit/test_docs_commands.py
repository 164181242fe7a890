"""Every command that a document shows is one that `lee` takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from leeward.cli.main import build

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
# Written by the command line itself, with names of parameters in place of values.
GENERATED = "docs/reference/cli.md"
SHOWN = re.compile(r"^(?: {4}|\$ )(?:sudo )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(lee .*)$", re.M)
MENTIONED = re.compile(r"`(lee [^`]+)`")


def commands() -> Iterator[tuple[str, str, bool]]:
    """Document, command, and whether it stands in a line of its own, as one would type it."""
    for path in DOCUMENTS:
        name = str(path.relative_to(ROOT))
        if name != GENERATED:
            text = path.read_text()
            yield from ((name, line, True) for line in SHOWN.findall(text))
            yield from ((name, " ".join(line.split()), False) for line in MENTIONED.findall(text))


def refused(command: str, typed: bool) -> str:
    """Why `lee` does not take a command, '' when it does. A mention may leave out what the command is given."""
    for part in re.split(r" && ", command):
        words = shlex.split(re.split(r" <|\s#|…", part)[0])[1:]
        if not words or words[0].startswith("-"):
            continue
        try:
            build(words[0]).parse_args(words, exit_on_error=False, print_error=False)
        except MissingArgumentError as error:
            if typed:
                return str(error)
        except CycloptsError as error:
            return str(error)
    return ""


def test_every_command_in_the_documents_is_parsed_by_the_command_line() -> None:
    found = list(commands())

    wrong = [f"{name}: {command}: {why}" for name, command, typed in found if (why := refused(command, typed))]

    assert len(found) > 100
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("lee deploi", True),
        ("lee scale shop --sise medium", True),
        ("lee rollback", True),
        ("lee env sett shop", False),
    ],
)
def test_a_wrong_command_would_be_seen(command: str, typed: bool) -> None:
    assert refused(command, typed)
