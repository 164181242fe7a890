"""Keep the regions, and the credentials of their clusters sealed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from leeward.errors import NotFound
from leeward.model.region import LOCAL, EngineKind, Profile, Region
from leeward.model.secret import Secret
from leeward.ports import Clock
from leeward.store.access import PLATFORM
from leeward.store.database import Database, to_the_end
from leeward.store.rows import moment, seconds
from leeward.store.tables import regions
from leeward.store.vault import Vault


class SqlRegionStore:
    """Regions by name."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    @to_the_end
    async def put(self, region: Region) -> None:
        """Add a region, or change it; its time of creation stays."""
        values = {
            "engine": region.engine.value,
            "context": region.context,
            "registry": region.registry,
            "profile": region.profile.value,
        }
        async with self._database.write() as connection:
            sealed = None
            if region.credentials is not None:
                key = await self._vault.data_key(connection, PLATFORM, self._clock.now().timestamp())
                sealed = self._vault.seal(key, _place(region.name), region.credentials.reveal())
            change = update(regions).where(regions.c.name == region.name).values(**values, credentials=sealed)
            if (await connection.execute(change)).rowcount == 0:
                made = seconds(region.created_at or self._clock.now())
                row = insert(regions).values(name=region.name, **values, credentials=sealed, created_at=made)
                await connection.execute(row)

    async def get(self, name: str) -> Region:
        """Raises NotFound naming the regions that there are."""
        found = {region.name: region for region in await self.list()}
        if name not in found:
            raise no_region(name, found)
        return found[name]

    async def list(self) -> Sequence[Region]:
        """All by name."""
        async with self._database.read() as connection:
            return [self._region(row) for row in await connection.execute(select(regions).order_by(regions.c.name))]

    @to_the_end
    async def delete(self, name: str) -> None:
        """Forget one. Raises NotFound."""
        async with self._database.write() as connection:
            gone = (await connection.execute(delete(regions).where(regions.c.name == name))).rowcount
        if not gone:
            raise no_region(name, [region.name for region in await self.list()])

    def _region(self, row: Any) -> Region:
        sealed = row.credentials
        return Region(
            name=row.name,
            engine=EngineKind(row.engine),
            credentials=None if sealed is None else Secret(self._vault.open(_place(row.name), sealed)),
            context=row.context,
            registry=row.registry,
            profile=Profile(row.profile),
            created_at=moment(row.created_at),
        )


def no_region(name: str, known: "Sequence[str] | dict[str, Region]") -> NotFound:
    """The refusal of a region that nobody added."""
    there = ", ".join((LOCAL, *sorted(known)))
    return NotFound(f"there is no region '{name}', but {there}", hint="add it with `lee regions add`", code="no-region")


def _place(name: str) -> tuple[str, ...]:
    return ("region", name, "credentials")
