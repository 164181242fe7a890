"""Make, own, measure and remove the volumes of apps on this machine."""

import asyncio
import contextlib
import io
import json
import os
import stat
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leeward.engines.local.container import Container
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.mounts import HOME, create_body, named_user, owner, volume_name
from leeward.engines.local.sight import Sight
from leeward.engines.local.walk import FOLDER, below
from leeward.errors import Conflict, LeewardError, NotFound, RolloutFailed
from leeward.model.region import LOCAL
from leeward.model.runtime import Workload
from leeward.model.volume import Mount, Volume

MIB = 1024 * 1024
_MODE = 0o2770
_PASSWD_BYTES = 1 << 20
# Counting what is in a volume may take this share of the time at most.
_SHARE = 50


@dataclass(slots=True)
class _Count:
    used_bytes: int
    again_at: float


class Volumes:
    """The volumes of one platform. What is in them is never touched, but for whom it belongs to."""

    def __init__(self, dockerd: Dockerd, home: str, folder: Path, sight: Sight) -> None:
        self._dockerd = dockerd
        self._home = home
        self._folder = folder
        self._sight = sight
        self._counts: dict[str, _Count] = {}

    # --- for a start --------------------------------------------------------------------------------------

    async def ensure(self, want: Workload) -> None:
        """Have the volumes of a workload; those that are there stay as they are, and only grow."""
        for mount in want.volumes:
            body = create_body(want, self._home, mount)
            made = await self._dockerd.ask("POST", "volumes/create", body)
            if (made.get("Labels") or {}).get(HOME) != self._home:
                raise Conflict(f"the Docker volume '{body['Name']}' is not ours", hint="remove or rename it")
            self._grow(body["Name"], mount)

    async def own(self, id: str, want: Workload) -> None:
        """Let the user of a container that was just made write to its volumes. Raises RolloutFailed, Unavailable."""
        if not want.volumes:
            return
        uid, gid = await self._user(id)
        for mount in want.volumes:
            name = volume_name(self._home, want.project, want.app, want.process, mount.name)
            where = Path((await self._dockerd.ask("GET", f"volumes/{name}"))["Mountpoint"])
            try:
                await self._own(id, want, mount, where, uid, gid)
            except OSError as error:
                raise RolloutFailed(
                    f"volume '{want.process}/{mount.name}' of '{want.app}' cannot be given to user {uid}: "
                    f"{error.strerror or type(error).__name__}",
                    hint=f"look at '{where}' on this machine",
                ) from error

    async def _own(self, id: str, want: Workload, mount: Mount, where: Path, uid: int, gid: int) -> None:
        mark = self._folder / f"{volume_name(self._home, want.project, want.app, want.process, mount.name)}.root"
        top = where.lstat().st_uid
        if uid == 0 and top != 0:
            # Root writes to everything as it is; whose the volume is goes on to write meanwhile.
            self._mark(mark)
        if uid == 0 or (uid == top and not mark.exists()):
            return
        others = await self._users(id, want, mount)
        if its := others - {0, uid}:
            # Nothing that runs loses what it has to a release that is not proven yet.
            raise RolloutFailed(
                f"volume '{want.process}/{mount.name}' belongs to user {min(its)}, which runs, "
                f"and this image runs as {uid}",
                hint=f"keep the image's USER, or first: lee scale {want.app} {want.process}=0",
            )
        if 0 in others:
            # What it writes from now on is given with the next start.
            self._mark(mark)
        await asyncio.to_thread(_give, where, uid, gid)
        if 0 not in others:
            mark.unlink(missing_ok=True)

    def _mark(self, mark: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        mark.touch()

    async def _users(self, id: str, want: Workload, mount: Mount) -> set[int]:
        """The users of the other containers that have the volume, and may write to it now or soon."""
        await self._sight.fresh_enough()
        found = set()
        for other in tuple(self._sight.containers.values()):
            if other.id != id and not other.ended and _has(other, want.project, want.app, want.process, mount.name):
                with contextlib.suppress(NotFound):
                    found.add((await self._user(other.id))[0])
        return found

    async def _user(self, id: str) -> tuple[int, int]:
        """User and group number of a container."""
        shown = await self._dockerd.ask("GET", f"containers/{id}/json")
        user = (shown["Config"].get("User") or "").strip()
        return owner(user, await self._passwd(id) if named_user(user) else "")

    async def _passwd(self, id: str) -> str:
        """The text of an image's `/etc/passwd`; '' where it has none."""
        try:
            asking = f"containers/{id}/archive?path=/etc/passwd"
            async with self._dockerd.open("GET", asking, wait_s=60) as answer:
                data = await answer.content.read(_PASSWD_BYTES)
                while chunk := await answer.content.read(_PASSWD_BYTES):
                    data += chunk
                    if len(data) > _PASSWD_BYTES:
                        return ""
        except NotFound:
            return ""
        with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for item in tar:
                file = tar.extractfile(item) if item.isfile() else None
                if file is not None:
                    return file.read().decode(errors="replace")
        return ""

    # --- what is there ------------------------------------------------------------------------------------

    async def list(self, app: str = "") -> Sequence[Volume]:
        """Every volume, of one app or of all, with who has it. Raises Unavailable."""
        return tuple(self._shown(each) for each in await self._there(app))

    async def delete(self, volume: Volume) -> None:
        """Remove a volume with all that is in it; one that is gone is removed. Raises Conflict while it is used."""
        name = volume_name(self._home, volume.project, volume.app, volume.process, volume.name)
        try:
            shown = await self._dockerd.ask("GET", f"volumes/{name}")
            if (shown.get("Labels") or {}).get(HOME) != self._home:
                return
            await self._dockerd.ask("DELETE", f"volumes/{name}")
        except NotFound:
            pass
        except Conflict as error:
            raise in_use(volume) from error
        self._counts.pop(name, None)
        for kept in ("json", "root"):
            (self._folder / f"{name}.{kept}").unlink(missing_ok=True)

    async def measure(self) -> None:
        """Count what is in every volume, seldom where that takes long; one that cannot be counted keeps no other."""
        failed: list[BaseException] = []
        for each in await self._there(""):
            failed += [one for one in await asyncio.gather(self._measured(each), return_exceptions=True) if one]
        if failed:
            raise failed[0]

    async def _measured(self, each: Mapping[str, Any]) -> None:
        name = each["Name"]
        known, began = self._counts.get(name), time.monotonic()
        if known is not None and began < known.again_at:
            return
        used = await asyncio.to_thread(_used, Path(each["Mountpoint"]))
        now = time.monotonic()
        self._counts[name] = _Count(used, now + _SHARE * (now - began))

    async def _there(self, app: str) -> Sequence[Mapping[str, Any]]:
        labels = [f"{HOME}={self._home}", *([f"leeward.app={app}"] if app else [])]
        found = await self._dockerd.ask("GET", "volumes", filters=json.dumps({"label": labels}))
        return sorted(
            (each for each in found.get("Volumes") or () if "leeward.volume" in (each.get("Labels") or {})),
            key=lambda each: str(each["Name"]),
        )

    def _shown(self, each: Mapping[str, Any]) -> Volume:
        labels = each["Labels"]
        app, process, name = labels["leeward.app"], labels["leeward.process"], labels["leeward.volume"]
        project = labels.get("leeward.project", "")
        known = self._known(str(each["Name"]))
        count = self._counts.get(str(each["Name"]))
        used_by = tuple(sorted(c.name for c in self._sight.containers.values() if _has(c, project, app, process, name)))
        return Volume(
            app=app,
            process=process,
            name=name,
            project=project,
            region=LOCAL,
            path=known.path if known is not None else labels.get("leeward.path", ""),
            size_mib=known.size_mib if known is not None else int(labels.get("leeward.size-mib") or 0),
            used_bytes=count.used_bytes if count is not None else None,
            used_by=used_by,
        )

    # --- what Docker cannot remember ----------------------------------------------------------------------

    def _known(self, name: str) -> Mount | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            value = json.loads((self._folder / f"{name}.json").read_text())
            return Mount(name, str(value["path"]), int(value["size_mib"]))
        return None

    def _grow(self, name: str, mount: Mount) -> None:
        """Labels of a Docker volume never change, but its size and its place in the file system may."""
        known = self._known(name)
        size_mib = max(mount.size_mib, known.size_mib if known is not None else 0)
        if known is not None and (known.path, known.size_mib) == (mount.path, size_mib):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{name}.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"path": mount.path, "size_mib": size_mib}))
        fresh.replace(file)


