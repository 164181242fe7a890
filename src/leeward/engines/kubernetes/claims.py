"""Have, grow, show and remove the claims behind volumes."""

import asyncio
from collections.abc import Sequence

from leeward.engines.kubernetes.claim import (
    Claim,
    StorageClass,
    claim,
    claim_name,
    examined,
    read_claim,
    storage_class,
    unfit,
)
from leeward.engines.kubernetes.claim import volume as volume_of
from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.failures import not_ours
from leeward.engines.kubernetes.informer import Informer, Key
from leeward.engines.kubernetes.kinds import EVENT, VOLUME
from leeward.engines.kubernetes.names import HOME, namespace
from leeward.engines.kubernetes.objects import ours
from leeward.engines.kubernetes.rules import Rules
from leeward.engines.kubernetes.sight import Sight
from leeward.errors import Conflict, Forbidden, LeewardError, NotFound, Problem, RolloutFailed, Unavailable
from leeward.model.region import Examined
from leeward.model.runtime import Workload
from leeward.model.volume import Mount, Volume

_SYNC_S = 10.0
_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


class Claims:
    """The claims of one platform in one cluster. They go only when somebody deletes a volume."""

    def __init__(self, cluster: Cluster, rules: Rules, sight: Sight) -> None:
        self._cluster = cluster
        self._rules = rules
        self._sight = sight
        self.watch: Informer[Claim] = Informer(
            cluster, VOLUME, read_claim, self._told, match={"labelSelector": f"{HOME}={rules.home}"}, optional=True
        )

    def _told(self, key: Key, before: Claim | None, after: Claim | None) -> None:
        one = after or before
        assert one is not None
        self._sight.changed(one.app)

    async def _ready(self) -> None:
        """Have looked once. Raises what keeps us from it."""
        try:
            async with asyncio.timeout(_SYNC_S):
                await self.watch.outcome.wait()
        except TimeoutError as error:
            raise Unavailable(f"the volumes of region '{self._rules.region}' have not been looked at yet") from error
        if self.watch.absent:
            raise Forbidden(
                f"region '{self._rules.region}' does not let us see its volumes",
                hint="bind the account to the role in docs/howto/add-a-cluster.md",
            )
        if self.watch.failed is not None and not self.watch.synced.is_set():
            raise self.watch.failed

    # --- for a start --------------------------------------------------------------------------------------

    async def ensure(self, want: Workload) -> None:
        """Have the volumes of a workload; those that are there only grow. Raises RolloutFailed, Unavailable."""
        if not want.volumes:
            return
        try:
            await self._ready()
        except Forbidden as error:
            raise RolloutFailed(error.message, hint=error.hint) from error
        wrong = [mount for mount in want.volumes if self._lacks(want, mount)]
        if wrong and (problems := await self.unfit([want])):
            raise RolloutFailed("; ".join(str(problem) for problem in problems), hint=problems[0].hint)
        for mount in wrong:
            await self._have(want, mount)

    def _key(self, want: Workload, mount: Mount) -> Key:
        return namespace(want.project), claim_name(want.app, want.process, mount.name)

    def _lacks(self, want: Workload, mount: Mount) -> bool:
        known = self.watch.items.get(self._key(want, mount))
        return known is None or known.deleted or known.asked_mib < mount.size_mib

    async def _have(self, want: Workload, mount: Mount) -> None:
        key = self._key(want, mount)
        known = self.watch.items.get(key)
        if known is not None and known.deleted:
            raise Unavailable(f"volume '{want.process}/{mount.name}' is still being deleted", hint="it is tried again")
        if known is not None:
            # Only its size: class and access of a claim never change.
            body = {"spec": {"resources": {"requests": {"storage": f"{mount.size_mib}Mi"}}}}
            if (shown := await self._cluster.patch(VOLUME, *key, body)) is not None:
                self.watch.put(shown)
            return
        found = await self._cluster.get(VOLUME, *key)
        if found is not None and not ours(found, self._rules.home):
            raise not_ours(VOLUME.kind, key[1], key[0])
        self.watch.put(await self._cluster.apply(claim(want, self._rules, mount)))

    # --- what is there ------------------------------------------------------------------------------------

    async def list(self, app: str = "") -> Sequence[Volume]:
        """Every volume, of one app or of all, with who has it and what is wrong. Raises Unavailable."""
        try:
            await self._ready()
        except Forbidden:
            return ()
        mine = [one for _, one in sorted(self.watch.items.items()) if app in ("", one.app)]
        return tuple([volume_of(one, self._rules.region, self._users(one), await self._said(one)) for one in mine])

    def _users(self, one: Claim) -> Sequence[str]:
        return sorted(
            pod.name
            for pod in self._sight.pods.items.values()
            if pod.namespace == one.namespace and one.name in pod.claims
        )

    async def _said(self, one: Claim) -> str:
        """The cluster's last word on a claim that waits."""
        if one.phase != "Pending":
            return ""
        match = {"fieldSelector": f"involvedObject.kind=PersistentVolumeClaim,involvedObject.name={one.name}"}
        try:
            shown = await self._cluster.ask("GET", EVENT.path(one.namespace), what="events", params=match)
        except LeewardError:
            return ""
        events = sorted(shown.get("items") or (), key=lambda each: str(each.get("lastTimestamp") or ""))
        if not events:
            return ""
        last = events[-1]
        return " ".join(f"{last.get('reason', '')}: {last.get('message', '')}".split())[:300]

    async def delete(self, volume: Volume) -> None:
        """Have a volume go. Raises Conflict while an instance has it."""
        await self._ready()
        key = (namespace(volume.project), claim_name(volume.app, volume.process, volume.name))
        one = self.watch.items.get(key)
        if one is None:
            return
        if users := self._users(one):
            raise Conflict(
                f"volume '{volume.title}' of '{volume.app}' is used by {', '.join(users)}",
                hint="take it out of leeward.yaml and deploy, or delete the app first",
                code="volume-in-use",
            )
        await self._cluster.delete(VOLUME, *key)

    async def unfit(self, wants: Sequence[Workload]) -> Sequence[Problem]:
        """What of the volumes of these workloads this cluster cannot do."""
        await self._ready()
        return unfit(wants, self._rules, await self._classes(), tuple(self.watch.items.values()))

    async def examine(self) -> Examined:
        """Whether volumes can be had, whether or not the region was added."""
        return examined(await self._classes(), self._rules)

    async def _classes(self) -> Sequence[StorageClass] | None:
        try:
            shown = await self._cluster.ask("GET", _CLASSES, what="storage classes")
        except (Forbidden, NotFound):
            return None
        return tuple(storage_class(each) for each in shown["items"])
