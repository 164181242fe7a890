"""Keep what the images of releases are made of, and what is known of base images."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from leeward.model.image import (
    BaseMark,
    BaseState,
    Component,
    Ecosystem,
    ImageFacts,
    LayerPackages,
    Standing,
    Upgrade,
)
from leeward.store.database import Database, put, to_the_end
from leeward.store.rows import clean, dump, moment, seconds
from leeward.store.tables import apps, bases, image_layers, images, layers, packages, releases

# How many values one query names: SQLite has a limit.
_AT_ONCE = 500


class SqlImageStore:
    """Layers are kept once for all images that have them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @to_the_end
    async def put(self, app: str, number: int, facts: ImageFacts, found: Mapping[str, LayerPackages]) -> None:
        """Keep what the image of a release is, and what its layers say; repeatable."""
        key = and_(images.c.app == app, images.c.number == number)
        base = None if facts.base is None else dump(asdict(facts.base))
        places = [
            {"app": app, "number": number, "place": place, "layer": layer} for place, layer in enumerate(facts.layers)
        ]
        async with self._database.write() as connection:
            # A foreign key does not cascade where it is switched off: both are said.
            await connection.execute(
                delete(image_layers).where(image_layers.c.app == app, image_layers.c.number == number)
            )
            await connection.execute(delete(images).where(key))
            await connection.execute(insert(images).values(app=app, number=number, arch=facts.arch, base=base))
            if places:
                await connection.execute(insert(image_layers), places)
            known = await _known(connection, found)
            for layer, said in found.items():
                if layer not in known:
                    await _add(connection, layer, said)

    async def known(self, wanted: Collection[str]) -> frozenset[str]:
        """Those of these layers that were looked into."""
        async with self._database.read() as connection:
            return await _known(connection, wanted)

    async def facts(self, app: str, number: int, reference: str) -> ImageFacts | None:
        """What the image of a release is; None when nobody looked into it."""
        key = and_(images.c.app == app, images.c.number == number)
        order = (
            select(image_layers.c.layer)
            .where(image_layers.c.app == app, image_layers.c.number == number)
            .order_by(image_layers.c.place)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(select(images).where(key))).first()
            if row is None:
                return None
            found = tuple((await connection.execute(order)).scalars())
        return ImageFacts(reference, found, row.arch, _mark(row.base))

    async def packages(self, wanted: Sequence[str]) -> Sequence[LayerPackages]:
        """What each of these layers says, in their order; nothing for one that is not known."""
        found: dict[str, LayerPackages] = {}
        async with self._database.read() as connection:
            for part in _parts(wanted):
                rows = await connection.execute(select(layers).where(layers.c.layer.in_(part)))
                found |= {row.layer: _packages(row.packages) for row in rows}
        return [found.get(layer, LayerPackages()) for layer in wanted]

    async def find(self, name: str) -> Sequence[tuple[str, int]]:
        """The live releases that have a layer which speaks of a package with this name; `*` stands for any text."""
        like = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        query = (
            select(apps.c.name, apps.c.live)
            .join(image_layers, and_(image_layers.c.app == apps.c.name, image_layers.c.number == apps.c.live))
            .join(packages, packages.c.layer == image_layers.c.layer)
            .where(packages.c.name.like(like, escape="\\") if "*" in name else packages.c.name == name)
            .distinct()
            .order_by(apps.c.name)
        )
        async with self._database.read() as connection:
            return [(row.name, row.live) for row in await connection.execute(query)]

    async def live(self) -> Sequence[Standing]:
        """Every app with a live release, by name, with the base that its image stands on."""
        query = (
            select(apps.c.name, apps.c.live, images.c.base)
            .outerjoin(images, and_(images.c.app == apps.c.name, images.c.number == apps.c.live))
            .where(apps.c.live.is_not(None), apps.c.deleted.is_(False))
            .order_by(apps.c.name)
        )
        async with self._database.read() as connection:
            return [Standing(row.name, row.live, _mark(row.base)) for row in await connection.execute(query)]

    async def bases(self) -> Mapping[str, BaseState]:
        """What is known of each base, by flavour."""
        async with self._database.read() as connection:
            return {row.flavour: _state(row) for row in await connection.execute(select(bases))}

    @to_the_end
    async def put_base(self, state: BaseState) -> None:
        """Keep what is known of a base."""
        values = {
            "content": state.content,
            "former": state.former,
            "newer": dump([list(astuple(upgrade)) for upgrade in state.newer]),
            "problem": clean(state.problem)[:1000],
            "checked_at": seconds(state.checked_at),
        }
        async with self._database.write() as connection:
            await put(connection, bases, {"flavour": state.flavour}, values)

    @to_the_end
    async def sweep(self, keep: int) -> None:
        """Forget the images of releases but the last `keep` of each app and the live one, and layers that none has."""
        last = select(func.max(releases.c.number)).where(releases.c.app == images.c.app).scalar_subquery()
        live = select(apps.c.live).where(apps.c.name == images.c.app).scalar_subquery()
        old = and_(images.c.number <= last - keep, or_(live.is_(None), images.c.number != live))
        async with self._database.write() as connection:
            gone = (await connection.execute(select(images.c.app, images.c.number).where(old))).all()
            for app, number in gone:
                for table in (image_layers, images):
                    await connection.execute(delete(table).where(table.c.app == app, table.c.number == number))
            needed = select(image_layers.c.layer)
            for column in (packages.c.layer, layers.c.layer):
                await connection.execute(delete(column.table).where(column.not_in(needed)))


async def _known(connection: AsyncConnection, wanted: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for part in _parts(tuple(wanted)):
        found |= set((await connection.execute(select(layers.c.layer).where(layers.c.layer.in_(part)))).scalars())
    return frozenset(found)


async def _add(connection: AsyncConnection, layer: str, said: LayerPackages) -> None:
    components = [[clean(str(field)) for field in astuple(component)] for component in said.components]
    text = dump({"components": components, "removed": _cleaned(said.removed), "files": _cleaned(said.files)})
    await connection.execute(insert(layers).values(layer=layer, packages=text))
    names = sorted({component[1] for component in components})
    if names:
        await connection.execute(insert(packages), [{"name": name, "layer": layer} for name in names])


def _cleaned(texts: Sequence[str]) -> list[str]:
    return [clean(text) for text in texts]


def _parts(wanted: Sequence[str]) -> Sequence[Sequence[str]]:
    return [wanted[at : at + _AT_ONCE] for at in range(0, len(wanted), _AT_ONCE)]


def _packages(text: str) -> LayerPackages:
    value = json.loads(text)
    components = tuple(Component(Ecosystem(kind), *rest) for kind, *rest in value["components"])
    return LayerPackages(components, tuple(value["removed"]), tuple(value["files"]))


def _mark(text: str | None) -> BaseMark | None:
    return None if text is None else BaseMark(**json.loads(text))


def _state(row: Any) -> BaseState:
    newer = tuple(Upgrade(*fields) for fields in json.loads(row.newer))
    return BaseState(row.flavour, row.content, row.former, newer, moment(row.checked_at), row.problem)
