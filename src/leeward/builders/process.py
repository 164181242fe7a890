"""Runs one command to its end, line by line, and leaves nothing behind when it is cancelled."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from leeward.builders.masking import Masker

# A bootstrap takes its mounts away when it is asked to end.
_GRACE_S = 10.0
_CHUNK = 65536
# A longer line is cut into pieces of this size, so that a build cannot fill our memory.
_LONGEST = 16384

OnLine = Callable[[str], None]


async def run(
    argv: Sequence[str],
    on_line: OnLine,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    masker: Masker | None = None,
) -> int:
    """Run it with both outputs as one stream of lines; the exit code. Cancelling ends its whole process group."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(env) if env is not None else None,
        cwd=cwd,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        await _read(process.stdout, on_line, masker or Masker(()))
        return await process.wait()
    finally:
        if process.returncode is None:
            await asyncio.shield(_end(process))


async def output(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a short command: exit code and both outputs."""
    lines: list[str] = []
    code = await run(argv, lines.append, env=env)
    return code, "\n".join(lines)


async def _read(stream: asyncio.StreamReader, on_line: OnLine, masker: Masker) -> None:
    rest = b""
    while chunk := await stream.read(_CHUNK):
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            for line in masker.mask(whole).split(b"\n"):
                on_line(_text(line))
        if len(rest) > _LONGEST + masker.longest:
            rest = masker.mask(rest)
        while len(rest) > _LONGEST + masker.longest:
            on_line(_text(rest[:_LONGEST]))
            rest = rest[_LONGEST:]
    if rest:
        on_line(_text(masker.mask(rest)))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)
            return