def in_use(volume: Volume) -> Conflict:
    """Somebody has it."""
    who = ", ".join(volume.used_by) or "an instance"
    return Conflict(
        f"volume '{volume.title}' of '{volume.app}' is used by {who}",
        hint="take it out of leeward.yaml and deploy, or delete the app first",
        code="volume-in-use",
    )


def _has(container: Container, project: str, app: str, process: str, name: str) -> bool:
    return (container.project, container.app, container.process) == (project, app, process) and any(
        mount.name == name for mount in container.volumes
    )


def _give(place: Path, uid: int, gid: int) -> None:
    """Let a user have a volume with all that is in it."""
    here = os.open(place, FOLDER)
    try:
        for each in below(place):
            with contextlib.suppress(FileNotFoundError):
                os.chown(each.name, uid, gid, dir_fd=each.here, follow_symlinks=False)
        if os.fstat(here).st_uid != uid:
            # Last: whoever sees that the top is theirs need not look further.
            os.fchmod(here, _MODE)
            os.fchown(here, uid, gid)
    finally:
        os.close(here)


def _used(place: Path) -> int:
    """Bytes on the disk; a file with several names counts once."""
    total, several = 0, set()
    with contextlib.suppress(OSError):
        for each in below(place):
            one = each.status
            if one.st_nlink > 1 and not stat.S_ISDIR(one.st_mode):
                if (one.st_dev, one.st_ino) in several:
                    continue
                several.add((one.st_dev, one.st_ino))
            total += one.st_blocks * 512
    return total


async def made_or_gone(volumes: Volumes, dockerd: Dockerd, id: str, want: Workload) -> None:
    """Give a new container its volumes; where that fails, for whatever reason, the container goes again."""
    owned = False
    try:
        await volumes.own(id, want)
        owned = True
    finally:
        if not owned:
            with contextlib.suppress(LeewardError):
                await dockerd.ask("DELETE", f"containers/{id}", force="1", v="1")
