"""Runs a command that makes a base image, and turns its failure into ours."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from leeward.builders.debian import EPOCH
from leeward.builders.process import run
from leeward.errors import BuildFailed, Unavailable

# How the docker client says that dockerd is not there, or left in the middle.
ENGINE_GONE = re.compile(
    r"server did not provide an image ID|code = Unavailable|Cannot connect to the Docker daemon|error during connect"
    r"|transport is closing|unexpected EOF"
)


async def must(
    argv: Sequence[str], message: str, *, hint: str = "", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run it; everything that it dates gets the same time. Raises BuildFailed with its last words."""
    lines: list[str] = []
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8", **(env or {})}
    try:
        code = await run(argv, lines.append, env=variables, cwd=cwd)
    except FileNotFoundError as error:
        raise BuildFailed(f"{message}: '{argv[0]}' is not installed", hint="run `lee doctor`") from error
    if code and ENGINE_GONE.search("\n".join(lines[-20:])):
        raise Unavailable(f"{message}: dockerd went away", hint="it is tried again; see `lee doctor`")
    if code:
        raise BuildFailed(f"{message}: {last_words(lines)}", hint=hint or "run `lee doctor`")


def last_words(lines: Sequence[str]) -> str:
    """The last line that tells of an error, else the last line."""
    telling = [line.strip() for line in lines if line.strip()]
    errors = [line for line in telling if line.lower().startswith(("e:", "error", "npm error"))]
    return (errors or telling or ["no output"])[-1][:300]
