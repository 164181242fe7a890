"""Keep what builds print in the database, so that whoever leads next can show it; all other lines stay files here.

Lines of instances need not follow: the next control plane asks the nodes for them again.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import zstandard
from sqlalchemy import delete, func, insert, select

from leeward.model.runtime import LogLine
from leeward.store.database import Database, to_the_end
from leeward.store.logfiles import LEVEL
from leeward.store.loglines import Wanted, encode, is_build, newest_first, one_line_each
from leeward.store.logs import MOST, FileLogStore
from leeward.store.tables import build_lines

# Of an app's budget for logs; an app's own lines have the rest.
SHARE = 4
_AT_ONCE = 64
_LARGEST = 256 * 1024 * 1024


class SharedLogStore(FileLogStore):
    """The port `LogStore` beside a database server."""

    def __init__(self, folder: Path, budget_bytes: int, database: Database) -> None:
        super().__init__(folder, budget_bytes)
        self._database = database

    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        """Keep lines; a crash right after loses none."""
        await super().append(app, [line for line in lines if not is_build(line.source)])
        built: defaultdict[str, list[LogLine]] = defaultdict(list)
        for line in one_line_each([line for line in lines if is_build(line.source)]):
            built[line.source].append(line)
        for source, mine in built.items():
            await self._add(app, source, mine)
            self._hand_on(app, mine)

    async def tail(
        self, app: str, limit: int = 100, source: str = "", process: str = "", search: str = "", before: float = 0.0
    ) -> Sequence[LogLine]:
        """The last lines, oldest first; a build's come from the database."""
        if not is_build(source):
            return await super().tail(app, limit, source, process, search, before)
        wanted, limit = Wanted(source, process, search, before), max(1, min(limit, MOST))
        lines: list[LogLine] = []
        below = 2**62
        while len(lines) < limit and (rows := await self._blocks(app, source, below)):
            for id, data in rows:
                piece = zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST)
                lines += newest_first(piece, wanted)
                below = id
        return sorted(reversed(lines), key=lambda line: line.at)[-limit:]

    async def last_at(self, app: str, source: str) -> float:
        """Unix seconds of the newest line of a source, 0.0 when there is none."""
        if not is_build(source):
            return await super().last_at(app, source)
        newest = select(func.max(build_lines.c.last_at)).where(build_lines.c.app == app, build_lines.c.source == source)
        async with self._database.read() as connection:
            return float((await connection.execute(newest)).scalar() or 0.0)

    async def forget(self, app: str) -> None:
        """Delete all lines of an app; repeatable."""
        await super().forget(app)
        await self._drop(app, 2**62)

    async def sweep(self, budget_bytes: int) -> int:
        """Delete the oldest lines until each app is within the budget; bytes that were freed."""
        freed = await super().sweep(budget_bytes)
        sizes = select(build_lines.c.app, func.sum(build_lines.c.size)).group_by(build_lines.c.app)
        async with self._database.read() as connection:
            over = [app for app, size in (await connection.execute(sizes)).all() if size > budget_bytes // SHARE]
        for app in over:
            freed += await self._trim(app, budget_bytes // SHARE)
        return freed

    async def _trim(self, app: str, budget_bytes: int) -> int:
        newest = select(build_lines.c.id, build_lines.c.size).where(build_lines.c.app == app)
        async with self._database.read() as connection:
            rows = (await connection.execute(newest.order_by(build_lines.c.id.desc()))).all()
        kept = freed = last = 0
        for id, size in rows:
            kept += size
            if kept > budget_bytes:
                last, freed = max(last, id), freed + size
        await self._drop(app, last)
        return freed

    @to_the_end
    async def _drop(self, app: str, last: int) -> None:
        """Delete an app's blocks up to an id."""
        async with self._database.write() as connection:
            await connection.execute(delete(build_lines).where(build_lines.c.app == app, build_lines.c.id <= last))

    @to_the_end
    async def _add(self, app: str, source: str, lines: Sequence[LogLine]) -> None:
        data = zstandard.ZstdCompressor(level=LEVEL).compress(encode(lines))
        last_at = max(line.at for line in lines)
        async with self._database.write() as connection:
            values = {"app": app, "source": source, "last_at": last_at, "size": len(data), "data": data}
            await connection.execute(insert(build_lines).values(**values))

    async def _blocks(self, app: str, source: str, below: int) -> Sequence[tuple[int, bytes]]:
        chosen = (build_lines.c.app == app, build_lines.c.source == source, build_lines.c.id < below)
        newest = select(build_lines.c.id, build_lines.c.data).where(*chosen).order_by(build_lines.c.id.desc())
        async with self._database.read() as connection:
            return [(row.id, row.data) for row in (await connection.execute(newest.limit(_AT_ONCE))).all()]
