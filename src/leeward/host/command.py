"""Run one command of the machine and give back what it said."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leeward.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line that says something."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("E:", "error", "Error"))]
        return (errors or lines or [f"exit code {self.code}"])[-1]


async def run(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, clean: bool = False, timeout_s: float = 60.0
) -> Outcome:
    """Run to the end, within a time; `clean` leaves out our own environment.

    Raises Unavailable when the program is absent or too slow.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**({} if clean else os.environ), "LC_ALL": "C.UTF-8", **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"'{argv[0]}' cannot be run: {error.strerror}", hint="run: lee doctor") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError as error:
        raise Unavailable(f"'{' '.join(argv[:3])}' did not end in {timeout_s:.0f} seconds", hint="try again") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Outcome(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
