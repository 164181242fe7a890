"""Carry out runs of schedules: a container for each, which stays until its end is remembered."""

import contextlib
from collections.abc import Callable, Sequence

from leeward.engines.local import timed
from leeward.engines.local.container import RUN, Container
from leeward.engines.local.deeds import Deeds
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.follow import Follower
from leeward.engines.local.network import names_name
from leeward.engines.local.sight import Sight
from leeward.engines.loop import Tasks
from leeward.errors import Conflict, LeewardError, NotFound, RolloutFailed, Unavailable
from leeward.model.run import Run, SeenRun, Timed

_TAIL = 20
# Docker ends a log that is followed when the container ends.
_LOG_END_S = 5.0


class Timers:
    """The containers of runs. What is known of each is in its labels."""

    def __init__(
        self,
        dockerd: Dockerd,
        home: str,
        sight: Sight,
        deeds: Deeds,
        follower: Follower,
        tasks: Tasks,
        now: Callable[[], float],
        out_of_memory: Callable[[Container], bool],
    ) -> None:
        self._dockerd = dockerd
        self._home = home
        self._sight = sight
        self._deeds = deeds
        self._follower = follower
        self._tasks = tasks
        self._now = now
        self._out_of_memory = out_of_memory

    def containers(self, app: str) -> tuple[Container, ...]:
        """Those of an app."""
        return tuple(c for c in self._sight.containers.values() if c.app == app and c.role == RUN and c.run)

    async def begin(self, want: Timed, run: Run) -> None:
        """Start a run, unless it was started before. Raises RolloutFailed, Unavailable."""
        found = self._find(run.app, run.id)
        if found is None:
            try:
                id, name = await self._deeds.make(
                    timed.workload(want, run),
                    want.want.millicpu,
                    RUN,
                    suffix=timed.suffix(run, self._home),
                    retries=want.retries,
                )
            except Conflict:
                await self._sight.refresh()
                return
            self._sight.starting.discard(name)
            # Before it runs: what it calls by name must be found.
            with contextlib.suppress(NotFound, Conflict):
                network = names_name(self._home, want.want.project)
                await self._dockerd.ask("POST", f"networks/{network}/connect", {"Container": id})
            found = await self._sight.look(id)
        if found is not None and found.status == "created":
            await self._start(found)

    async def _start(self, container: Container) -> None:
        try:
            await self._dockerd.ask("POST", f"containers/{container.id}/start")
        except LeewardError as error:
            if error.code == Unavailable.code:
                raise
            raise RolloutFailed(error.message, hint=error.hint or "check the image and its command") from error
        finally:
            await self._sight.look(container.id)

    async def seen(self, app: str) -> Sequence[SeenRun]:
        """Every run of an app."""
        now = self._now()
        found = []
        for container in self.containers(app):
            oom = self._out_of_memory(container)
            lines: Sequence[str] = ()
            if container.exit_code and timed.settled(container, now, oom):
                with contextlib.suppress(LeewardError):
                    # What Docker says of the start is later than what was printed first.
                    lines = await self._follower.tail(container, container.created_at - 1)
            found.append(timed.seen(container, now, oom, lines))
        return found

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What a run printed last, after all of it is in the log."""
        container = self._find(app, run)
        if container is None or not container.started_at:
            return ()
        await self._tasks.wait("log", container.id, _LOG_END_S)
        try:
            await self._follower.follow(container, live=False)
            return await self._follower.tail(container, 0.0, _TAIL)
        except NotFound:
            return ()

    def end(self, app: str, run: str) -> None:
        """SIGTERM, grace, SIGKILL; the container stays, so that its end is seen."""
        container = self._find(app, run)
        if container is not None and not container.ended:
            self._deeds.halt(container)

    async def forget(self, app: str, run: str) -> None:
        """Remove the container of a run that has ended, or that could not begin."""
        container = self._find(app, run)
        if container is None or container.running:
            return
        with contextlib.suppress(NotFound, Conflict):
            await self._dockerd.ask("DELETE", f"containers/{container.id}", force="1", v="1")
        await self._sight.look(container.id)

    async def bound(self) -> None:
        """End runs whose time is over."""
        now = self._now()
        for container in tuple(self._sight.containers.values()):
            if container.role == RUN and container.run and timed.over(container, now):
                self._deeds.halt(container)

    def _find(self, app: str, run: str) -> Container | None:
        return next((c for c in self.containers(app) if timed.label(c).id == run), None)
