"""Keep builds from reaching this machine, its cloud's metadata and private networks."""

import asyncio
import contextlib
import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from leeward.builders import bootstrap, reach
from leeward.builders.process import output
from leeward.errors import Unavailable
from leeward.ports import Built
from leeward.settings import Settings

_EVERY_S = 10.0
_NAMES_S = 3.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY")
_BRIDGE = "docker0"
_VERSIONS = {4: "iptables", 6: "ip6tables"}


class Fence:
    """The packet filter's rules for builds. They are for the whole machine, and stay when the builds are over."""

    def __init__(self, settings: Settings, docker: tuple[str, ...]) -> None:
        self._settings, self._docker = settings, docker
        self._lock = asyncio.Lock()
        self._bridge = ""
        self._known: dict[tuple[str, int], tuple[reach.Allowed, ...]] = {}

    async def hold(self) -> bool:
        """Make the rules right if they are not; True when something had to be done. Raises Unavailable."""
        async with self._lock:
            bridge, allowed = await self._name(), await self._allowed()
            changed = await _hold(4, bridge, allowed)
            if shutil.which("ip6tables") is not None and shutil.which("ip6tables-restore") is not None:
                # The engine's bridge has no IPv6 unless someone gave it one: a second lock, where the kernel has it.
                with contextlib.suppress(Unavailable):
                    changed = await _hold(6, bridge, allowed) or changed
            return changed

    async def during(self, work: Callable[[], Coroutine[Any, Any, Built]]) -> Built:
        """Do some work behind the rules, which are held until it ends. Raises Unavailable when they cannot be."""
        await self.hold()
        working, keeping = asyncio.create_task(work()), asyncio.create_task(self._keep())
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            return await working
        finally:
            for task in (keeping, working):
                task.cancel()
            await asyncio.shield(asyncio.gather(keeping, working, return_exceptions=True))

    async def _keep(self) -> None:
        """Another program may load rules of its own over ours."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.hold()

    async def _name(self) -> str:
        if not self._bridge:
            option = '{{index .Options "com.docker.network.bridge.name"}}'
            code, text = await output((*self._docker, "network", "inspect", "bridge", "--format", option))
            self._bridge = text.strip() if code == 0 and text.strip() else _BRIDGE
        return self._bridge

    async def _allowed(self) -> tuple[reach.Allowed, ...]:
        """What the operator allows, and where the proxies and indexes are that other settings name."""
        settings = self._settings
        mirrors = await asyncio.to_thread(bootstrap.mirrors, settings)
        urls = [os.environ.get(name, "") for name in _PROXIES]
        urls += [settings.build_pip_index, settings.build_npm_registry]
        urls += [mirrors.archive, mirrors.security] if mirrors else []
        found = await asyncio.gather(*(self._addresses(*place) for place in reach.places(filter(None, urls))))
        return (*settings.reachable, *(each for group in found for each in group))

    async def _addresses(self, host: str, port: int) -> tuple[reach.Allowed, ...]:
        """The addresses of a host that the rules would refuse; those of last time when its name is not answered."""
        with contextlib.suppress(OSError, UnicodeError, TimeoutError):
            async with asyncio.timeout(_NAMES_S):
                infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = {ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos}
            self._known[host, port] = tuple(
                (ipaddress.ip_network(address), port) for address in addresses if not address.is_global
            )
        return self._known.get((host, port), ())


async def _hold(version: int, bridge: str, allowed: tuple[reach.Allowed, ...]) -> bool:
    """Twice at most: another platform on this machine may change the same rules in between."""
    command = _VERSIONS[version]
    for last in (False, True):
        saved = await _run((command, "-w", "5", "-S"))
        if reach.holds(saved, bridge, version, allowed):
            return last
        try:
            await _run((f"{command}-restore", "-w", "5", "--noflush"), reach.script(saved, bridge, version, allowed))
        except Unavailable:
            if last:
                raise
    return True


async def _run(argv: tuple[str, ...], text: str = "") -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise Unavailable(
            f"'{argv[0]}' could not be run", hint="install iptables; without it nothing is built"
        ) from error
    out, err = await process.communicate(text.encode())
    if process.returncode != 0:
        message = err.decode(errors="replace").strip().splitlines()
        raise Unavailable(
            f"'{argv[0]}' failed: {message[-1] if message else process.returncode}",
            hint="nothing is built without its rules; run as root",
        )
    return out.decode(errors="replace")
