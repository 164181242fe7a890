"""The container engine of this machine, as measurements need it."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks import say
from leeward.settings import Settings

LONGEST_S = 600.0


async def docker(*arguments: str, may_fail: bool = False) -> str:
    """What the docker client prints."""
    process = await asyncio.create_subprocess_exec(
        str(Settings().docker_command),
        *arguments,
        env={"DOCKER_BUILDKIT": "1", "PATH": "/usr/bin:/bin", "HOME": "/root"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode and not may_fail:
        raise SystemExit(f"docker {arguments[0]}: {err.decode()[-2000:]}")
    return out.decode().strip()


async def address(container: str) -> str:
    """The container's address on the engine's own network."""
    return await docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container)


async def remove_cache(marks: Sequence[str]) -> None:
    """Remove the parts of the build cache whose step has one of `marks` in it, and what was built on these.

    An engine that has ended meanwhile keeps its cache: nobody could be asked.
    """
    transport = httpx.AsyncHTTPTransport(uds=str(Settings().docker_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://docker", timeout=LONGEST_S) as client:
        try:
            parts = (await client.get("/system/df")).json()["BuildCache"] or []
        except httpx.ConnectError as error:
            say(f"the build cache stays as it is: {error}")
            return
        if ids := descendants(parts, marks):
            pattern = f"^({'|'.join(map(re.escape, sorted(ids)))})$"
            answer = await client.post("/build/prune", params={"all": "1", "filters": json.dumps({"id": [pattern]})})
            answer.raise_for_status()


def descendants(parts: list[dict[str, Any]], marks: Sequence[str]) -> set[str]:
    """The ids of the parts with a mark in their description, and of all that have one of these as an ancestor."""
    found = {part["ID"] for part in parts if any(mark in part["Description"] for mark in marks)}
    while more := {part["ID"] for part in parts if part.get("Parent") in found} - found:
        found |= more
    return found


def bundle() -> Path:
    """The certificates that builds on this machine trust."""
    return Settings().build_ca or Path("/etc/ssl/certs/ca-certificates.crt")
