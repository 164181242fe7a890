"""Carry out steps: start, stop and change containers, make and remove networks."""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from leeward.engines.local import firewall
from leeward.engines.local.container import GRACE_S, HOME, INSTANCE, Container, name_of, render
from leeward.engines.local.dockerd import REFUSED, Dockerd
from leeward.engines.local.follow import Follower
from leeward.engines.local.network import (
    PROJECT,
    another,
    free_subnet,
    names_name,
    network_body,
    network_name,
    routes_of,
    subnets_of,
)
from leeward.engines.local.sight import Sight
from leeward.engines.local.volumes import Volumes, made_or_gone
from leeward.engines.loop import Tasks
from leeward.errors import Conflict, LeewardError, NotFound, RolloutFailed, Unavailable
from leeward.model.runtime import Workload

_log = logging.getLogger("leeward.engine")

_SIGKILL = 137
_LOG_END_S = 2.0


@dataclass(frozen=True, slots=True)
class Host:
    """What Docker says of the machine."""

    cores: float
    parent: str
    """The control group below which instances run; '' where systemd decides."""


class Deeds:
    """The only place that changes anything in Docker. Touches nothing without our home's label."""

    def __init__(
        self,
        dockerd: Dockerd,
        home: str,
        pool: str,
        sight: Sight,
        follower: Follower,
        tasks: Tasks,
        volumes: Volumes,
    ) -> None:
        self._dockerd = dockerd
        self._home = home
        self._pool = pool
        self._sight = sight
        self._follower = follower
        self._tasks = tasks
        self._volumes = volumes
        self._host: Host | None = None
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._subnets = asyncio.Lock()

    async def host(self) -> Host:
        """The machine, asked for once."""
        if self._host is None:
            info = await self._dockerd.ask("GET", "info")
            # With its own parent, apps and builds (which run below /docker) can be weighed against each other.
            self._host = Host(float(info["NCPU"]), "/leeward" if info.get("CgroupDriver") == "cgroupfs" else "")
        return self._host

    # --- start and stop -----------------------------------------------------------------------------------

    async def make(
        self,
        want: Workload,
        millicpu: int,
        role: str = INSTANCE,
        address: str = "",
        *,
        suffix: str = "",
        retries: int = 0,
    ) -> tuple[str, str]:
        """Create a container in its project's network: its id and name. Raises RolloutFailed, Unavailable.

        With a `suffix` of the caller's it raises Conflict where that container is there already.
        """
        host = await self.host()
        suffix = suffix or secrets.token_hex(3)
        name = name_of(want, suffix, role)
        body = render(
            want,
            home=self._home,
            network=network_name(self._home, want.project),
            suffix=suffix,
            millicpu=min(millicpu, int(host.cores * 1000)),
            parent=host.parent,
            role=role,
            retries=retries,
        )
        if address:
            network = network_name(self._home, want.project)
            body["NetworkingConfig"] = {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}}
        self._sight.starting.add(name)
        id = ""
        try:
            # Once the container is there, its networks are not swept away.
            async with self._locks[want.project]:
                await self._ensure_networks(want.project)
                await self._volumes.ensure(want)
                made = await self._dockerd.ask("POST", "containers/create", body, name=name)
                await made_or_gone(self._volumes, self._dockerd, made["Id"], want)
            id = str(made["Id"])
        except NotFound as error:
            raise RolloutFailed(
                f"image '{want.image}' is not on this machine", hint="deploy again; the registry may have lost it"
            ) from error
        finally:
            if not id:
                self._sight.starting.discard(name)
        return id, name

    async def start(self, want: Workload, millicpu: int, address: str = "") -> None:
        """Start one instance. Raises RolloutFailed, Unavailable."""
        id, name = await self.make(want, millicpu, address=address)
        self._sight.fresh.add(name)
        try:
            await self._dockerd.ask("POST", f"containers/{id}/start")
        except LeewardError as error:
            with contextlib.suppress(LeewardError):
                await self._dockerd.ask("DELETE", f"containers/{id}", force="1", v="1")
            if error.code == Unavailable.code:
                raise
            raise RolloutFailed(
                f"an instance of '{want.app}' could not be started: {error.message}",
                hint=error.hint or "check the image and its command",
            ) from error
        finally:
            self._sight.starting.discard(name)
            await self._sight.look(id)
        if (free := self._other_address(id)) and not address:
            # dockerd forgets addresses when it is killed, and gives them out a second time: requests for one app
            # would reach another's.
            await self._dockerd.ask("DELETE", f"containers/{id}", force="1", v="1")
            await self._sight.look(id)
            await self.start(want, millicpu, free)

    def _other_address(self, id: str) -> str:
        """A free address, where another container has the one that this one was given; else ''."""
        mine = self._sight.containers.get(id)
        if mine is None or not mine.host:
            return ""
        others = [other.host for other in self._sight.containers.values() if other.id != id and other.host]
        return another(mine.host, [*others, mine.host]) if mine.host in others else ""

    def stop(self, container: Container) -> None:
        """Begin to end a container: SIGTERM, grace, SIGKILL, remove. Does not wait."""
        if container.name in self._sight.stopping:
            return
        self._sight.stopping.add(container.name)
        self._sight.changed(container.app)
        self._tasks.cancel("health", container.id)
        self._tasks.start("stop", container.id, lambda: self._end(container))

    async def _end(self, container: Container) -> None:
        began = time.monotonic()
        try:
            await self._dockerd.ask("POST", f"containers/{container.id}/stop", wait_s=GRACE_S + 60, t=str(GRACE_S))
            took_s = time.monotonic() - began
            await self._last_words(container, took_s)
            await self._dockerd.ask("DELETE", f"containers/{container.id}", force="1", v="1")
        except (NotFound, Conflict):
            # Gone, or being removed.
            pass
        finally:
            self._sight.stopping.discard(container.name)
            await self._sight.look(container.id)

    def halt(self, container: Container) -> None:
        """Begin to end a container that stays, so that its end is seen. Does not wait."""
        self._tasks.start("end", container.id, lambda: self._halted(container))

    async def _halted(self, container: Container) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._dockerd.ask("POST", f"containers/{container.id}/stop", wait_s=GRACE_S + 60, t=str(GRACE_S))
        await self._sight.look(container.id)

    async def _last_words(self, container: Container, took_s: float) -> None:
        ended = await self._sight.look(container.id)
        if ended is not None and ended.exit_code == _SIGKILL and took_s >= GRACE_S - 0.5:
            await self._follower.note(
                container,
                time.time(),
                f"did not end within {GRACE_S} s of SIGTERM and was killed: handle SIGTERM to end in good order",
            )
        await self._tasks.wait("log", container.id, _LOG_END_S)
        if container.role == INSTANCE:
            await self._follower.follow(container, live=False)

    async def unboost(self, container: Container) -> None:
        """Lower its CPU to its size."""
        host = await self.host()
        millicpu = min(container.millicpu, int(host.cores * 1000))
        try:
            await self._dockerd.ask("POST", f"containers/{container.id}/update", {"NanoCpus": millicpu * 1_000_000})
        except (NotFound, Conflict):
            return
        except Unavailable as error:
            if error.code != REFUSED:
                raise
            # It has just ended; when it runs again, the next look lowers it.
            return
        self._sight.unboosted(container)

    # --- networks -----------------------------------------------------------------------------------------

    async def _ensure_networks(self, project: str) -> None:
        # Before anything of ours can run: instances must not reach the host.
        await firewall.hold()
        for name, internal in (
            (network_name(self._home, project), False),
            (names_name(self._home, project), True),
        ):
            async with self._subnets:
                await self._ensure_network(name, project, internal)

    async def _ensure_network(self, name: str, project: str, internal: bool) -> None:
        networks = await self._dockerd.ask("GET", "networks")
        if any(network["Name"] == name for network in networks):
            return
        routes = routes_of(_text(Path("/proc/net/route")))
        subnet = free_subnet(self._pool, (*subnets_of(networks), *routes))
        body = network_body(name, self._home, project, subnet, internal=internal)
        try:
            await self._dockerd.ask("POST", "networks/create", body)
        except Conflict:
            return

    async def sweep_networks(self) -> None:
        """Remove the networks of projects in which nothing of ours is left."""
        filters = json.dumps({"label": [f"{HOME}={self._home}"]})
        for network in await self._dockerd.ask("GET", "networks", filters=filters):
            project = network["Labels"].get(PROJECT, "")
            async with self._locks[project]:
                await self._sight.refresh()
                if any(c.project == project for c in self._sight.containers.values()):
                    continue
                try:
                    await self._dockerd.ask("DELETE", f"networks/{network['Id']}")
                except (NotFound, Conflict, Unavailable) as error:
                    _log.info("network %s stays: %s", network["Name"], error.message)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
