"""Run a command to its end."""

import subprocess
from collections.abc import Sequence


class Missing(Exception):
    """What this machine lacks for a cluster, in one sentence."""


def run(*argv: str, check: bool = True, text: str = "", timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Its output; a failure carries what it said."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout_s)
    if check and done.returncode:
        raise RuntimeError(f"'{' '.join(argv)}' ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def each(commands: Sequence[tuple[str, ...]], *, check: bool = True) -> None:
    for argv in commands:
        run(*argv, check=check)
