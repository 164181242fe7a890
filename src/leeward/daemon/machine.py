"""Bring the whole platform up on this machine, with the example live."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from leeward.builders.bases import Bases
from leeward.daemon.archive import packed
from leeward.daemon.clock import SystemClock
from leeward.daemon.stamp import stamp
from leeward.edges.embedded import server as edge
from leeward.edges.embedded.paths import admin_socket, config_file
from leeward.errors import LeewardError, StepFailed, Unavailable
from leeward.host.command import run
from leeward.host.doctor import Finding, examine
from leeward.host.machine import Machine
from leeward.host.units import Program, environment, inherited
from leeward.registry import oci as registry
from leeward.registry.embedded import config_file as registry_config
from leeward.settings import Settings

Say = Callable[[str], None]
EXAMPLES = ("finrag-backend", "finrag-frontend")
FIRST_BASES = ("python3.13", "python3.13-build")
ROOT = Path(__file__).resolve().parents[3]
EXAMPLE_S = 900.0
# One arena for all threads, and what is freed at its end goes back: builds, pushes and scans use threads, and each
# would keep what it once needed.
LEAN = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}


@dataclass(frozen=True, slots=True)
class UpAnswer:
    """What `lee up` prints: the example's URL, the dashboard's, and where the first admin's token stands."""

    url: str
    dashboard: str
    token_file: Path


async def up(settings: Settings, say: Say) -> UpAnswer:
    """Packages, processes, base images, the example. A second call changes nothing. Raises LeewardError."""
    token = await start(settings, say)
    url = await _examples(settings, token, say)
    return UpAnswer(url, settings.console_url, settings.token_file)


async def start(settings: Settings, say: Say) -> str:
    """All of `up` but the examples; the first admin's token. Raises LeewardError."""
    machine = Machine(settings)
    await machine.install(say)
    machine.folders()
    await asyncio.to_thread(edge.prepare, settings, SystemClock())
    if settings.registry_embedded:
        await asyncio.to_thread(registry.prepare, settings)
    await machine.up(programs(settings), say)
    ca = edge.ca_file(settings)
    await machine.trust_ca(ca.read_text(), say)
    token = await _token(settings)
    machine.link()
    machine.write_cli(settings.console_url, token, ca)
    await Bases(settings).ensure(FIRST_BASES, say)
    return token


async def down(settings: Settings, purge: bool, say: Say) -> None:
    """Stop the platform; with `purge` remove all of it."""
    machine = Machine(settings)
    await (machine.purge(say) if purge else machine.down(say))


async def doctor(settings: Settings) -> list[Finding]:
    """What is right and wrong with this machine."""
    return list(await examine(settings))


def programs(settings: Settings) -> tuple[Program, ...]:
    """The processes of the platform, beside dockerd."""
    lee = Path(sys.executable).parent / "lee"
    env = {**inherited(os.environ), **environment(settings), **LEAN}
    config = config_file(settings).read_bytes()
    parts = [
        Program(
            "edge",
            edge.argv(settings),
            ready=f"unix:{admin_socket(settings)}",
            priority=300,
            hands_over=True,
            stop_s=15,
            stamp=stamp(Path(edge.__file__).parent, config),
        ),
        Program(
            "control",
            (str(lee), "daemon"),
            env=env,
            ready=f"unix:{settings.api_socket}",
            priority=900,
            stop_s=20,
            # Builds and pushes are its children; they end by themselves, and the next control plane takes over.
            stop_group=True,
            stamp=stamp(ROOT / "src" / "leeward"),
        ),
    ]
    if settings.registry_embedded:
        parts.insert(
            0,
            Program(
                "registry",
                registry.argv(settings),
                ready=f"tcp:{settings.registry}",
                priority=200,
                stop_s=10,
                stamp=stamp(registry_config(settings)),
            ),
        )
    return tuple(parts)


async def _token(settings: Settings) -> str:
    """The first admin's token, once the control plane wrote it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if settings.token_file.is_file() and (text := settings.token_file.read_text().strip()):
            return text
        await asyncio.sleep(0.1)
    raise Unavailable("the control plane wrote no token", hint=f"see {settings.home}/logs/host/control.log")


async def _examples(settings: Settings, token: str, say: Say) -> str:
    """Have the examples live, from this repository by commit; the first one's URL."""
    folder = ROOT / "examples" / EXAMPLES[0]
    if not folder.is_dir():
        say("no examples beside this installation: deploy your own app with `lee deploy`")
        return settings.console_url
    async with _client(settings, token) as api:
        for name in EXAMPLES:
            found = await api.get(f"/v1/apps/{name}")
            if found.status_code == 200 and found.json().get("release"):
                continue
            await _deploy(api, name, say)
    return settings.url_of(EXAMPLES[0])


async def _deploy(api: httpx.AsyncClient, name: str, say: Say) -> None:
    source = await _source(api, name)
    answer = await api.post(f"/v1/apps/{name}/deploys", json={**source, "message": "the example"})
    _check(answer)
    deploy = answer.json()
    deadline = time.monotonic() + EXAMPLE_S
    told = ""
    while time.monotonic() < deadline:
        deploy = (await api.get(f"/v1/deploys/{deploy['id']}")).json()
        status = str(deploy["status"])
        if status == "live":
            say(f"{name} is live ({deploy['timings_s'].get('total', 0):.1f} s)")
            return
        if status not in ("queued", "running"):
            error = deploy.get("error") or {}
            raise StepFailed(
                f"the example '{name}' failed at {deploy.get('step')}: {error.get('message')}",
                hint=str(error.get("hint", "")),
            )
        if told != deploy["phase"]:
            told = deploy["phase"]
            say(f"{name}: {told}")
        await asyncio.sleep(0.2)
    raise StepFailed(f"the example '{name}' is not live after {EXAMPLE_S:.0f} s", hint=f"see: lee logs {name}")


async def _source(api: httpx.AsyncClient, name: str) -> Mapping[str, Any]:
    """The example in this repository by commit, or its files where this is no repository."""
    commit = await run(("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "rev-parse", "HEAD"))
    tree = await run(("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-tree", "HEAD", f"examples/{name}/"))
    if commit.code == 0 and tree.out.strip():
        return {"git": {"url": f"file://{ROOT}", "ref": commit.out.strip()}, "path": f"examples/{name}"}
    upload = await api.post("/v1/uploads", params={"app": name}, content=packed(ROOT / "examples" / name))
    _check(upload)
    return {"upload": upload.json()["upload"]}


def _client(settings: Settings, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(settings.api_socket), retries=3),
        base_url=f"http://{settings.console_host}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )


def _check(answer: httpx.Response) -> None:
    if answer.is_error:
        try:
            told = answer.json()
        except ValueError:
            told = {}
        raise LeewardError(
            str(told.get("detail") or f"the control plane answered {answer.status_code}"),
            hint=str(told.get("hint", "")),
        )
