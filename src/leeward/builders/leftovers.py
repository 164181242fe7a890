"""Ends what a control plane that died left of its builds."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

PREFIX = "build-"


def sweep(run_dir: Path, living: Iterable[Path], proc: Path = Path("/proc"), prefix: str = PREFIX) -> None:
    """End the clients of builds that nobody waits for, and remove their folders with the secrets in them."""
    known = frozenset(living)
    stale = [path for path in run_dir.glob(f"{prefix}*") if path.is_dir() and path not in known]
    if not stale:
        return
    marks = [f"--file={path / 'Dockerfile'}".encode() for path in stale]
    marks += [f"--local=dockerfile={path}".encode() for path in stale]
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if any(mark in arguments for mark in marks):
                    os.kill(int(entry.name), signal.SIGTERM)
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
