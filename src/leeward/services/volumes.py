"""Volumes: see them, remove those that nothing needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from leeward.errors import Conflict, NotFound
from leeward.model.access import Caller, Scope
from leeward.model.app import AppSpec
from leeward.model.volume import Volume, shown_size
from leeward.ports import Keeps
from leeward.services.context import Context, require


@dataclass(frozen=True, slots=True)
class VolumeView:
    """One volume; `state` is used, idle (the app wishes for it, and nothing runs) or kept (nothing wishes for it)."""

    app: str
    process: str
    name: str
    project: str
    region: str
    path: str
    size: str
    size_mib: int
    used_bytes: int | None
    used_percent: float | None
    enforced: bool
    """Whether a write over the size fails; else it is only measured."""
    state: str
    used_by: tuple[str, ...]
    problem: str
    hint: str


class Volumes:
    """The disk space that outlives instances."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stores = context.stores

    async def list(self, app: str = "", project: str = "") -> Sequence[VolumeView]:
        """Of one app or of all, of one project or of all, also of apps that are gone."""
        found = await self._there(app, project)
        owners = {(volume.app, volume.project) for volume in found}
        specs = {owner: await self._wished(*owner) for owner in owners}
        return tuple(_view(volume, specs[volume.app, volume.project]) for volume in found)

    async def delete(
        self, caller: Caller, app: str, process: str, name: str, region: str = "", project: str = ""
    ) -> None:
        """Remove a volume with all that is in it. Raises NotFound, Conflict while the app uses or wishes for it."""
        require(caller, Scope.ADMIN)
        title = f"{process}/{name}"
        there = await self._there(app, project)
        found = [volume for volume in there if volume.title == title and region in ("", volume.region)]
        if not found:
            names = ", ".join(sorted({f"'{volume.title}'" for volume in there}))
            hint = f"it has {names}" if names else "see `lee volumes list`"
            where = f" in project '{project}'" if project else ""
            raise NotFound(f"app '{app}' has no volume '{title}'{where}", hint=hint)
        if len(found) > 1:
            raise _several(found)
        volume = found[0]
        spec = await self._wished(app, volume.project)
        if spec is not None and spec.region == volume.region and _named(spec, volume):
            raise Conflict(
                f"volume '{title}' is in the live release of '{app}'",
                hint="take it out of leeward.yaml and deploy, or delete the app first",
                code="volume-in-use",
            )
        assert isinstance(self._context.engine, Keeps)
        await self._context.engine.delete_volume(volume)
        text = f"volume '{title}' of '{app}' deleted with all that was in it"
        data = {"volume": title, "region": volume.region, "project": volume.project}
        await self._context.note(caller, "volume.deleted", text, app, data)

    async def _there(self, app: str, project: str) -> Sequence[Volume]:
        there = await self._context.engine.volumes(app) if isinstance(self._context.engine, Keeps) else ()
        return tuple(volume for volume in there if project in ("", volume.project))

    async def _wished(self, name: str, project: str) -> AppSpec | None:
        """What the live release of an app says; None where it is gone, going, of another project or has none."""
        app = await self._stores.apps.find(name)
        if app is None or app.project != project or app.deleted or app.live is None:
            return None
        return (await self._stores.releases.get(name, app.live)).spec


def _several(found: Sequence[Volume]) -> Conflict:
    first = found[0]
    projects = sorted({volume.project for volume in found})
    if len(projects) > 1:
        places, option = f"projects {', '.join(projects)}", "--project"
    else:
        places, option = ", ".join(volume.region for volume in found), "--region"
    return Conflict(f"volume '{first.title}' of '{first.app}' is in {places}", hint=f"name one with {option}")


def _named(spec: AppSpec | None, volume: Volume) -> bool:
    process = spec.processes.get(volume.process) if spec is not None else None
    return process is not None and volume.name in process.volumes


def _view(volume: Volume, spec: AppSpec | None) -> VolumeView:
    percent = None
    if volume.used_bytes is not None and volume.size_mib:
        percent = round(100 * volume.used_bytes / (volume.size_mib * 1024 * 1024), 1)
    return VolumeView(
        app=volume.app,
        process=volume.process,
        name=volume.name,
        project=volume.project,
        region=volume.region,
        path=volume.path,
        size=shown_size(volume.size_mib),
        size_mib=volume.size_mib,
        used_bytes=volume.used_bytes,
        used_percent=percent,
        enforced=volume.enforced,
        state="used" if volume.used_by else "idle" if _named(spec, volume) else "kept",
        used_by=volume.used_by,
        problem=volume.problem,
        hint=volume.hint,
    )
