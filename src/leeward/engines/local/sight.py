"""Know what runs: from Docker's events, and from a full list now and then."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

from leeward.engines.changes import Changes
from leeward.engines.local import verdict as verdicts
from leeward.engines.local.container import HOME, INSTANCE, Container, parse
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.network import names_name, network_name
from leeward.engines.local.plan import Memory
from leeward.engines.local.verdict import Verdict
from leeward.errors import NotFound
from leeward.model.runtime import Instance, InstanceState, Observed

REFRESH_S = 30.0
_INSPECTIONS = 8


class Sight:
    """The containers of one platform, the verdict on each, and who must hear of changes."""

    def __init__(self, dockerd: Dockerd, home: str, now: Callable[[], float]) -> None:
        self._dockerd = dockerd
        self._home = home
        self._now = now
        self._changes = Changes()
        self._refreshing = asyncio.Lock()
        self._listed_at = 0.0
        self.containers: dict[str, Container] = {}
        """By Docker's id, all roles."""
        self.verdicts: dict[str, Verdict] = {}
        self.stopping: set[str] = set()
        """Names of those that we are stopping."""
        self.restarting: set[str] = set()
        """Names of those that we are starting anew: their exit is no crash."""
        self.starting: set[str] = set()
        """Names of those that we have made but not yet started."""
        self.draining: dict[str, float | None] = {}
        self.fresh: set[str] = set()
        self.settle: Callable[[Container], None] = lambda container: None
        """Called after each look at a container, to bring what depends on it in line."""

    # --- looking ------------------------------------------------------------------------------------------

    @property
    def looked(self) -> bool:
        """Whether there has been a full look."""
        return self._listed_at > 0

    async def fresh_enough(self) -> None:
        """Look at everything unless that was done not long ago."""
        if self._now() - self._listed_at > REFRESH_S * 1.5:
            await self.refresh()

    async def refresh(self) -> None:
        """Look at everything. Raises Unavailable."""
        async with self._refreshing:
            filters = json.dumps({"label": [f"{HOME}={self._home}"]})
            listed = await self._dockerd.ask("GET", "containers/json", all="1", filters=filters)
            here = {item["Id"] for item in listed}
            for id in [id for id in self.containers if id not in here]:
                self._forget(id)
            limit = asyncio.Semaphore(_INSPECTIONS)

            async def look(id: str) -> None:
                async with limit:
                    await self.look(id, listed=True)

            await asyncio.gather(*(look(id) for id in here))
            self._listed_at = self._now()

    async def look(self, id: str, *, listed: bool = False) -> Container | None:
        """Look at one container now; None when it is gone. A full list (`listed`) also finds exits that were missed."""
        try:
            shown: Mapping[str, Any] = await self._dockerd.ask("GET", f"containers/{id}/json")
        except NotFound:
            self._forget(id)
            return None
        labels = shown["Config"].get("Labels") or {}
        if labels.get(HOME) != self._home:
            return None
        project = labels.get("leeward.project", "")
        seen = parse(shown, network_name(self._home, project), names_name(self._home, project))
        self._take(seen, listed)
        return seen

    def _take(self, seen: Container, listed: bool = False) -> None:
        before = self.containers.get(seen.id)
        shown = self.shown(before) if before is not None else None
        self.containers[seen.id] = seen
        known = self.verdicts.get(seen.id)
        if known is None:
            known = verdicts.first(seen)
            if seen.status == "restarting" and seen.name not in self.fresh:
                known = verdicts.exited(seen, code=seen.exit_code, oom=seen.oom_killed, ran_s=_ran_s(seen), lines=[])
            self.verdicts[seen.id] = known
        elif (
            listed
            and before is not None
            and seen.restarts > before.restarts
            and known.state is not InstanceState.CRASHED
        ):
            self.verdicts[seen.id] = Verdict(
                InstanceState.CRASHED, reason="ended and was started again", hint=f"see `lee logs {seen.app}`"
            )
        if shown != self.shown(seen):
            self.changed(seen.app)
        self.settle(seen)

    def _forget(self, id: str) -> None:
        gone = self.containers.pop(id, None)
        self.verdicts.pop(id, None)
        if gone is not None:
            for names in (self.stopping, self.restarting, self.starting, self.fresh):
                names.discard(gone.name)
            self.draining.pop(gone.name, None)
            self.changed(gone.app)
            self.settle(gone)

    def judge(self, id: str, verdict: Verdict) -> None:
        """Put a new verdict on a container."""
        container = self.containers.get(id)
        before = self.verdicts.get(id)
        if container is None or before is None or before == verdict:
            return
        self.verdicts[id] = verdict
        if (before.state, before.reason, before.hint) != (verdict.state, verdict.reason, verdict.hint):
            self.changed(container.app)
            self.settle(container)

    # --- telling ------------------------------------------------------------------------------------------

    def shown(self, container: Container) -> Instance:
        """A container as an instance."""
        verdict = self.verdicts.get(container.id, Verdict())
        return Instance(
            id=container.name,
            app=container.app,
            process=container.process,
            release=container.release,
            generation=container.generation,
            state=self._state(container, verdict),
            host=container.host,
            port=container.port,
            started_at=container.started_at or container.created_at,
            reason=verdict.reason,
            hint=verdict.hint,
            restarts=container.restarts,
            boosted=container.boosted,
        )

    def _state(self, container: Container, verdict: Verdict) -> InstanceState:
        if container.name in self.stopping:
            return InstanceState.STOPPING
        if container.name in self.draining:
            return InstanceState.DRAINING
        if container.running or container.name in self.restarting:
            return verdict.state
        if container.ended:
            return InstanceState.CRASHED
        # An exit is told with its reason, as soon as that is known.
        return InstanceState.UNHEALTHY if verdict.state is InstanceState.READY else verdict.state

    def of(self, app: str) -> tuple[Container, ...]:
        """The instances' containers of an app."""
        return tuple(c for c in self.containers.values() if c.app == app and c.role == INSTANCE)

    def instances(self) -> tuple[Container, ...]:
        """The instances' containers of all apps."""
        return tuple(c for c in self.containers.values() if c.role == INSTANCE)

    def observed(self, app: str) -> Observed:
        """What is known of an app."""
        return Observed(app, tuple(self.shown(container) for container in self.of(app)))

    def named(self, name: str) -> Container | None:
        """The container of an instance."""
        return next((c for c in self.containers.values() if c.name == name), None)

    def memory(self) -> Memory:
        """What the plan cannot see."""
        ended = (
            c.name
            for c in self.instances()
            if c.name not in self.restarting and (c.ended or (c.status == "created" and c.name not in self.starting))
        )
        return Memory(dict(self.draining), frozenset(self.fresh), frozenset(ended))

    def served(self, app: str, process: str, routed: frozenset[str] | None) -> None:
        """Remember which instances have had requests."""
        for container in self.of(app):
            if container.process != process or container.name not in self.fresh:
                continue
            shown = self.shown(container)
            ready = routed is None and shown.state is InstanceState.READY
            if ready or (routed is not None and (shown.id in routed or shown.peer in routed)):
                self.fresh.discard(container.name)

    def unboosted(self, container: Container) -> None:
        """Its CPU has been lowered to its size."""
        if container.id in self.containers:
            self._take(replace(self.containers[container.id], nano_cpus=container.millicpu * 1_000_000))

    # --- changes ------------------------------------------------------------------------------------------

    def changed(self, app: str) -> None:
        """Say that something of an app changed."""
        self._changes.put(app)

    def changes(self) -> AsyncIterator[str]:
        """The apps of which something changed, from now on."""
        return self._changes.read()


def _ran_s(container: Container) -> float:
    return max(0.0, container.finished_at - container.started_at)
