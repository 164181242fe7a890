"""Turn the text of a start command into the arguments of a process. Pure."""

import re
import shlex

# Words that only a shell knows: `exec cd` would fail.
_SHELL_WORDS = frozenset(
    (
        ".",
        ":",
        "!",
        "[",
        "alias",
        "break",
        "case",
        "cd",
        "command",
        "continue",
        "eval",
        "exec",
        "exit",
        "export",
        "for",
        "if",
        "read",
        "readonly",
        "return",
        "set",
        "shift",
        "source",
        "test",
        "trap",
        "true",
        "false",
        "type",
        "ulimit",
        "umask",
        "unset",
        "until",
        "wait",
        "while",
        "{",
        "}",
    )
)
# Anything that a shell would read as more than text.
_SHELL_SIGNS = re.compile(r"[$`|&;<>()*?\[\]{}~#\n!]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def arguments(command: str | None) -> list[str] | None:
    """The exec form, or `/bin/sh -c` where a shell is needed; None is the image's own command.

    A single command replaces the shell (`exec`), so that SIGTERM reaches it.
    """
    if command is None or not command.strip():
        return None
    command = command.strip()
    words = _words(command)
    plain = words is not None and not _SHELL_SIGNS.search(command) and not _ASSIGNMENT.match(command)
    if words and plain and words[0] not in _SHELL_WORDS:
        return words
    return ["/bin/sh", "-c", f"exec {command}" if _is_single(command, words) else command]


def _words(command: str) -> list[str] | None:
    try:
        return shlex.split(command)
    except ValueError:
        return None


def _is_single(command: str, words: list[str] | None) -> bool:
    """Whether it is one command without a list, pipe, group or assignment before it."""
    if not words or words[0] in _SHELL_WORDS or _ASSIGNMENT.match(command):
        return False
    quote = ""
    escaped = False
    for before, sign in zip(" " + command, command, strict=False):
        if escaped:
            escaped = False
        elif sign == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "|;()\n" or (sign == "&" and before not in "<>"):
            # `$(…)` counts too: to leave out `exec` costs a process, to add it wrongly costs the app.
            return False
    return True
