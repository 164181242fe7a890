"""Carry out runs of schedules: a CronJob for each process, a Job for each run."""

from collections.abc import Callable, Sequence

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.deeds import Deeds
from leeward.engines.kubernetes.jobs import by_hand, cron_name, job_name, timed
from leeward.engines.kubernetes.kinds import CRON_JOB, JOB, POD, SECRET
from leeward.engines.kubernetes.names import namespace, stamped
from leeward.engines.kubernetes.pods import Pod
from leeward.engines.kubernetes.render import environment
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.runs_seen import Job, seen
from leeward.engines.kubernetes.sight import Sight
from leeward.errors import Conflict, NotFound, RolloutFailed, Unavailable
from leeward.model.run import Run, SeenRun, Timed

_TAIL = 20


class Timers:
    """What runs by the cluster's clock."""

    def __init__(self, cluster: Cluster, rules: Rules, sight: Sight, deeds: Deeds, now: Callable[[], float]) -> None:
        self._cluster = cluster
        self._rules = rules
        self._sight = sight
        self._deeds = deeds
        self._now = now

    async def schedule(self, app: str, wants: Sequence[Timed]) -> None:
        """Have these CronJobs of an app, and no others of it. Raises Unavailable where that is not allowed."""
        there = [(key, each) for kind, key, each in self._sight.of_app(app) if kind is CRON_JOB]
        if wants and self._sight.objects[CRON_JOB.kind].absent:
            raise Unavailable(
                f"region '{self._rules.region}' does not let the platform make CronJobs",
                hint="give its account the rights that `lee doctor --region` lists",
            )
        for want in wants:
            await self._deeds.have_project(want.want.project)
            await self._deeds.have(stamped(environment(want.want, self._rules)))
            await self._deeds.have(stamped(timed(want, self._rules)))
        names = {want.want.process for want in wants}
        for key, each in there:
            if each.process not in names:
                await self._drop_variables(app, each.process, frozenset())
                await self._deeds.delete(CRON_JOB, key)
        if there:
            for want in wants:
                await self._drop_variables(app, want.want.process, self._used(want))

    def _used(self, want: Timed) -> frozenset[int]:
        """The generations whose variables a run still needs."""
        going = self._sight.jobs_of(want.want.app)
        mine = {each.known.generation for each in going if each.known.process == want.want.process and not each.ended}
        return frozenset({want.want.generation, *mine})

    async def _drop_variables(self, app: str, process: str, keep: frozenset[int]) -> None:
        for kind, key, each in self._sight.of_app(app):
            if kind is SECRET and each.process == process and each.generation not in keep:
                await self._deeds.delete(SECRET, key)

    async def begin(self, want: Timed, run: Run) -> None:
        """Have a job that somebody asked for."""
        key = (namespace(want.want.project), job_name(want, run))
        if self._find(run.app, run.id) is not None:
            return
        owner = self._sight.find(CRON_JOB, (key[0], cron_name(want)))
        if owner is None:
            raise Unavailable(f"the CronJob of '{run.process}' is not there yet", hint="it is tried again")
        try:
            await self._deeds.have(stamped(by_hand(want, self._rules, run, owner.uid)))
        except (NotFound, Conflict) as error:
            raise RolloutFailed(error.message, hint=error.hint) from error

    def seen(self, app: str) -> Sequence[SeenRun]:
        """Every run whose job is there."""
        largest = self._sight.largest()
        return [seen(one, self.pods(one), self._now(), largest) for one in self._sight.jobs_of(app)]

    def pods(self, one: Job) -> list[Pod]:
        """The pods of a run's attempts."""
        return self._sight.pods_of_job(one.known.app, one.name)

    async def last_lines(self, app: str, run: str) -> Sequence[str]:
        """What the last attempt printed last."""
        pod = self.last_pod(app, run)
        if pod is None or not pod.container:
            return ()
        params = {"container": pod.process, "tailLines": str(_TAIL)}
        try:
            path = POD.path(pod.namespace, pod.name, "log")
            async with self._cluster.lines(path, "log", params, accept="*/*") as lines:
                return [line async for line in lines]
        except (NotFound, RolloutFailed, Conflict):
            return ()

    def last_pod(self, app: str, run: str) -> Pod | None:
        """The pod of the last attempt."""
        one = self._find(app, run)
        return max(self.pods(one), key=lambda pod: (pod.created_at, pod.name), default=None) if one else None

    async def end(self, app: str, run: str) -> None:
        """Have the job of a run go, and its pods."""
        one = self._find(app, run)
        if one is not None and not one.ended:
            await self._deeds.delete(JOB, (one.namespace, one.name))

    async def forget(self, app: str, run: str) -> None:
        """Have an ended job go that somebody asked for; of the others the cluster keeps some for its own users."""
        one = self._find(app, run)
        if one is not None and one.ended and one.manual:
            await self._deeds.delete(JOB, (one.namespace, one.name))

    def _find(self, app: str, run: str) -> Job | None:
        return next((one for one in self._sight.jobs_of(app) if one.run == run), None)
