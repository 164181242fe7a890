"""How fast the stores are: `python -m benchmarks.store`."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from sqlalchemy import insert

from benchmarks import figure
from leeward.model.release import Deploy, DeployKind, DeployStatus, SourceKind, SourceRef
from leeward.model.runtime import LogLine
from leeward.model.wish import App
from leeward.ports import Stores
from leeward.settings import Settings
from leeward.store import open_stores
from leeward.store.database import Database
from leeward.store.rows import app_row
from leeward.store.tables import apps

APPS = 20_000
LINES = 1_000_000
BATCH = 1000
REQUEST = 'INFO 10.0.{a}.{b} "GET /api/items/{n}?page={b} HTTP/1.1" 200 {size} {ms}ms request_id={id:016x}'


class Clock:
    """The real time."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)


def log_lines(first: int, count: int) -> list[LogLine]:
    """Lines as a web app prints them, 105 bytes each."""
    start = 1_764_000_000.0
    return [
        LogLine(
            start + n / 1000,
            f"web-{n % 4}",
            "stdout",
            REQUEST.format(
                a=n % 251, b=n % 17, n=n * 31 % 5003, size=n * 7 % 9000, ms=n % 90, id=n * 0x9E3779B97F4A7C15 % 2**64
            ),
            "web",
        )
        for n in range(first, first + count)
    ]


async def timed(times: int, work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Milliseconds at the middle and at the 99th of a hundred."""
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        await work()
        spent.append((time.perf_counter() - begin) * 1000)
    cuts = quantiles(spent, n=100)
    return cuts[49], cuts[98]


async def logs(stores: Stores, home: Path, lines: int = LINES) -> None:
    """Ingest, size on disk, and the time to read the last lines of one app."""
    spent, cpu = 0.0, 0.0
    for begin in range(0, lines, 50 * BATCH):
        batches = [log_lines(first, BATCH) for first in range(begin, begin + 50 * BATCH, BATCH)]
        clock, used = time.perf_counter(), time.process_time()
        for batch in batches:
            await stores.logs.append("app-00001", batch)
        spent += time.perf_counter() - clock
        cpu += time.process_time() - used
    size = sum(file.stat().st_size for file in (home / "logs").rglob("*") if file.is_file())
    figure("log_ingest", lines / spent, "lines/s", batch=BATCH)
    figure("log_ingest_cpu", lines / cpu, "lines/cpu-s", batch=BATCH)
    figure("log_size", size / lines, "bytes/line", lines=lines)
    middle, worst = await timed(50, lambda: stores.logs.tail("app-00001", 100))
    figure("log_tail_100", middle, "ms", p99=round(worst, 2), lines=lines)
    middle, worst = await timed(3, lambda: stores.logs.tail("app-00001", 100, search="no such text"))
    figure("log_search_all", middle, "ms", lines=lines)


async def pages(stores: Stores, home: Path) -> None:
    """Pages and single apps among many."""
    database = await Database.open(home / "leeward.db")
    rows = [app_row(App(f"app-{number:05}"), None) | {"webhook_secret": None} for number in range(APPS)]
    async with database.write() as connection:
        await connection.execute(insert(apps), rows)
    await database.close()
    for name, after in (("first", ""), ("deep", f"app-{APPS - 100:05}")):
        middle, worst = await timed(200, lambda after=after: stores.apps.list(after, 50))  # type: ignore[misc]
        figure(f"page_{name}", middle, "ms", p99=round(worst, 2), apps=APPS, items=50)
    middle, worst = await timed(200, lambda: stores.apps.get("app-10000"))
    figure("app_by_name", middle, "ms", p99=round(worst, 2), apps=APPS)


async def queue(stores: Stores) -> None:
    """Deploys through the whole queue: create, claim, save; each with a flush to the disk."""
    count = 200
    begin = time.perf_counter()
    for number in range(count):
        await stores.deploys.create(
            Deploy(f"d{number}", f"app-{number:05}", DeployKind.CODE, SourceRef(SourceKind.NONE))
        )
    for _ in range(count):
        deploy = await stores.deploys.claim("me", datetime.now(UTC), 15)
        assert deploy is not None
        await stores.deploys.save(
            Deploy(deploy.id, deploy.app, deploy.kind, deploy.source, status=DeployStatus.LIVE), "me"
        )
    figure("deploy_queue", count / (time.perf_counter() - begin), "deploys/s", writes=3)
    middle, worst = await timed(200, lambda: stores.deploys.claim("me", datetime.now(UTC), 15))
    figure("idle_claim", middle, "ms", p99=round(worst, 2))


async def samples(stores: Stores, home: Path) -> None:
    """Two hours of 500 series at 15 s."""
    series, start = 500, 1_764_000_000.0
    begin, used = time.perf_counter(), time.process_time()
    for step in range(480):
        values = {f"app-{n:05}/web/i{n}/cpu_cores": ((step * 37 + n * 11) % 1000) / 997 for n in range(series)}
        await stores.samples.record(start + step * 15, values)
    figure("sample_ingest", series * 480 / (time.perf_counter() - begin), "samples/s")
    figure("sample_ingest_cpu", series * 480 / (time.process_time() - used), "samples/cpu-s")
    middle, worst = await timed(50, lambda: stores.samples.series("app-00007/", start, start + 7200, 60))
    figure("sample_series", middle, "ms", p99=round(worst, 2))


def memory() -> float:
    """MiB of this process, shared pages in proportion."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) / 1024


async def main() -> None:
    """Everything, in a home that goes away."""
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        home = Path(folder)
        begin = time.perf_counter()
        opened = await open_stores(Settings(home=home, logs_mib=1024), Clock())
        figure("open_first", (time.perf_counter() - begin) * 1000, "ms")
        await opened.close()
        begin = time.perf_counter()
        async with await open_stores(Settings(home=home, logs_mib=1024), Clock()) as stores:
            figure("open_again", (time.perf_counter() - begin) * 1000, "ms")
            await pages(stores, home)
            await queue(stores)
            await samples(stores, home)
            await logs(stores, home)
            figure("memory_after", memory(), "MiB")


if __name__ == "__main__":
    asyncio.run(main())
