"""Which packages are in which app."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from leeward.errors import Conflict, Invalid, NotFound, Problem
from leeward.model.image import Component
from leeward.plan.contents import merged
from leeward.plan.cyclonedx import document
from leeward.services.context import Context
from leeward.services.platform import version


@dataclass(frozen=True, slots=True)
class FoundPackage:
    """A package in the live release of an app."""

    app: str
    release: str
    ecosystem: str
    name: str
    version: str
    purl: str
    path: str


class Packages:
    """Lists of packages, made of the layers of images."""

    def __init__(self, context: Context) -> None:
        self._stores = context.stores

    async def bill(self, app: str, number: int | None = None) -> Mapping[str, Any]:
        """The software bill of materials of a release, by default the live one, as CycloneDX. Raises NotFound."""
        if number is None:
            number = (await self._stores.apps.get(app)).live
            if number is None:
                raise Conflict(f"app '{app}' has no release yet", hint="deploy it first", code="nothing-live")
        release = await self._stores.releases.get(app, number)
        components = await self._components(app, number)
        if components is None:
            raise NotFound(
                f"nobody looked into the image of '{app}' {release.version}",
                hint="lists are kept of the last releases, and made within the hour",
                code="no-sbom",
            )
        return document(release, components, version())

    async def find(self, name: str) -> Sequence[FoundPackage]:
        """The live releases that have a package with this name; `*` stands for any text. Raises Invalid."""
        name = name.strip()
        if not name.strip("*"):
            raise Invalid([Problem("name", "must name a package", "write it like 'openssl' or 'libssl*'")])
        pattern = name.replace("[", "[[]").replace("?", "[?]")
        found: list[FoundPackage] = []
        for app, number in await self._stores.images.find(name):
            for one in await self._components(app, number) or ():
                if fnmatchcase(one.name, pattern):
                    path = f"/{one.path}"
                    where = (one.ecosystem.value, one.name, one.version, one.purl, path)
                    found.append(FoundPackage(app, f"v{number}", *where))
        return tuple(found)

    async def _components(self, app: str, number: int) -> Sequence[Component] | None:
        facts = await self._stores.images.facts(app, number, "")
        return None if facts is None else merged(await self._stores.images.packages(facts.layers))
