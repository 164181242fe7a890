"""The places where apps may run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leeward.errors import Conflict, Invalid, LeewardError, Problem
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.region import LOCAL, EngineKind, Examined, Region
from leeward.plan.timed import timed
from leeward.plan.workload import workloads
from leeward.ports import every_app
from leeward.services.context import Context, require
from leeward.settings import Settings


@dataclass(frozen=True, slots=True)
class RegionView:
    """A region without its credentials; `apps` are those whose live release runs there."""

    name: str
    engine: str
    context: str
    registry: str
    profile: str
    options: Mapping[str, str]
    apps: tuple[str, ...]
    created_at: datetime | None


class Regions:
    """Clusters beside this machine: added once they were found to be usable."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stores = context.stores

    async def list(self) -> Sequence[RegionView]:
        """This machine first, then the others by name."""
        homes = await self._homes()
        this = _here(self._context.settings)
        return tuple(_view(region, homes.get(region.name, [])) for region in (this, *await self._stores.regions.list()))

    async def add(self, caller: Caller, region: Region) -> RegionView:
        """Add a cluster, or give a known one new credentials.

        Raises Invalid, naming all that is wrong with the cluster: it must answer, and take what apps need.
        """
        require(caller, Scope.ADMIN)
        _check(region)
        wrong = [found for found in await self._context.places.examine(region) if found.needed and not found.ok]
        if wrong:
            raise Invalid([Problem(found.name, found.text, found.hint) for found in wrong], code="region-unusable")
        await self._stores.regions.put(region)
        await self._context.places.refresh()
        await self._context.note(caller, "region.added", f"region '{region.name}' added", data={"region": region.name})
        return _view(await self._stores.regions.get(region.name), (await self._homes()).get(region.name, []))

    async def remove(self, caller: Caller, name: str) -> None:
        """Forget a region, and what builds there. Raises NotFound, Conflict while an app runs there."""
        require(caller, Scope.ADMIN)
        if name == LOCAL:
            raise Conflict("region 'local' is this machine, and cannot be removed", hint="`lee down` stops it")
        region = await self._stores.regions.get(name)
        if apps := (await self._homes()).get(name):
            raise Conflict(
                f"region '{name}' runs {', '.join(apps[:8])}",
                hint="delete these apps, or deploy them with another region first",
                code="region-in-use",
            )
        text = f"region '{name}' removed"
        try:
            await self._context.places.leave(region)
        except LeewardError as error:
            # A cluster that is gone for ever must not keep its region.
            text += f"; what builds there was left where it is: {error.message}"
        await self._stores.regions.delete(name)
        await self._context.places.refresh()
        await self._context.note(caller, "region.removed", text, data={"region": name})

    async def examine(self, name: str) -> Sequence[Examined]:
        """What is right and wrong with a region. Raises NotFound."""
        region = _here(self._context.settings) if name == LOCAL else await self._stores.regions.get(name)
        return await self._context.places.examine(region)

    async def render(self, app: str) -> Sequence[Mapping[str, Any]]:
        """The objects that an app's live release is in its region. Raises NotFound, Conflict, Invalid."""
        wish = await self._stores.apps.get(app)
        if wish.live is None:
            raise Conflict(f"app '{app}' has no release yet", hint="deploy it first", code="nothing-live")
        release = await self._stores.releases.get(app, wish.live)
        always = workloads(wish, release, wish.generation, frozenset())
        return self._context.places.render((*always, *timed(wish, release)))

    async def _homes(self) -> Mapping[str, Sequence[str]]:
        """Region to the apps whose live release names it, or whose next one would."""
        homes: dict[str, list[str]] = {}
        async for app in every_app(self._stores.apps):
            named = {app.spec.region}
            if app.live is not None:
                named.add((await self._stores.releases.get(app.name, app.live)).spec.region)
            for region in named:
                homes.setdefault(region, []).append(app.name)
        return homes


def _here(settings: Settings) -> Region:
    """The region that every platform has: this machine, or the cluster that the control plane runs in."""
    return Region(LOCAL, EngineKind.KUBERNETES if settings.pod else EngineKind.LOCAL)


def _check(region: Region) -> None:
    """Raises Invalid, with every problem."""
    problems = []
    try:
        parse.spec({"region": region.name})
    except Invalid as error:
        problems += [Problem("name", problem.message, problem.hint) for problem in error.problems]
    if region.name == LOCAL:
        problems.append(Problem("name", "'local' is this machine", "choose another name"))
    if region.engine is EngineKind.LOCAL:
        problems.append(Problem("engine", "'local' is what this machine has", "write 'kubernetes'"))
    elif region.credentials is None or not region.credentials.reveal().strip():
        problems.append(Problem("credentials", "must be set", "give the cluster's file with --kubeconfig"))
    if problems:
        raise Invalid(problems)


def _view(region: Region, apps: Sequence[str]) -> RegionView:
    return RegionView(
        name=region.name,
        engine=region.engine.value,
        context=region.context,
        registry=region.registry,
        profile=region.profile.value,
        options=region.options,
        apps=tuple(apps),
        created_at=region.created_at,
    )
