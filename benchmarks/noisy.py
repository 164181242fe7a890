"""What a live app feels of hostile builds: its latency alone, then while they run at the platform's bounds.

    python -m benchmarks.noisy [--seconds 12] [--rate 50]

The app is a Python HTTP server with half a core. The builds allocate, fork, spin and write without end; two run at a
time. One JSON line for each.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import figure, quantile, say
from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.process import output
from leeward.builders.recipes import RECIPES
from leeward.errors import BuildFailed
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob
from leeward.settings import Settings

BASE = RECIPES["python3.13"]
HOSTILE = {
    "memory": "tail /dev/zero",
    "processes": "while true; do (sleep 600 &) 2>/dev/null; done",
    "cpu": "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; sleep 600",
    "disk": "dd if=/dev/zero of=/fill bs=1M; sleep 600",
}


async def docker(settings: Settings, *arguments: str) -> str:
    """Ask the docker client; its answer."""
    code, text = await output((str(settings.docker_command), *arguments))
    if code:
        raise SystemExit(f"docker {arguments[0]}: {text}")
    return text.strip()


async def latencies(port: int, seconds: float, rate: float) -> Sequence[float]:
    """Seconds of each request, begun at a fixed rate whether the one before has ended or not."""

    async def one() -> float:
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        return time.perf_counter() - began

    requests = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        requests.append(asyncio.create_task(one()))
        await asyncio.sleep(1 / rate)
    return await asyncio.gather(*requests)


def job(name: str, tree: Path) -> BuildJob:
    """One hostile build."""
    text = f"FROM {BASE.image}\nENV NOW={time.time()}\nRUN {HOSTILE[name]}\n"
    plan = BuildPlan("auto", (), None, {}, None, {}, (), text, bases=(BASE.image,))
    return BuildJob(f"noisy-{name}", "noisy", tree, plan, {})


async def hostile(builder: BuildkitBuilder, name: str, tree: Path) -> str:
    """Build it; how it ended."""
    tree.mkdir()
    try:
        await builder.build(job(name, tree), lambda line: None)
    except BuildFailed as error:
        return error.message
    return "built"


async def measure(seconds: float, rate: float, work: Path) -> None:
    """Alone, then with each build, then with all."""
    settings = Settings(home=work / "home", build_timeout_s=int(max(10, seconds)), build_disk_mib=2048)
    builder = BuildkitBuilder(settings)
    await builder.bases.ensure([BASE.flavour], say)
    limits = ("--cpus=0.5", "--memory=256m", "--publish=127.0.0.1::8000")
    command = ("python3", "-m", "http.server", "8000", "--directory", "/etc/alternatives")
    container = await docker(settings, "run", "--rm", "--detach", *limits, BASE.image, *command)
    try:
        port = int((await docker(settings, "port", container, "8000")).splitlines()[0].rpartition(":")[2])
        await asyncio.sleep(1)
        await latencies(port, 2, rate)
        alone = await latencies(port, seconds, rate)
        report("alone", alone, alone)
        for names in (*((name,) for name in HOSTILE), tuple(HOSTILE)):
            folder = work / "-".join(names)
            folder.mkdir()
            builds = [asyncio.create_task(hostile(builder, name, folder / name)) for name in names]
            felt = await latencies(port, seconds, rate)
            ended = await asyncio.gather(*builds, return_exceptions=True)
            report(" and ".join(names), felt, alone, ended=[str(end) for end in ended])
    finally:
        with contextlib.suppress(SystemExit):
            await docker(settings, "rm", "--force", container)


def report(name: str, felt: Sequence[float], alone: Sequence[float], **about: object) -> None:
    """Print median and 99th percentile beside those of the app alone."""
    for share, word in ((0.5, "p50"), (0.99, "p99")):
        value, peer = quantile(felt, share) * 1000, quantile(alone, share) * 1000
        figure(f"noisy: {name}: {word}", value, "ms", peer="alone", peer_value=peer, requests=len(felt), **about)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rate", type=float, default=50.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        asyncio.run(measure(given.seconds, given.rate, Path(work)))


if __name__ == "__main__":
    main()
