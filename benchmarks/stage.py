"""A platform of its own for measurements, beside any other on this machine."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import say
from leeward.daemon import machine
from leeward.host.units import MARK, environment
from leeward.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
HOME = Path("/var/lib/leeward-bench")
LEE = Path(sys.executable).parent / "lee"
LONGEST_S = 600.0


def settings_of(**more: object) -> Settings:
    """Settings with ports that no other platform of this machine has, all on loopback."""
    return Settings.model_validate(
        {
            "home": HOME,
            "http_port": 28080,
            "https_port": 28443,
            "registry": "127.0.0.1:25010",
            "bind": "127.0.0.1",
            "trust_ca": False,
            "network_pool": "10.215.0.0/16",
            **more,
        }
    )


@dataclass
class Stage:
    """A platform that runs, and the ways in: its API, its command, its edge."""

    settings: Settings
    token: str
    api: httpx.AsyncClient
    edge: httpx.AsyncClient

    async def lee(self, *arguments: str | Path) -> Any:
        """The object that `lee … --json` prints; the command must end well."""
        process = await asyncio.create_subprocess_exec(
            str(LEE),
            *map(str, arguments),
            "--json",
            env=self._env,
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
        if process.returncode:
            raise SystemExit(f"lee {arguments[0]} ended with {process.returncode}: {(out + err).decode()[-2000:]}")
        return json.loads(out)

    @property
    def _env(self) -> dict[str, str]:
        """Of what the caller's environment says of a platform nothing is taken: only this one is meant."""
        others = {key: value for key, value in os.environ.items() if not key.startswith("LEEWARD_")}
        return {**others, **environment(self.settings), "LEEWARD_HOME": str(self.settings.home)}

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer of the API, which must be a good one."""
        answer = await self.api.request(method, path, json=body)
        if answer.is_error:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    async def ask(self, app: str, path: str = "/", host: str = "") -> httpx.Response:
        """Ask an app through the edge, over one connection that is kept."""
        host = host or f"{app}.{self.settings.domain}"
        url = f"https://127.0.0.1:{self.settings.https_port}{path}"
        return await self.edge.get(url, headers={"Host": host}, extensions={"sni_hostname": host})

    async def ended(self, deploy: str) -> Mapping[str, Any]:
        """A deploy once it is live. Ends the measurement when it fails."""
        async with asyncio.timeout(LONGEST_S):
            while True:
                shown: Mapping[str, Any] = await self.call("GET", f"/v1/deploys/{deploy}")
                if shown["status"] == "live":
                    return shown
                if shown["status"] not in ("queued", "running"):
                    await self._tell(str(shown["app"]))
                    raise SystemExit(f"the deploy of '{shown['app']}' is {shown['status']}: {shown['error']}")
                await asyncio.sleep(0.2)

    async def _tell(self, app: str) -> None:
        """Say what is known of an app, and what the control plane said last: the platform is about to go."""
        say(f"  instances of '{app}': {await self.call('GET', f'/v1/apps/{app}/instances')}")
        log = (self.settings.home / "logs" / "host" / "control.log").read_text()
        for line in log.splitlines()[-40:]:
            say(f"  control: {line}")

    def pss_mib(self) -> dict[str, float]:
        """MiB of each of the platform's own Python processes, shared pages in proportion."""
        return {name: pss_mib(process.pid) for name, process in pythons(self.settings.home)}


def pythons(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The supervisor and the control plane of a home, and what these have started in Python."""
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        yield "supervisord", psutil.Process(int((home / "run" / "supervisord.pid").read_text()))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mark = process.environ().get(MARK, "")
            if mark.startswith(f"{home}/") and "python" in Path(process.exe()).name:
                yield f"{mark.rpartition('/')[2]}", process


def pss_mib(pid: int) -> float:
    """MiB of one process, shared pages in proportion."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) / 1024


@asynccontextmanager
async def platform(**more: object) -> AsyncIterator[Stage]:
    """A fresh platform without any app; nothing of it is left afterwards."""
    settings = settings_of(**more)
    if os.geteuid() != 0:
        raise SystemExit("a whole platform needs root")
    await gone(settings)
    try:
        say("starting a platform")
        token = await machine.start(settings, lambda text: say(f"  {text}"))
        transport = httpx.AsyncHTTPTransport(uds=str(settings.api_socket), retries=3)
        base, bearer = f"http://{settings.console_host}", {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(transport=transport, base_url=base, headers=bearer, timeout=60) as api,
            # The certificate is this platform's own, and nothing but an answer is looked at.
            httpx.AsyncClient(verify=False, timeout=10) as edge,
        ):
            yield Stage(settings, token, api, edge)
    finally:
        await asyncio.shield(gone(settings))


async def gone(settings: Settings) -> None:
    """Remove the platform with everything that it made."""
    if settings.home.exists():
        say("removing the platform")
        await machine.down(settings, True, lambda text: None)
        shutil.rmtree(settings.home, ignore_errors=True)
