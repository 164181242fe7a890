"""Apps: make, see, change how much runs, end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from leeward.errors import Conflict, Invalid, Problem
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.app import AppSpec, Instances
from leeward.model.release import Deploy, DeployKind, Release
from leeward.model.run import Run
from leeward.model.runtime import InstanceState
from leeward.model.sizes import Size
from leeward.model.wish import App, Override
from leeward.plan.release import WEB, overridden
from leeward.plan.timed import timed_names
from leeward.plan.volumes import VolumeLimits, refused
from leeward.ports import Page
from leeward.ports.keeping import region_problems
from leeward.ports.projects import refuse_over_quota
from leeward.services.context import Context, require, standing
from leeward.services.deploys import Deploys
from leeward.services.hosts import refuse_taken
from leeward.services.views import (
    AppSummary,
    AppView,
    InstanceView,
    deploy_view,
    health,
    hosts,
    instance_view,
    newest_by_app,
    process_views,
    source_view,
    version,
)

Wanted = Mapping[str, int | Mapping[str, int] | Instances]
"""Instances by process: a number, or `{min, max, cpu_percent}`."""

# One page of the newest deploys tells how nearly every app is.
RECENT = 200


class Apps:
    """The apps and how much of each runs."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._stores = context.stores
        self._deploys = deploys

    async def create(
        self, caller: Caller, name: str, spec: Mapping[str, Any] | AppSpec | None = None, project: str = "default"
    ) -> AppView:
        """Make an app with nothing to run yet. Raises Invalid, Conflict when the name is taken."""
        require(caller, Scope.DEPLOY)
        parse.spec({"name": name})
        try:
            parse.spec({"name": project})
        except Invalid as error:
            raise Invalid([Problem("project", problem.message, problem.hint) for problem in error.problems]) from error
        wished = spec if isinstance(spec, AppSpec) else parse.spec(spec or {})
        known = await self._stores.apps.find(name)
        if known is not None:
            standing(known)
        await refuse_taken(self._context, name, wished.domains)
        settings = self._context.settings
        limits = VolumeLimits(settings.volume_gib * 1024, settings.volumes_per_app)
        if problems := refused(wished, limits):
            raise Invalid(problems)
        await self._stores.apps.create(App(name, project=project, spec=wished, created_at=self._context.clock.now()))
        await self._context.note(caller, "app.created", f"app '{name}' created", name)
        self._context.poke(f"app/{name}")
        return await self.show(name)

    async def list(self, after: str = "", limit: int = 50, search: str = "") -> Page[AppSummary]:
        """By name, also those being deleted; with a search only those whose name has that in it. Asks no engine."""
        page = await self._stores.apps.list(after, limit, deleted=True, part=search.strip().lower())
        recent = await self._stores.deploys.list(limit=RECENT)
        known = newest_by_app((*await self._stores.deploys.active(), *recent.items))
        items = []
        for app in page.items:
            newest = known.get(app.name)
            if newest is None and recent.next and app.live is None and not app.deleted:
                newest = next(iter((await self._stores.deploys.list(app.name, limit=1)).items), None)
            items.append(self._summary(app, newest))
        return Page(tuple(items), page.next)

    def _summary(self, app: App, newest: Deploy | None) -> AppSummary:
        seen = self._context.seen.get(app.name)
        state = health(app, seen, newest)
        # Those that drain after a deploy are on their way out, and not missing.
        mine = [i for i in seen.instances if i.generation == app.generation and i.state is not InstanceState.DRAINING]
        return AppSummary(
            name=app.name,
            project=app.project,
            status=state.status,
            reason=state.reason,
            hint=state.hint,
            release=version(app.live),
            url=self._context.settings.url_of(app.name),
            ready=sum(1 for instance in mine if instance.state is InstanceState.READY),
            instances=len(mine),
            deploy=deploy_view(newest, self._context.settings) if newest else None,
            created_at=app.created_at,
        )

    async def show(self, name: str) -> AppView:
        """All of one app. Raises NotFound."""
        app = await self._stores.apps.get(name)
        release = await self._live(app)
        active = [deploy for deploy in await self._stores.deploys.active() if deploy.app == name]
        recent = (await self._stores.deploys.list(name, limit=1)).items
        newest = newest_by_app((*active, *recent)).get(name)
        seen = self._context.seen.get(name)
        state = health(app, seen, newest)
        return AppView(
            name=name,
            project=app.project,
            status=state.status,
            reason=state.reason,
            hint=state.hint,
            release=version(app.live),
            image=release.image if release else "",
            commit=release.commit if release else None,
            message=release.message if release else "",
            url=self._context.settings.url_of(name),
            urls=tuple(domain.url for domain in hosts(app, release, self._context.settings)),
            spec=overridden(app.spec, app.overrides),
            processes=process_views(
                app, release, seen, await self._last_runs(name, release), self._context.clock.now()
            ),
            source=source_view(app.source) if app.source else None,
            deploy=await self._deploys.view(newest) if newest else None,
            hook=bool(app.hook_digest),
            created_at=app.created_at,
        )

    async def _live(self, app: App) -> Release | None:
        return await self._stores.releases.get(app.name, app.live) if app.live is not None else None

    async def _last_runs(self, name: str, release: Release | None) -> Mapping[str, Run]:
        """The last run of each process with a schedule."""
        found = {}
        for process in timed_names(release):
            for run in (await self._stores.runs.list(name, process, limit=1)).items:
                found[process] = run
        return found

    async def delete(self, caller: Caller, name: str) -> None:
        """Ask for the end of an app and all that is its own; may be asked again. Raises NotFound."""
        require(caller, Scope.ADMIN)
        app = await self._stores.apps.get(name)
        if app.deleted:
            return
        await self._stores.apps.update(name, lambda old: replace(old, deleted=True))
        for deploy in await self._stores.deploys.active():
            if deploy.app == name and not deploy.cancel:
                try:
                    await self._stores.deploys.cancel(deploy.id)
                except Conflict:
                    continue  # it ended by itself meanwhile
        await self._context.note(caller, "app.deleting", f"app '{name}' is being deleted", name)
        self._context.poke(f"app/{name}")

    async def scale(
        self, caller: Caller, name: str, processes: Wanted | None = None, size: Size | str | None = None
    ) -> Deploy:
        """Set how many instances run, and of which size (of the named processes; of all when none is named).

        Raises Invalid, NotFound, Conflict when nothing is live.
        """
        require(caller, Scope.DEPLOY)
        app = await self._context.standing(name)
        release = await self._live(app)
        if release is None:
            raise Conflict(
                f"app '{name}' has no release yet",
                hint="deploy it first, or say it in leeward.yaml",
                code="nothing-live",
            )
        known = [process.name for process in process_views(app, release, self._context.seen.get(name))]
        changes = wanted_overrides(processes or {}, size, known)
        _refuse_copies(changes, timed_names(release))
        wished = overridden(release.spec, _with(app, changes))
        await refuse_over_quota(self._stores, self._context.settings.quotas, app, wished)
        if problems := await region_problems(self._context.engine, app, wished):
            raise Invalid(problems)
        await self._stores.apps.update(name, lambda old: replace(standing(old), overrides=_with(old, changes)))
        said = ", ".join(_said(process, change) for process, change in sorted(changes.items()))
        await self._context.note(caller, "app.scaled", f"app '{name}' scaled: {said}", name)
        return await self._deploys.renew(caller, app, DeployKind.SCALE, f"scale {said}")

    async def restart(self, caller: Caller, name: str) -> Deploy:
        """Replace every instance by a new one of the same release, dropping nothing. Raises NotFound, Conflict."""
        require(caller, Scope.DEPLOY)
        app = await self._context.standing(name)
        deploy = await self._deploys.renew(caller, app, DeployKind.RESTART, "restart")
        await self._context.note(caller, "app.restarted", f"app '{name}' restarted", name, {"deploy": deploy.id})
        return deploy

    async def purge_cache(self, caller: Caller, name: str) -> None:
        """Empty the edge's cache of an app. Raises NotFound."""
        require(caller, Scope.DEPLOY)
        await self._context.standing(name)
        await self._stores.apps.update(name, lambda old: replace(old, cache_generation=old.cache_generation + 1))
        await self._context.note(caller, "cache.purged", f"the edge's cache of '{name}' was emptied", name)
        self._context.poke(f"app/{name}")

    async def instances(self, name: str) -> Sequence[InstanceView]:
        """What runs now, as the engine says. Raises NotFound."""
        await self._stores.apps.get(name)
        observed = await self._context.engine.observe(name)
        order = sorted(observed.instances, key=lambda i: (i.process != WEB, i.process, i.started_at, i.id))
        return tuple(instance_view(instance) for instance in order)

    async def exec(self, caller: Caller, name: str, command: Sequence[str], process: str = "") -> tuple[int, bytes]:
        """Run a command in a ready instance: exit code and output. Raises Invalid, NotFound, Conflict."""
        require(caller, Scope.DEPLOY)
        if not command or not command[0] or len(command) > 256 or any("\0" in part for part in command):
            raise Invalid([Problem("command", "must be 1 to 256 arguments", "write it like ['python', '-V']")])
        await self._context.standing(name)
        observed = await self._context.engine.observe(name)
        able = [i for i in observed.instances if i.state in (InstanceState.READY, InstanceState.UNHEALTHY)]
        names = sorted({instance.process for instance in able})
        wanted = process or (WEB if WEB in names or not names else names[0])
        chosen = next((i for i in observed.of(wanted) if i in able), None)
        if chosen is None:
            hint = f"running are {', '.join(names)}" if names else f"see `lee ps {name}`"
            raise Conflict(f"no instance of '{wanted}' of app '{name}' runs", hint=hint, code="nothing-running")
        data = {"instance": chosen.id, "program": command[0][:100]}
        await self._context.note(caller, "app.exec", f"ran '{command[0][:100]}' in '{name}'", name, data)
        return await self._context.engine.exec(chosen.id, tuple(command))


