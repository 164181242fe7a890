"""Collect the commands of `lee`, run the one that was asked for, turn failures into exit codes."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from leeward.cli import commands

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

    from leeward.errors import LeewardError

INTERRUPTED = 130  # As a shell names a process that ended by SIGINT.


def build(first: str = "") -> "App":
    """All commands; only those below the word `first` are imported."""
    from cyclopts import App

    app = App(
        name="lee",
        help=commands.SENTENCE,
        version=_version,
        help_format="plaintext",
        help_formatter="plain",
        end_of_options_delimiter="--",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    rooms = {name: App(name=name, help=text) for name, text in commands.GROUPS.items()}
    for room in rooms.values():
        app.command(room)
    for command in commands.ALL:
        where = rooms[command.words[0]] if len(command.words) > 1 else app
        module, _, function = command.target.partition(":")
        target = f"leeward.cli.{module}:{function}"
        if command.words[0] == first:
            where.command(_load(target), name=command.words[-1], show=command.shown)
        else:
            where.command(target, name=command.words[-1], show=command.shown, help=command.text)
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("leeward")


def _load(target: str) -> Callable[..., object]:
    from importlib import import_module

    module, _, function = target.partition(":")
    found: Callable[..., object] = getattr(import_module(module), function)
    return found


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit code."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(commands.overview(), end="")
        return 0
    if argv[0] == "--version":
        print(_version())
        return 0
    app = build(argv[0])
    from cyclopts import CycloptsError

    from leeward.cli import output
    from leeward.errors import LeewardError

    options = argv[: argv.index("--")] if "--" in argv else argv
    json_wanted = "--json" in options
    try:
        return _code(app(list(argv), exit_on_error=False, print_error=False))
    except CycloptsError as error:
        return output.failed(_usage(error, argv), json_wanted)
    except LeewardError as error:
        return output.failed(error, json_wanted)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("LEEWARD_DEBUG"):
            raise
        wrong = LeewardError(
            f"{type(error).__name__}: {error}", hint="this is a mistake in lee; LEEWARD_DEBUG=1 shows where", code="bug"
        )
        return output.failed(wrong, json_wanted)


def _code(result: object) -> int:
    return result if isinstance(result, int) else 0


def _usage(error: "CycloptsError", argv: Sequence[str]) -> "LeewardError":
    """What Cyclopts has to say, in our form."""
    from leeward.errors import Invalid

    text = " ".join(str(error).split())
    message, mark, hint = text.partition(" Did you mean ")
    hint = f"did you mean {hint}" if mark else ""
    message = message.partition(" Available commands: ")[0]
    message = message.rstrip(".").replace('"', "'")
    if unused := re.match(r"unused tokens: \[(.*)\]$", message, flags=re.I):
        message = f"too many words: {unused[1]}"
    message = re.sub(r"unable to convert ('.*') into int$", r"\1 is not a whole number", message)
    message = re.sub(r"^command '.*' parameter (\S+) requires an argument$", r"\1 is missing", message, flags=re.I)
    words = [word for word in argv[:2] if not word.startswith("-")]
    names = {command.name for command in commands.ALL} | set(commands.GROUPS)
    name = next((n for n in (" ".join(words), *words[:1]) if n in names), "")
    hint = hint.partition(" Available commands: ")[0].replace('"', "'") or f"see `lee {name} --help`".replace("  ", " ")
    message = message if message[:2].isupper() else message[:1].lower() + message[1:]
    return Invalid(message, hint=hint, code="usage")


def run() -> None:
    """Run the command line. Exit codes: 0 done, 1 it failed, 2 the request is wrong, 3 no platform."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # `lee logs | head` closed the pipe; Python would complain again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    raise SystemExit(code)
