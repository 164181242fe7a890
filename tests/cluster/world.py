"""An engine on the real cluster, driven as the control loop drives it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from leeward.engines.kubernetes.names import namespace
from leeward.model.app import Health
from leeward.model.runtime import Instance, InstanceState, Observed, Workload
from leeward.model.secret import Secret, Variable
from leeward.plan.route import serving
from tests.cluster.cluster import Cluster
from tests.cluster.images import APP
from tests.contracts.harbour import Harbour

HEALTH = Health(path="/", rollout_interval=1, interval=1, timeout=2, successes=1, failures=2, drain=1, deadline=30)
_STEP_S = 0.1


class World(Harbour):
    """One platform on the cluster, and apps of the test program."""

    web = "serve"

    def want(self, version: int = 1, **changes: object) -> Workload:
        base = Workload(
            app=self.app(),
            process="web",
            project=self.project,
            release=version,
            generation=version * 1000,
            image=self.image,
            command=self.web,
            env=(Variable("VERSION", Secret(f"v{version}")),),
            instances=2,
            millicpu=500,
            memory_mib=64,
            port=8080,
            health=HEALTH,
            routed=frozenset(),
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def release(self, want: Workload, version: int, **changes: object) -> Workload:
        """The next release of the same app."""
        env = (Variable("VERSION", Secret(f"v{version}")),)
        return replace(want, **{"release": version, "generation": version * 1000, "env": env, **changes})  # type: ignore[arg-type]

    @property
    def space(self) -> str:
        return namespace(self.project)

    def url(self, want: Workload) -> str:
        """How other apps of the project call it."""
        return f"http://{want.app}:{want.port}/"

    async def drive(
        self, want: Workload, good: Callable[[Observed], bool], what: str, seconds: float = 90
    ) -> tuple[Workload, Observed]:
        """Apply again and again, with the routes that the edge would have, until what is seen is good."""
        deadline = time.monotonic() + seconds
        while True:
            seen = await self.engine.observe(want.app)
            if good(seen):
                return want, seen
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {seconds} s: {seen}")
            routed = frozenset(one.id for one in serving(seen, want.generation)) if want.routed is not None else None
            want = replace(want, routed=routed)
            await self.engine.apply(want)
            await asyncio.sleep(_STEP_S)

    async def live(self, want: Workload, seconds: float = 90) -> Workload:
        """Until all instances of this release serve, and nothing else is there."""
        return (await self.drive(want, lambda seen: whole(want, seen), f"release {want.release}", seconds))[0]

    async def drive_away(self, want: Workload, seconds: float = 60) -> None:
        """Until nothing of an app is seen."""
        deadline = time.monotonic() + seconds
        while (seen := await self.engine.observe(want.app)).instances:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(_STEP_S)

    async def until_reason(self, want: Workload, words: str, seconds: float = 60) -> Instance:
        """Until an instance says why it does not serve."""

        def said(seen: Observed) -> bool:
            return any(words in one.reason for one in seen.instances)

        _, seen = await self.drive(want, said, f"'{words}'", seconds)
        return next(one for one in seen.instances if words in one.reason)


def whole(want: Workload, seen: Observed) -> bool:
    ready = [
        one for one in seen.of(want.process) if one.generation == want.generation and one.state is InstanceState.READY
    ]
    return len(ready) == want.instances == len(seen.of(want.process))


@asynccontextmanager
async def world(cluster: Cluster, **rules: object) -> AsyncIterator[World]:
    """A platform that runs, and takes away what is its own."""
    made = World(cluster.layout.kubeconfig.read_text(), APP, **rules)
    made.start()
    try:
        yield made
    finally:
        await made.stop()
        await made.clean()
        await made.engine.close()
