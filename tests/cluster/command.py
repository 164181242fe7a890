"""Run a command to its end."""

import os
import subprocess
from collections.abc import Mapping


class Missing(Exception):
    """What this machine lacks for a cluster, in one sentence."""


def asked_for(what: str) -> None:
    """Whether what is not in the cache may be fetched or built. Raises Missing: `make test` has no minutes for it."""
    if os.environ.get("LEEWARD_CLUSTER") != "must":
        raise Missing(f"{what} is not in the cache: `make cluster-test` has it there")


def run(
    *argv: str, check: bool = True, text: str = "", timeout_s: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Its output; a failure carries what it said."""
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **(env or {})}
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"'{' '.join(argv)}' took longer than {timeout_s:.0f} s") from error
    if check and done.returncode:
        raise RuntimeError(f"'{' '.join(argv)}' ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done
