"""Keep what instances write to their own file systems within its bound."""

from leeward.engines.local.container import RUN
from leeward.engines.local.deeds import Deeds
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.follow import Follower
from leeward.engines.local.sight import Sight
from leeward.errors import Conflict, NotFound
from leeward.settings import MIB


class Disks:
    """Ends instances that wrote too much; a fresh one, with an empty file system, takes their place."""

    def __init__(self, dockerd: Dockerd, sight: Sight, deeds: Deeds, follower: Follower, limit_mib: int) -> None:
        self._dockerd = dockerd
        self._sight = sight
        self._deeds = deeds
        self._follower = follower
        self._limit_mib = limit_mib

    async def bound(self, now: float) -> None:
        """One look at every running instance; read-only ones have nothing to count, and cost nothing."""
        for container in tuple(self._sight.containers.values()):
            if not container.running:
                continue
            try:
                found = await self._dockerd.ask("GET", f"containers/{container.id}/json", size="1")
            except (NotFound, Conflict):
                continue
            written = int(found.get("SizeRw") or 0)
            if written > self._limit_mib * MIB:
                text = f"wrote {written // MIB} MiB to its file system, more than {self._limit_mib}, and was ended"
                await self._follower.note(container, now, text)
                (self._deeds.halt if container.role == RUN else self._deeds.stop)(container)
