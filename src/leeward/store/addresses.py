"""Keep the logins of sources' addresses sealed, those of older rows too."""

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.model.address import apart, together
from leeward.model.release import SourceKind, SourceRef
from leeward.store.database import Database
from leeward.store.rows import dump
from leeward.store.tables import apps, deploys
from leeward.store.vault import Vault

Owner = tuple[str, str]
"""What a source belongs to: `app` or `deploy`, and its name."""


async def sealed(
    connection: AsyncConnection, vault: Vault, project: str, now: float, owner: Owner, source: SourceRef | None
) -> str | None:
    """A source as JSON text; a login in its address is sealed for this owner and this address."""
    if source is None:
        return None
    values = asdict(source)
    address, login = apart(source.url)
    if login:
        key = await vault.data_key(connection, project, now)
        values |= {"url": address, "login": vault.seal(key, _place(owner, address), login)}
    return dump(values)


def opened(vault: Vault, owner: Owner, stored: str | None) -> SourceRef | None:
    """A source from JSON text. Raises Conflict when its login was sealed for another owner or address."""
    if stored is None:
        return None
    values = json.loads(stored)
    if login := values.pop("login", ""):
        values["url"] = together(values["url"], vault.open(_place(owner, values["url"]), login))
    return SourceRef(**{**values, "kind": SourceKind(values["kind"])})


async def seal_all(database: Database, vault: Vault, now: float) -> int:
    """Seal what an older version stored in clear; how many rows that were. Repeatable."""
    changed = 0
    async with database.write() as connection:
        if connection.dialect.name == "sqlite":
            # What a row no longer holds is overwritten in the file.
            await connection.execute(text("PRAGMA secure_delete=ON"))
        mine = select(apps.c.name, apps.c.source, apps.c.project).where(apps.c.source.like("%://%@%"))
        for row in (await connection.execute(mine)).all():
            if (source := _clear(row.source)) is not None:
                value = await sealed(connection, vault, row.project, now, ("app", row.name), source)
                await connection.execute(update(apps).where(apps.c.name == row.name).values(source=value))
                changed += 1
        theirs = (
            select(deploys.c.id, deploys.c.source, apps.c.project)
            .join(apps, apps.c.name == deploys.c.app)
            .where(deploys.c.source.like("%://%@%"))
        )
        for row in (await connection.execute(theirs)).all():
            if (source := _clear(row.source)) is not None:
                value = await sealed(connection, vault, row.project, now, ("deploy", row.id), source)
                await connection.execute(update(deploys).where(deploys.c.id == row.id).values(source=value))
                changed += 1
    if changed and connection.dialect.name == "sqlite":
        async with database.read() as reader:
            await reader.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    return changed


def _clear(stored: str) -> SourceRef | None:
    """A source whose login is not sealed."""
    values: dict[str, Any] = json.loads(stored)
    if "login" in values or not apart(values.get("url", ""))[1]:
        return None
    return SourceRef(**{**values, "kind": SourceKind(values["kind"])})


def _place(owner: Owner, address: str) -> tuple[str, ...]:
    return ("source", *owner, address)
