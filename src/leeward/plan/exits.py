"""Say in one sentence why a process ended, and what to do. Pure."""

import re
from collections.abc import Sequence

_AT_ONCE_S = 5.0
_SIGNALS = {134: "SIGABRT", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}

# From the strongest: how runtimes begin the line that names what ended them, then words of loggers.
_TELLING = (
    re.compile(
        r"(?:[A-Za-z_][\w.$]*(?:Error|Exception|Interrupt|Exit)|panic|Caused by|Exception in thread .*|"
        r"\(?[A-Z]\w*Error\)?|(?:PHP )?(?:Fatal|Parse) error)\b:?(?: |$)"
    ),
    re.compile(r"\W*(?:\S+ )?\W*(?:error|fatal|critical)\b", re.I),
)
# What stands after or between those lines and names nothing: requests, frames of a stack, farewells of a runtime.
_SAYS_NOTHING = re.compile(
    r"""at\s .*\)?$ | from\s.*:\d+:in\s | File\s".*",\sline\s\d+ | goroutine\s\d+ | exit\sstatus\s\d+ | Node\.js\sv\d
      | \^+$ | [~^]+$ | \.\.\.\s\d+\smore | note:\srun\swith | thrown\sin\s
      | npm\s(?:ERR!|error)\s.*(?:complete\slog|_logs)
      | .*"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)\s\S+\sHTTP/\d(?:\.\d)?"\s?\d*""",
    re.X,
)


def why(
    app: str, process: str, memory_mib: int, *, code: int, oom: bool, ran_s: float, lines: Sequence[str]
) -> tuple[str, str]:
    """Reason and hint for the end of a process that ran `ran_s` seconds and printed `lines` last."""
    lines = [line.strip() for line in lines if line.strip()]
    told = _telling(lines)
    last = f": '{_short(told)}'" if told else ""
    logs = f"see `lee logs {app}`"
    shown = f"it printed last: {' / '.join(_short(line) for line in lines[-3:])}; {logs}" if lines else logs
    if oom:
        return (
            f"was killed for using more than {memory_mib} MiB of memory",
            f"choose a larger size for '{process}', or use less memory",
        )
    if code == 127:
        return f"its command was not found{last}", f"check the command of '{process}'; {logs}"
    if code == 126:
        return f"its command could not be executed{last}", "check that the file is executable and made for this machine"
    # No seconds in the sentence: the same failure must read the same each time.
    verb = "exits at once" if ran_s < _AT_ONCE_S else "exited"
    if code == 0:
        return f"{verb} with code 0{last}", f"a process must go on running; {shown}"
    if code > 128:
        return f"was ended by {_SIGNALS.get(code, f'signal {code - 128}')} (code {code}){last}", shown
    return f"{verb} with code {code}{last}", shown


def _telling(lines: Sequence[str]) -> str:
    """The line that most likely says why: the last of the strongest kind that there is; '' when none says anything."""
    lines = [line for line in lines if not _SAYS_NOTHING.match(line)]
    for kind in _TELLING:
        if found := [line for line in lines if kind.match(line)]:
            return found[-1]
    return lines[-1] if lines else ""


def _short(line: str) -> str:
    return line if len(line) <= 160 else f"{line[:159]}…"
