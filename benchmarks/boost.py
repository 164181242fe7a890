"""Measure from start to the first good answer at the smallest size, with and without the CPU boost.

    python -m benchmarks.boost IMAGE [--command TEXT] [--path /health] [--runs 5]

One JSON line for each run and one for each median.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from leeward.engines.local.engine import LocalEngine
from leeward.engines.local.probe import ask
from leeward.model.app import Health
from leeward.model.runtime import LogLine, Workload
from leeward.model.sizes import SIZES, Size
from leeward.settings import Settings

LONGEST_S = 120.0


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class _NoLogs:
    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        return

    async def last_at(self, app: str, source: str) -> float:
        return 0.0


async def start_s(engine: LocalEngine, want: Workload) -> float:
    """Seconds from the wish to the first good answer."""
    health = want.health or Health()
    began = time.perf_counter()
    await engine.apply(want)
    while time.perf_counter() - began < LONGEST_S:
        for instance in (await engine.observe(want.app)).instances:
            if instance.host and (await ask(instance.host, instance.port, health, "localhost")).passed:
                return time.perf_counter() - began
        await asyncio.sleep(0.01)
    raise SystemExit(f"no good answer from GET {health.path} within {LONGEST_S:g} s")


async def gone(engine: LocalEngine, app: str) -> None:
    """Take an app away, networks and all."""
    await engine.remove(app)
    async for _ in engine.changes():
        if not (await engine.observe(app)).instances:
            break
    await engine.sweep()


async def measure(home: Path, options: argparse.Namespace, boosted: bool) -> list[float]:
    """The seconds of each run."""
    settings = Settings(home=home, boost_instances=1 if boosted else 0)
    engine = LocalEngine(settings, _NoLogs(), _Clock())
    running = asyncio.create_task(engine.run())
    limits = SIZES[Size(options.size)]
    found = []
    try:
        for run in range(options.runs):
            want = Workload(
                app=f"boost-{'on' if boosted else 'off'}-{run}",
                process="web",
                project="boost",
                release=1,
                generation=1000,
                image=options.image,
                command=options.command,
                env=(),
                instances=1,
                millicpu=limits.millicpu,
                memory_mib=limits.memory_mib,
                port=options.port,
                health=Health(path=options.path, rollout_interval=0.2),
                read_only=not options.writable,
                routed=frozenset(),
            )
            seconds = await start_s(engine, want)
            found.append(seconds)
            say(boosted, options, run=run, start_s=round(seconds, 3))
            await gone(engine, want.app)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return found


def say(boosted: bool, options: argparse.Namespace, **values: object) -> None:
    """Print one JSON line."""
    line = {"benchmark": "boost", "image": options.image, "size": options.size, "boosted": boosted, **values}
    print(json.dumps(line), flush=True)


async def main(options: argparse.Namespace) -> None:
    """Measure both ways."""
    with tempfile.TemporaryDirectory(prefix="leeward-boost-") as directory:
        for boosted in (False, True):
            found = await measure(Path(directory), options, boosted)
            say(boosted, options, median_s=round(statistics.median(found), 3), worst_s=round(max(found), 3))


def arguments() -> argparse.Namespace:
    """What the caller said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="an image in the local Docker")
    parser.add_argument("--command", default=None, help="the start command; without it the image's own")
    parser.add_argument("--path", default="/", help="the health path")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--size", default="nano", choices=[size.value for size in Size])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--writable", action="store_true", help="mount the root writable")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
