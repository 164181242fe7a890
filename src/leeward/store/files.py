"""Keep files in the database, in parts, for whichever control plane leads next."""

import asyncio
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from sqlalchemy import Select, delete, insert, select, update

from leeward.errors import Unavailable
from leeward.ports import Clock
from leeward.store.database import Database, put, to_the_end
from leeward.store.tables import kept_files, kept_parts

P = ParamSpec("P")
T = TypeVar("T")

PART_BYTES = 1024 * 1024
# A deploy that was just asked for is not yet among the busy ones.
YOUNG_S = 900.0


class SqlFileStore:
    """A part is a transaction of its own, so that a large file keeps no other writer waiting."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._writing: set[str] = set()

    async def put(self, name: str, file: Path) -> None:
        """Keep what is in `file` under a name; whoever reads meanwhile gets what was there before."""
        mark = secrets.token_hex(12)
        self._writing.add(mark)
        try:
            with await _thread(file.open, "rb") as stream:
                await self._write(name, mark, stream)
        finally:
            self._writing.discard(mark)

    async def _write(self, name: str, mark: str, stream: IO[bytes]) -> None:
        part, size = 0, 0
        while data := await _thread(stream.read, PART_BYTES):
            await self._add(mark, part, data)
            part, size = part + 1, size + len(data)
        await self._switch(name, mark, size)

    @to_the_end
    async def _add(self, mark: str, part: int, data: bytes) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(kept_parts).values(file=mark, part=part, data=data))

    @to_the_end
    async def _switch(self, name: str, mark: str, size: int) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(kept_parts).where(kept_parts.c.file.in_(_named(name))))
            values = {"file": mark, "size": size, "used_at": self._now()}
            await put(connection, kept_files, {"name": name}, values)

    async def mark(self, name: str) -> str:
        """What tells this content from the next one under the same name; '' when nothing is kept."""
        async with self._database.read() as connection:
            return str((await connection.execute(_named(name))).scalar() or "")

    async def get(self, name: str, file: Path) -> str:
        """Write what is kept to `file`; its mark, '' when nothing is kept."""
        mark = await self.mark(name)
        if not mark:
            return ""
        await self._touch(name)
        part = 0
        with await _thread(file.open, "wb") as stream:
            while (data := await self._part(mark, part)) is not None:
                await _thread(stream.write, data)
                part += 1
        # It was replaced meanwhile: a part may be missing.
        return mark if await self.mark(name) == mark else await self.get(name, file)

    async def drop(self, name: str) -> None:
        """Forget a name; repeatable."""
        await self._drop((name,))

    async def sweep(self, budget_bytes: int, busy: Collection[str]) -> int:
        """Delete what was not used for longest until all is within the budget, but nothing of `busy`; bytes freed."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(kept_files).order_by(kept_files.c.used_at))).all()
        over, gone, freed = sum(row.size for row in rows) - budget_bytes, [], 0
        for row in rows:
            if freed < over and row.name not in busy and self._now() - row.used_at >= YOUNG_S:
                gone.append(row.name)
                freed += row.size
        await self._drop(gone)
        return freed

    @to_the_end
    async def _drop(self, names: Collection[str]) -> None:
        """Delete these, and what a control plane that died in the middle has left."""
        async with self._database.write() as connection:
            await connection.execute(delete(kept_files).where(kept_files.c.name.in_(tuple(names))))
            wanted = select(kept_files.c.file)
            lost = kept_parts.c.file.not_in(wanted) & kept_parts.c.file.not_in(tuple(self._writing))
            await connection.execute(delete(kept_parts).where(lost))

    @to_the_end
    async def _touch(self, name: str) -> None:
        async with self._database.write() as connection:
            change = update(kept_files).where(kept_files.c.name == name).values(used_at=self._now())
            await connection.execute(change)

    async def _part(self, mark: str, part: int) -> bytes | None:
        chosen = (kept_parts.c.file == mark) & (kept_parts.c.part == part)
        async with self._database.read() as connection:
            found: bytes | None = (await connection.execute(select(kept_parts.c.data).where(chosen))).scalar()
            return found

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _named(name: str) -> Select[tuple[str]]:
    return select(kept_files.c.file).where(kept_files.c.name == name)


async def _thread(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(work, *args, **named)
    except OSError as error:
        raise Unavailable(f"a file could not be kept: {(error.strerror or str(error)).lower()}") from error
