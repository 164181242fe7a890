"""Say in one sentence why a process ended, and what to do. Pure."""

from collections.abc import Sequence

_AT_ONCE_S = 5.0
_SIGNALS = {134: "SIGABRT", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}


def why(
    app: str, process: str, memory_mib: int, *, code: int, oom: bool, ran_s: float, lines: Sequence[str]
) -> tuple[str, str]:
    """Reason and hint for the end of a process that ran `ran_s` seconds and printed `lines` last."""
    lines = [line.strip() for line in lines if line.strip()]
    last = f": '{_short(lines[-1])}'" if lines else ""
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


def _short(line: str) -> str:
    return line if len(line) <= 160 else f"{line[:159]}…"