def wanted_overrides(processes: Wanted, size: Size | str | None, known: Sequence[str]) -> dict[str, Override]:
    """What a scale request says of each process. Raises Invalid that names every wrong part."""
    problems: list[Problem] = []
    if size is not None and size not in list(Size):
        problems.append(Problem("size", f"must be one of {', '.join(Size)}, not '{size}'"))
    if size is None and not processes:
        problems.append(Problem("processes", "says nothing to change", "write it like 'web=3'"))
    counts: dict[str, Instances | None] = {}
    for name, count in (processes or dict.fromkeys(known)).items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(known)}"
            problems.append(Problem(f"processes/{name}", f"there is no process '{name}'", hint))
            continue
        try:
            counts[name] = None if count is None else Instances.model_validate(count)
        except ValidationError as error:
            problems += [_problem(name, item) for item in error.errors()]
    if problems:
        raise Invalid(problems)
    return {name: Override(count, Size(size) if size is not None else None) for name, count in counts.items()}


def _refuse_copies(changes: Mapping[str, Override], timed: Collection[str]) -> None:
    """Raises Invalid for several instances of what runs by the clock."""
    wrong = [name for name in sorted(timed) if (change := changes.get(name)) and change.instances]
    problems = [
        Problem(
            f"processes/{name}", f"{count.max} instances are not for a process with a schedule", "1 runs it, 0 does not"
        )
        for name in wrong
        if (count := changes[name].instances) is not None and count.max > 1
    ]
    if problems:
        raise Invalid(problems)


def _problem(process: str, item: Any) -> Problem:
    path = "/".join(["processes", process, *(str(part) for part in item["loc"])])
    message = str(item["msg"]).removeprefix("Value error, ")
    given = f", not '{item['input']}'" if item["loc"] else ""
    return Problem(path, message[:1].lower() + message[1:] + given)


def _with(app: App, changes: Mapping[str, Override]) -> dict[str, Override]:
    merged = dict(app.overrides)
    for name, change in changes.items():
        old = merged.get(name, Override())
        merged[name] = Override(change.instances or old.instances, change.size or old.size)
    return merged


def _said(process: str, change: Override) -> str:
    parts = []
    if change.instances is not None:
        low, high = change.instances.min, change.instances.max
        parts.append(f"{process}={low}" if low == high else f"{process}={low}-{high}")
    if change.size is not None:
        parts.append(f"{process} {change.size}")
    return " ".join(parts)
