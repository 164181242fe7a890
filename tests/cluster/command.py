"""Run a command to its end."""

import os
import subprocess
from collections.abc import Mapping


class Missing(Exception):
    """What this machine lacks for a cluster, in one sentence."""


def run(
    *argv: str, check: bool = True, text: str = "", timeout_s: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Its output; a failure carries what it said."""
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **(env or {})}
    )
    if check and done.returncode:
        raise RuntimeError(f"'{' '.join(argv)}' ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done
