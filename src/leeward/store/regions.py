"""Keep the regions, and the credentials of their clusters sealed."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select

from leeward.errors import NotFound
from leeward.model.region import LOCAL, EngineKind, Profile, Region
from leeward.model.secret import Secret
from leeward.ports import Clock
from leeward.store.access import PLATFORM
from leeward.store.database import Database, put, to_the_end
from leeward.store.rows import dump, moment, seconds
from leeward.store.tables import regions
from leeward.store.vault import Vault

SECRETS = ("credentials", "pull_secret")


class SqlRegionStore:
    """Regions by name."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    @to_the_end
    async def put(self, region: Region) -> None:
        """Add a region, or change it; its time of creation stays."""
        values: dict[str, str | None] = {
            "engine": region.engine.value,
            "context": region.context,
            "registry": region.registry,
            "profile": region.profile.value,
            "options": dump(dict(region.options)),
        }
        async with self._database.write() as connection:
            key = await self._vault.data_key(connection, PLATFORM, self._clock.now().timestamp())
            for field in SECRETS:
                secret: Secret | None = getattr(region, field)
                place = _place(region.name, field)
                values[field] = None if secret is None else self._vault.seal(key, place, secret.reveal())
            made = seconds(region.created_at or self._clock.now())
            await put(connection, regions, {"name": region.name}, values, {"created_at": made})

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
        return Region(
            name=row.name,
            engine=EngineKind(row.engine),
            credentials=self._open(row.name, "credentials", row.credentials),
            pull_secret=self._open(row.name, "pull_secret", row.pull_secret),
            context=row.context,
            registry=row.registry,
            profile=Profile(row.profile),
            options=json.loads(row.options),
            created_at=moment(row.created_at),
        )

    def _open(self, name: str, field: str, sealed: str | None) -> Secret | None:
        return None if sealed is None else Secret(self._vault.open(_place(name, field), sealed))


def no_region(name: str, known: "Sequence[str] | dict[str, Region]") -> NotFound:
    """The refusal of a region that nobody added."""
    there = ", ".join((LOCAL, *sorted(known)))
    return NotFound(f"there is no region '{name}', but {there}", hint="add it with `lee regions add`", code="no-region")


def _place(name: str, field: str) -> tuple[str, ...]:
    return ("region", name, field)
