"""What the control plane costs and how fast it answers: memory, API, dashboard, and a change's way to the edge.

    python -m benchmarks.control [--apps 200] [--running 50]

Requests go through the edge with TLS, one after another, over one connection that is kept.
"""

import argparse
import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from statistics import median
from typing import Any

import httpx
import psutil
from tests.contracts.tiny import docker, tiny_image

from benchmarks import end_in_order, figure, quantile, say
from benchmarks.stage import Stage, platform, pythons
from leeward.api.callers import COOKIE

REQUESTS = 200
ROUTE_CHANGES = 30
QUIET_S = 20.0
# What one tiny instance takes with all that the engine keeps for it.
INSTANCE_MIB = 64
AT_ONCE = 4
PSS_GOAL_MIB, API_GOAL_MS = 150.0, 50.0
WEB = {"command": "httpd -f -p $PORT -h /www", "size": "nano", "health": {"path": "/", "rollout_interval": 0.25}}

API = {
    "apps": "/v1/apps",
    "apps_200": "/v1/apps?limit=200",
    "app": "/v1/apps/{app}",
    "app_deploys": "/v1/apps/{app}/deploys",
    "deploys": "/v1/deploys",
}
PAGES = {"apps": "/", "app": "/apps/{app}", "app_deploys": "/apps/{app}/deploys"}


def name(number: int) -> str:
    """The name of one of the apps."""
    return f"app{number:03}"


@contextlib.contextmanager
def image() -> Iterator[str]:
    """A tiny image with a name of ours."""
    tag = f"leeward-bench/tiny:{secrets.token_hex(4)}"
    docker("tag", tiny_image(), tag)
    try:
        yield tag
    finally:
        docker("rmi", tag)


async def memory(stage: Stage, label: str, **about: Any) -> None:
    """Memory of all of our own Python, and how busy it is while nobody asks anything."""
    busy = {process.pid: process for _, process in pythons(stage.settings.home)}
    before, began = {pid: cpu_s(process) for pid, process in busy.items()}, time.perf_counter()
    await asyncio.sleep(QUIET_S)
    spent = sum(cpu_s(process) - before[pid] for pid, process in busy.items())
    parts = stage.pss_mib()
    total = sum(parts.values())
    shown = {part: round(value, 1) for part, value in parts.items()}
    figure(f"control_pss_{label}", total, "MiB", goal=PSS_GOAL_MIB, met=total < PSS_GOAL_MIB, parts=shown, **about)
    percent = 100 * spent / (time.perf_counter() - began)
    figure(f"control_cpu_{label}", percent, "% of a core", seconds=QUIET_S, **about)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def fill(stage: Stage, image: str, running: int) -> int:
    """Apps with a release each, as many of them with an instance as fit; how many instances run."""
    able = min(running, int(psutil.virtual_memory().available / 2**20 / INSTANCE_MIB))
    turn = asyncio.Semaphore(AT_ONCE)

    async def deploy(number: int) -> None:
        async with turn:
            instances = 1 if number < able else {"min": 0, "max": 0}
            body = {"image": image, "spec": {"processes": {"web": {**WEB, "instances": instances}}}}
            asked = await stage.call("POST", f"/v1/apps/{name(number)}/deploys", body)
            await stage.ended(asked["id"])
            if number % 10 == 9:
                say(f"  {number + 1} apps are deployed")

    await asyncio.gather(*(deploy(number) for number in range(running)))
    status: Mapping[str, int] = await stage.call("GET", "/v1/status")
    return status["instances"]


async def fill_up(stage: Stage, first: int, apps: int) -> None:
    """More apps, that were only made."""
    for number in range(first, apps):
        await stage.call("POST", "/v1/apps", {"name": name(number)})


async def answers(stage: Stage, group: str, paths: Mapping[str, str], apps: int, headers: Mapping[str, str]) -> None:
    """The time to answer each kind of request, `{app}` being another app each time."""
    host, everything = stage.settings.console_host, []
    parts: dict[str, float] = {}
    for label, path in paths.items():
        taken = []
        for turn in range(REQUESTS + 5):
            where = f"https://127.0.0.1:{stage.settings.https_port}{path.format(app=name(turn % apps))}"
            began = time.perf_counter()
            answer = await stage.edge.get(where, headers={**headers, "Host": host}, extensions={"sni_hostname": host})
            taken.append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                raise SystemExit(f"GET {where}: {answer.status_code} {answer.text[:300]}")
        # The first ones open the connection and compile templates.
        parts[label] = round(quantile(taken[5:], 0.95), 2)
        everything += taken[5:]
    p95 = quantile(everything, 0.95)
    about: dict[str, Any] = {
        "p50": round(median(everything), 2),
        "p95_of": parts,
        "apps": apps,
        "requests": len(everything),
    }
    figure(f"{group}_p95", p95, "ms", goal=API_GOAL_MS, met=p95 < API_GOAL_MS, **about)


@contextlib.asynccontextmanager
async def signed_in(stage: Stage) -> AsyncIterator[Mapping[str, str]]:
    """The header of a session."""
    password = (stage.settings.home / "admin.password").read_text().strip()
    answer = await stage.api.post("/v1/sessions", json={"name": "admin", "password": password})
    if answer.status_code != 201:
        raise SystemExit(f"the sign-in was answered with {answer.status_code}: {answer.text[:300]}")
    yield {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


async def routes(stage: Stage) -> None:
    """From the API call that adds a domain until the edge serves it."""
    taken, calls = [], []
    for turn in range(ROUTE_CHANGES):
        app, host = name(turn % 10), f"new{turn}.example.test"
        if (await stage.ask(app, host=host)).status_code == 200:
            raise SystemExit(f"'{host}' was served before it was added")
        began = time.perf_counter()
        await stage.call("POST", f"/v1/apps/{app}/domains", {"host": host})
        calls.append((time.perf_counter() - began) * 1000)
        await served(stage, app, host)
        taken.append((time.perf_counter() - began) * 1000)
    about: dict[str, Any] = {
        "p99": round(quantile(taken, 0.99), 2),
        "call_p50": round(median(calls), 2),
        "changes": ROUTE_CHANGES,
    }
    figure("route_live_after_api_call_p50", median(taken), "ms", **about)


async def served(stage: Stage, app: str, host: str) -> None:
    """Return once the edge answers for the host."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if (await stage.ask(app, host=host)).status_code == 200:
                return
        await asyncio.sleep(0.002)
    raise SystemExit(f"the edge never served '{host}'")


async def main(apps: int, running: int) -> None:
    """A platform of its own, first empty, then full."""
    async with platform() as stage:
        with image() as tiny:
            say("idle without apps")
            await memory(stage, "idle_0_apps")
            instances = await fill(stage, tiny, running)
            say(f"idle with {running} apps, of which {instances} run")
            await memory(stage, f"idle_{running}_apps", instances=instances)
            await fill_up(stage, running, apps)
            bearer = {"Authorization": f"Bearer {stage.token}"}
            await answers(stage, "api", API, apps, bearer)
            async with signed_in(stage) as cookie:
                await answers(stage, "dashboard", PAGES, apps, cookie)
            await routes(stage)
            await memory(stage, f"after_{apps}_apps", instances=instances)


if __name__ == "__main__":
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=200, choices=range(10, 1001), metavar="10-1000")
    parser.add_argument("--running", type=int, default=50, choices=range(10, 201), metavar="10-200")
    options = parser.parse_args()
    asyncio.run(main(max(options.apps, options.running), options.running))
