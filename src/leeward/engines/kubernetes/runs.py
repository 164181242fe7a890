"""Run single commands: in an instance that is there, or in a job of their own."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.deeds import Deeds
from leeward.engines.kubernetes.jobs import once
from leeward.engines.kubernetes.kinds import JOB, POD, SECRET
from leeward.engines.kubernetes.names import ONCE, namespace, stamped, stem
from leeward.engines.kubernetes.observe import instance as shown_of
from leeward.engines.kubernetes.pods import Pod
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.sight import Sight
from leeward.errors import Conflict, LeewardError, NotFound, RolloutFailed
from leeward.model.runtime import Workload
from leeward.ports.world import Say

EXEC_S = 60.0
_OUTPUT_BYTES = 1024 * 1024
# As the command `timeout` says it.
TIMED_OUT = 124


class Runs:
    """Commands beside the instances' own."""

    def __init__(self, cluster: Cluster, rules: Rules, sight: Sight, deeds: Deeds) -> None:
        self._cluster = cluster
        self._rules = rules
        self._sight = sight
        self._deeds = deeds
        self._own: set[str] = set()

    async def exec(self, instance: str, command: Sequence[str], seconds: float = EXEC_S) -> tuple[int, bytes]:
        """Exit code and output, within bounds of size and time."""
        pod = self._sight.named(instance)
        if pod is None:
            raise NotFound(f"there is no instance '{instance}'", hint="see `lee ps`")
        if not pod.running:
            raise Conflict(f"instance '{instance}' does not run now", hint="see `lee ps` for one that does")
        output = bytearray()
        try:
            async with asyncio.timeout(seconds):
                code = await self._cluster.exec(
                    pod.namespace, pod.name, pod.process, list(command), output, _OUTPUT_BYTES
                )
        except TimeoutError:
            return TIMED_OUT, bytes(output) + f"\nstopped after {seconds:g} s\n".encode()
        return code, bytes(output)

    async def once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """Run a command in a job to its end; its exit code, 124 when time was up. Raises RolloutFailed."""
        name = f"{stem(want.app, want.process)}-once-{secrets.token_hex(3)}"
        self._own.add(name)
        try:
            await self._deeds.have_project(want.project)
            for made in once(want, self._rules, command, name, timeout_s):
                await self._deeds.have(stamped(made))
            async with asyncio.timeout(timeout_s):
                return await self._finish(want, name, say)
        except TimeoutError:
            say(f"stopped after {timeout_s:g} s")
            return TIMED_OUT
        finally:
            self._own.discard(name)
            for kind, which in ((JOB, name), (SECRET, f"{name}-env")):
                with contextlib.suppress(LeewardError):
                    await self._deeds.delete(kind, (namespace(want.project), which))

    async def _finish(self, want: Workload, name: str, say: Say) -> int:
        pod = await self._until(want, name, lambda pod: pod.running or pod.ended is not None)
        params = {"container": want.process, "follow": "true"}
        async with self._cluster.lines(POD.path(pod.namespace, pod.name, "log"), "log", params, accept="*/*") as lines:
            async for line in lines:
                say(line)
        pod = await self._until(want, name, lambda pod: pod.ended is not None)
        assert pod.ended is not None
        if pod.ended.reason == "OOMKilled":
            say(f"was killed for using more than {want.memory_mib} MiB of memory")
        return pod.ended.code

    async def _until(self, want: Workload, name: str, good: Callable[[Pod], bool]) -> Pod:
        told = ""
        while True:
            moved = self._sight.moved(want.app)
            pod = self._sight.starting_with(want.app, f"{name}-")
            if pod is not None and good(pod):
                return pod
            if pod is not None:
                shown = shown_of(pod, 0.0, largest=self._sight.largest())
                if shown.state.value == "crashed" and not pod.ended:
                    raise RolloutFailed(f"'{name}' could not run: {shown.reason}", hint=shown.hint)
                if shown.reason and shown.reason != told:
                    told = shown.reason
            await moved.wait()

    async def sweep(self) -> None:
        """Take away the jobs of a control plane that is no more, and the variables that jobs left."""
        jobs = self._sight.jobs.items
        for key in [key for key, one in jobs.items() if one.role == ONCE and key[1] not in self._own]:
            await self._deeds.delete(JOB, key)
        for key in list(self._sight.objects[SECRET.kind].items):
            job = key[1].removesuffix("-env")
            if f"-{ONCE}-" in job and job not in self._own:
                await self._deeds.delete(SECRET, key)
