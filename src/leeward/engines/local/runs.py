"""Run single commands: in an instance that is there, or in one made for it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

from leeward.engines.local.container import ONCE
from leeward.engines.local.deeds import Deeds
from leeward.engines.local.dockerd import Dockerd, frames
from leeward.engines.local.sight import Sight
from leeward.errors import Conflict, LeewardError, NotFound
from leeward.model.runtime import Workload
from leeward.ports.world import Say

EXEC_S = 60.0
_OUTPUT_BYTES = 1024 * 1024
# As the command `timeout` says it.
TIMED_OUT = 124


class Runs:
    """Commands beside the instances' own."""

    def __init__(self, dockerd: Dockerd, sight: Sight, deeds: Deeds) -> None:
        self._dockerd = dockerd
        self._sight = sight
        self._deeds = deeds
        self.own: set[str] = set()
        """Names of the one-time containers of this control plane."""

    async def exec(self, instance: str, command: Sequence[str], seconds: float = EXEC_S) -> tuple[int, bytes]:
        """Exit code and output, within bounds of size and time."""
        container = self._sight.named(instance)
        if container is None:
            raise NotFound(f"there is no instance '{instance}'", hint="see `lee ps`")
        if not container.running:
            raise Conflict(f"instance '{instance}' does not run now", hint="see `lee ps` for one that does")
        made = await self._dockerd.ask(
            "POST",
            f"containers/{container.id}/exec",
            {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "Tty": False},
        )
        output = bytearray()
        try:
            async with asyncio.timeout(seconds):
                await self._collect(f"exec/{made['Id']}/start", output)
        except TimeoutError:
            await self._kill(made["Id"])
            return TIMED_OUT, bytes(output) + f"\nstopped after {seconds:g} s\n".encode()
        shown = await self._dockerd.ask("GET", f"exec/{made['Id']}/json")
        return int(shown.get("ExitCode") or 0), bytes(output)

    async def _collect(self, path: str, output: bytearray) -> None:
        async with self._dockerd.open("POST", path, {"Detach": False, "Tty": False}) as response:
            async for _, data in frames(response):
                # What is over the bound is read and dropped, so that the command can end.
                output.extend(data[: max(0, _OUTPUT_BYTES - len(output))])

    async def _kill(self, exec_id: str) -> None:
        with contextlib.suppress(LeewardError, OSError):
            shown = await self._dockerd.ask("GET", f"exec/{exec_id}/json")
            if shown.get("Running") and int(shown.get("Pid") or 0) > 1:
                os.kill(int(shown["Pid"]), signal.SIGKILL)

    async def once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """Run a command in a fresh container to its end; its exit code, 124 when time was up."""
        id, name = await self._deeds.make(replace(want, command=command), want.millicpu, ONCE)
        self.own.add(name)
        try:
            await self._dockerd.ask("POST", f"containers/{id}/start")
            self._sight.starting.discard(name)
            async with asyncio.timeout(timeout_s):
                await self._say(id, say)
                ended = await self._dockerd.ask("POST", f"containers/{id}/wait", wait_s=timeout_s)
            shown = await self._dockerd.ask("GET", f"containers/{id}/json")
            if shown["State"].get("OOMKilled"):
                say(f"was killed for using more than {want.memory_mib} MiB of memory")
            return int(ended["StatusCode"])
        except TimeoutError:
            say(f"stopped after {timeout_s:g} s")
            return TIMED_OUT
        finally:
            self._sight.starting.discard(name)
            self.own.discard(name)
            with contextlib.suppress(LeewardError):
                await self._dockerd.ask("DELETE", f"containers/{id}", force="1", v="1")
            with contextlib.suppress(LeewardError):
                await self._sight.look(id)

    async def _say(self, id: str, say: Say) -> None:
        rest: dict[str, bytes] = {}
        path = f"containers/{id}/logs"
        async with self._dockerd.open("GET", path, follow="1", stdout="1", stderr="1") as response:
            async for stream, data in frames(response):
                *lines, rest[stream] = (rest.get(stream, b"") + data).split(b"\n")
                for line in lines:
                    say(line.decode("utf-8", "replace").rstrip("\r"))
        for line in rest.values():
            if line:
                say(line.decode("utf-8", "replace"))
