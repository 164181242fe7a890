"""Print answers to stdout and everything else to stderr."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from leeward.errors import Invalid, LeewardError

# What a hostile app could do to a terminal: everything below space but tab and line end, and every escape sequence
# but colours.
_COLOUR = r"\x1b\[[0-9;]*m"
_UNSAFE = re.compile(
    _COLOUR + r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]"
)
_RESET = "\x1b[0m"


def safe(text: object) -> str:
    """The text without what moves a cursor or talks to the terminal; colours stay."""
    kept = _UNSAFE.sub(lambda found: found[0] if re.fullmatch(_COLOUR, found[0]) else "", str(text))
    return kept + _RESET if "\x1b" in kept and not kept.endswith(_RESET) else kept


def say(text: str) -> None:
    """Tell the user something that is not the answer."""
    print(safe(text), file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Print a line of the answer."""
    print(safe(text), flush=True)


def flush() -> None:
    """Let a pipe's reader see the lines now."""
    sys.stdout.flush()


def as_json(value: Any) -> int:
    """Print the answer as JSON; exit code 0."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False), flush=True)
    return 0


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "none") -> int:
    """Print rows below column names, or say on stderr that there are none; exit code 0."""
    cells = [[safe("" if cell is None else cell) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return 0
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    bold = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    head = "  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip()
    print(f"{bold[0]}{head}{bold[1]}")
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()
    return 0


def pairs(values: Iterable[tuple[str, object]]) -> int:
    """Print names and values below each other, leaving out what is empty; exit code 0."""
    shown = [(name, value) for name, value in values if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        answer(f"{name.ljust(width)}  {value}")
    return 0


def error_dict(error: LeewardError) -> dict[str, Any]:
    """`{code, message, hint, problems?}`."""
    value: dict[str, Any] = dict(error.as_dict())
    if isinstance(error, Invalid) and any(problem.path for problem in error.problems):
        value["problems"] = [
            {"path": problem.path, "message": problem.message, "hint": problem.hint} for problem in error.problems
        ]
    return value


def failed(error: LeewardError, json_wanted: bool) -> int:
    """Print a failure, every problem with its hint; the exit code of the error."""
    if json_wanted:
        as_json({"error": error_dict(error)})
    elif isinstance(error, Invalid):
        said = ""
        for problem in error.problems:
            say(f"Error: {problem}")
            if problem.hint:
                say(f"  hint: {(said := problem.hint)}")
        if error.hint and error.hint not in {problem.hint for problem in error.problems} | {said}:
            say(f"  hint: {error.hint}")
    else:
        say(f"Error: {error.message}")
        if error.hint:
            say(f"  hint: {error.hint}")
    return error.exit_code


def counted(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def seconds(value: object) -> str:
    """`0.31 s`, `12.4 s`, `3 min 5 s`."""
    spent = float(value) if isinstance(value, int | float) else 0.0
    if spent >= 60:
        return f"{int(spent) // 60} min {int(spent) % 60} s"
    return f"{spent:.2f} s" if spent < 10 else f"{spent:.1f} s"


def version(value: object) -> str:
    """A release number as people write it: `v3`."""
    text = str(value if value is not None else "")
    return f"v{text}" if text.isdigit() else text


def short(instance: object) -> str:
    """The end of an instance's name: what tells it from its siblings."""
    return str(instance or "").rpartition("-")[2]


def moment(value: object) -> str:
    """A time of the API in this machine's zone, to the second."""
    from datetime import UTC, datetime

    if value is None or value == "":
        return ""
    if isinstance(value, int | float):
        at = datetime.fromtimestamp(value, UTC)
    else:
        try:
            at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            return str(value)
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
