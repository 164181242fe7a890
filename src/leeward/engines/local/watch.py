"""Watch each running instance: events, health, names in the project, logs."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from leeward.engines.local import verdict as verdicts
from leeward.engines.local.container import GRACE_S, HOME, INSTANCE, RUN, Container
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.follow import Follower
from leeward.engines.local.listeners import Listener, listeners, nobody_answers
from leeward.engines.local.network import aliases, another, names_name
from leeward.engines.local.probe import ask
from leeward.engines.local.sight import Sight
from leeward.engines.local.verdict import Outcome, Verdict
from leeward.engines.loop import Tasks
from leeward.errors import Conflict, LeewardError, NotFound, Unavailable
from leeward.model.app import Health
from leeward.model.runtime import InstanceState

_log = logging.getLogger("leeward.engine")

# The kernel's word on an out-of-memory kill may come after the exit that it caused.
_OOM_LATE_S = 3.0
_SIGKILL = 137


@dataclass(frozen=True, slots=True)
class _Exit:
    """The last end of a container's process."""

    at: float
    code: int
    ran_s: float
    lines: list[str]


class Watch:
    """Keeps one task for the health and one for the log of each running instance."""

    def __init__(
        self,
        dockerd: Dockerd,
        home: str,
        sight: Sight,
        follower: Follower,
        tasks: Tasks,
        now: Callable[[], float],
        domain: str,
    ) -> None:
        self._dockerd = dockerd
        self._home = home
        self._sight = sight
        self._follower = follower
        self._tasks = tasks
        self._now = now
        self._domain = domain
        self._ooms: dict[str, float] = {}
        self._exits: dict[str, _Exit] = {}
        self._connected = False
        self.on = False
        """Whether the daemon runs us; otherwise nothing is followed."""

    def settle(self, container: Container) -> None:
        """Bring the tasks in line with what is seen."""
        current = self._sight.containers.get(container.id)
        if current is None:
            self._tasks.cancel("health", container.id)
            self._follower.forget(container)
            self._ooms.pop(container.id, None)
            self._exits.pop(container.id, None)
            return
        if self.on and current.role == RUN and current.running:
            self._tasks.start("log", current.id, lambda: self._follow(current), lambda: self._again(current.id))
        if not self.on or current.role != INSTANCE:
            return
        if current.name in self._sight.stopping or not current.running:
            self._tasks.cancel("health", current.id)
        else:
            self._tasks.start("health", current.id, lambda: self._check(current.id))
            self._tasks.start("log", current.id, lambda: self._follow(current), lambda: self._again(current.id))
        if self._misnamed(current):
            self._tasks.start("name", current.id, lambda: self._name(current.id))

    async def _follow(self, container: Container) -> None:
        try:
            await self._follower.follow(container)
        except Unavailable as error:
            # Docker is away; the events say when it is back.
            _log.debug("log of %s: %s", container.name, error.message)

    def _again(self, id: str) -> None:
        container = self._sight.containers.get(id)
        if container is not None and self._connected:
            # Not at once: a log that ends while the container still runs must not become a busy loop.
            asyncio.get_running_loop().call_later(0.2, self.settle, container)

    # --- events -------------------------------------------------------------------------------------------

    async def events(self) -> None:
        """Follow Docker's events until it breaks off. Raises Unavailable."""
        filters = json.dumps({"type": ["container"], "label": [f"{HOME}={self._home}"]})
        try:
            async with self._dockerd.open("GET", "events", filters=filters) as response:
                self._connected = True
                # What happened before we listened.
                await self._sight.refresh()
                await self._listen(response)
        except aiohttp.ClientError as error:
            raise Unavailable(f"docker broke off its events ({type(error).__name__})") from error
        finally:
            self._connected = False
        raise Unavailable("docker ended its events")

    async def _listen(self, response: aiohttp.ClientResponse) -> None:
        rest = b""
        async for part in response.content.iter_any():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.strip():
                    await self._happened(json.loads(line))

    async def _happened(self, event: dict[str, Any]) -> None:
        id = event.get("id") or event["Actor"]["ID"]
        match str(event.get("Action", "")).split(":")[0]:
            case "die":
                await self._died(id, int(event["Actor"]["Attributes"].get("exitCode", 0)), event["timeNano"] / 1e9)
            case "oom":
                self._ooms[id] = event["timeNano"] / 1e9
                self._blame_memory(id)
            case "start" | "destroy" | "update" | "restart" | "pause" | "unpause":
                await self._sight.look(id)

    async def _died(self, id: str, code: int, at: float) -> None:
        before = self._sight.containers.get(id)
        container = await self._sight.look(id)
        if container is not None and container.role == RUN:
            self._sight.changed(container.app)
        if container is None or container.role != INSTANCE:
            return
        if container.name in self._sight.stopping or container.name in self._sight.restarting:
            return
        # By now it may run again. What Docker says of the start is later than what was printed first.
        since = self._exits[id].at if id in self._exits else container.created_at
        lines = await self._last_lines(container, since)
        started = before.started_at if before is not None and since - 1 < before.started_at < at else since
        self._exits[id] = _Exit(at, code, at - started, lines)
        oom = container.oom_killed or (code == _SIGKILL and abs(at - self._ooms.get(id, 0.0)) < _OOM_LATE_S)
        self._judge_exit(container, oom)

    async def _last_lines(self, container: Container, since: float) -> list[str]:
        try:
            return await self._follower.tail(container, since)
        except LeewardError:
            return []

    def out_of_memory(self, container: Container) -> bool:
        """Whether its last end was the kernel's, for the memory that it used."""
        late = abs(container.finished_at - self._ooms.get(container.id, 0.0)) < _OOM_LATE_S
        return container.exit_code == _SIGKILL and (container.oom_killed or late)

    def _blame_memory(self, id: str) -> None:
        """The kernel's word came after the exit."""
        container, known = self._sight.containers.get(id), self._exits.get(id)
        if container is None or known is None or known.code != _SIGKILL:
            return
        if abs(self._ooms[id] - known.at) < _OOM_LATE_S:
            self._judge_exit(container, True)

    def _judge_exit(self, container: Container, oom: bool) -> None:
        known = self._exits[container.id]
        self._sight.judge(
            container.id,
            verdicts.exited(container, code=known.code, oom=oom, ran_s=known.ran_s, lines=known.lines),
        )

    # --- health -------------------------------------------------------------------------------------------

    async def _check(self, id: str) -> None:
        """Check one container until it no longer runs."""
        while (container := self._sight.containers.get(id)) is not None and container.running:
            age_s = self._now() - container.started_at
            verdict = self._sight.verdicts.get(id, Verdict())
            if container.health is None:
                if verdict.state is InstanceState.READY:
                    return
                self._sight.judge(id, verdicts.lives(verdict, age_s))
                await asyncio.sleep(0.1 if age_s >= verdicts.WORKER_READY_S else verdicts.WORKER_READY_S - age_s)
                continue
            outcome = await self._ask(container, container.health)
            verdict = verdicts.checked(self._sight.verdicts.get(id, Verdict()), outcome, container.health, age_s)
            self._sight.judge(id, verdict)
            if verdicts.must_restart(verdict, container.health):
                self._tasks.start("restart", id, lambda: self._restart(id))
                return
            await asyncio.sleep(verdicts.next_check_s(verdict, outcome, container.health, age_s))

    async def _ask(self, container: Container, health: Health) -> Outcome:
        outcome = await ask(container.host, container.port, health, f"{container.app}.{self._domain}")
        if not outcome.silent:
            return outcome
        found: list[Listener] = []
        for table in ("tcp", "tcp6"):
            try:
                found.extend(listeners(Path(f"/proc/{container.pid}/net/{table}").read_text()))
            except OSError:
                continue
        reason, hint = nobody_answers(container.port, tuple(found))
        return Outcome(False, reason, hint, silent=True)

    async def _restart(self, id: str) -> None:
        """Start an unhealthy instance anew, with the usual grace."""
        container = self._sight.containers.get(id)
        if container is None or container.name in self._sight.stopping:
            return
        verdict = self._sight.verdicts.get(id, Verdict())
        self._sight.restarting.add(container.name)
        try:
            _log.info("%s stays unhealthy (%s): starting it anew", container.name, verdict.reason)
            self._sight.judge(id, verdicts.restarted(verdict))
            await self._dockerd.ask("POST", f"containers/{id}/restart", wait_s=GRACE_S + 60, t=str(GRACE_S))
        finally:
            self._sight.restarting.discard(container.name)
            await self._sight.look(id)

    # --- names --------------------------------------------------------------------------------------------

    def _misnamed(self, container: Container) -> bool:
        ready = self._sight.shown(container).state is InstanceState.READY
        return ready != container.named and (ready or container.name not in self._sight.stopping)

    async def _name(self, id: str) -> None:
        """Give a ready instance its names in the project, or take them from one that is not."""
        avoid: dict[str, str] = {}
        for _ in range(4):
            container = self._sight.containers.get(id)
            if container is None:
                return
            network = names_name(self._home, container.project)
            if not self._misnamed(container):
                others = [c.named_host for c in self._sight.containers.values() if c.id != id and c.named_host]
                if container.named_host not in others or network in avoid:
                    return
                # As in `Deeds.start`: dockerd gave an address out twice.
                avoid[network] = another(container.named_host, [*others, container.named_host])
                with contextlib.suppress(NotFound, Conflict):
                    await self._dockerd.ask("POST", f"networks/{network}/disconnect", {"Container": id, "Force": True})
                await self._sight.look(id)
                continue
            body: dict[str, Any] = {"Container": id}
            action = "disconnect" if container.named else "connect"
            if action == "connect":
                body["EndpointConfig"] = {"Aliases": aliases(container.app, container.process)}
                if clash := avoid.get(network):
                    body["EndpointConfig"]["IPAMConfig"] = {"IPv4Address": clash}
            else:
                body["Force"] = True
            with contextlib.suppress(NotFound, Conflict):
                await self._dockerd.ask("POST", f"networks/{network}/{action}", body)
            await self._sight.look(id)
