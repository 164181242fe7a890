"""What a live app feels of hostile builds: its latency alone and while they run at the platform's bounds, in turns.

    python -m benchmarks.noisy [--seconds 4] [--rounds 6] [--rate 100]

The app is a static site behind the edge of a whole platform, asked at a fixed rate over connections that are kept. The
client runs ahead of everything else on the machine, so that its own waiting is not measured. The builds allocate, fork,
spin and write without end, all at once. The peer of each figure is the app alone, in the same rounds. `earlier` is the
same with the bounds as they were before builds came last for the CPU of the whole machine. One JSON line for each.
"""

import argparse
import asyncio
import contextlib
import json
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import end_in_order, figure, quantile, say
from benchmarks.stage import ROOT, Stage, platform
from leeward.builders import limits
from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.recipes import RECIPES
from leeward.errors import LeewardError
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob

BASE = RECIPES["python3.13"]
APP = "noisy"
HOSTILE = {
    "memory": "tail /dev/zero",
    "processes": "while true; do (sleep 600 &) 2>/dev/null; done",
    "cpu": "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; sleep 600",
    "disk": "while true; do dd if=/dev/zero of=/fill bs=1M count=1500; done",
}
CONNECTIONS = 16
# Builds begin this long before the app is asked.
_BEGUN_S = 1.5


async def asked(port: int, host: str, seconds: float, rate: float) -> list[float]:
    """Seconds of each request, begun at a fixed rate whether the one before has ended or not."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=host))
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    async def one() -> float:
        began = time.perf_counter()
        reader, writer = await free.get()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"the app answers {head[:200]!r}")
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        free.put_nowait((reader, writer))
        return time.perf_counter() - began

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    requests = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        requests.append(asyncio.create_task(one()))
        await asyncio.sleep(1 / rate)
    return await asyncio.gather(*requests)


def client(port: int, host: str, seconds: float, rate: float) -> None:
    """A process of its own: print each request's seconds."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    print(json.dumps(asyncio.run(asked(port, host, seconds, rate))))


async def felt(stage: Stage, seconds: float, rate: float) -> list[float]:
    """What the client measures."""
    argv = ("--client", str(stage.settings.https_port), f"{APP}.{stage.settings.domain}", str(seconds), str(rate))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.noisy", *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("the client failed")
    return list(map(float, json.loads(output)))


async def hostile(builder: BuildkitBuilder, name: str, tree: Path) -> str:
    """Build it; how it ended."""
    tree.mkdir(parents=True)
    text = f"FROM {BASE.image}\nENV NOW={time.time()}\nRUN {HOSTILE[name]}\n"
    plan = BuildPlan("auto", (), None, {}, None, {}, (), text, bases=(BASE.image,))
    try:
        await builder.build(BuildJob(f"noisy-{name}", "noisy", tree, plan, {}), lambda line: None)
    except LeewardError as error:
        return error.message
    return "built"


class Earlier(limits.Cgroup):
    """The weights as they were: a quarter of a container's, among containers only."""

    def apply(self) -> None:
        super().apply()
        for name, value in (("docker/buildkit", "256"), ("leeward", "1024")):
            with contextlib.suppress(OSError):
                (limits.ROOT / "cpu" / name / "cpu.shares").write_text(value)

    def put_last(self, step: str) -> None:
        pass


async def measure(seconds: float, rate: float, rounds: int, work: Path) -> None:
    """In turns: alone, with the builds, with the builds and the earlier bounds."""
    async with platform(builds=4, build_timeout_s=int(seconds + 30), build_disk_mib=8192) as stage:
        await stage.lee("deploy", ROOT / "examples" / "static-site", "--app", APP)
        builder = BuildkitBuilder(stage.settings)
        await builder.bases.ensure([BASE.flavour], say)
        times: dict[str, list[float]] = {"alone": [], "builds": [], "earlier": []}
        for number in range(rounds):
            for name, found in times.items():
                builder._cgroup = (Earlier if name == "earlier" else limits.Cgroup)(stage.settings)
                builds = []
                if name != "alone":
                    folder = work / f"{number}-{name}"
                    builds = [asyncio.create_task(hostile(builder, kind, folder / kind)) for kind in HOSTILE]
                    await asyncio.sleep(_BEGUN_S)
                found += await felt(stage, seconds, rate)
                for build in builds:
                    build.cancel()
                ended = await asyncio.gather(*builds, return_exceptions=True)
                say(f"  {name}: {', '.join(str(end) or 'cancelled' for end in ended)}")
        for name, found in times.items():
            report(name, found, times["alone"], rounds)


def report(name: str, found: Sequence[float], alone: Sequence[float], rounds: int) -> None:
    """Print some quantiles beside those of the app alone."""
    for share, word in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        value, peer = quantile(found, share) * 1000, quantile(alone, share) * 1000
        figure(f"noisy: {name}: {word}", value, "ms", peer="alone", peer_value=peer, requests=len(found), rounds=rounds)


def main() -> None:
    """Measure."""
    if sys.argv[1:2] == ["--client"]:
        client(int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    end_in_order()
    with tempfile.TemporaryDirectory() as work:
        asyncio.run(measure(given.seconds, given.rate, given.rounds, Path(work)))


if __name__ == "__main__":
    main()
