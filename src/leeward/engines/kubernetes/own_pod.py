"""Let a control plane that runs in a pod say whether it leads, and keep the keys that its replicas share."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.kinds import POD, SECRET
from leeward.errors import Conflict, Invalid, Unavailable

LEADS = "leeward.dev/leads"
"""The label by which a Service finds the replica that leads."""
SAYS = "leeward.dev/says"
_SAME = ("app.kubernetes.io/name", "app.kubernetes.io/instance")


class OwnPod:
    """The pod `namespace/name`, by its own account."""

    def __init__(self, pod: str) -> None:
        self._namespace, slash, self._name = pod.partition("/")
        if not slash or not self._namespace or not self._name:
            raise Invalid(f"LEEWARD_POD must be like 'namespace/name', not '{pod}'")
        self._cluster = Cluster("local", "")

    async def close(self) -> None:
        """Let go of the cluster."""
        await self._cluster.close()

    async def waits(self, says: str) -> None:
        """Say that this replica does not lead, and what it waits for; repeatable."""
        await self._mark(self._name, "no", says[:400])

    async def leads(self) -> None:
        """Say that this replica leads, and that no other one does: the Service follows. Repeatable."""
        pods = {pod["metadata"]["name"]: pod["metadata"] for pod in await self._replicas()}
        for name, meta in pods.items():
            if name != self._name and meta.get("labels", {}).get(LEADS) == "yes":
                await self._mark(name, "no", "was the leader before")
        if pods.get(self._name, {}).get("labels", {}).get(LEADS) != "yes":
            await self._mark(self._name, "yes", "leads")

    async def keys(self, name: str, make: Callable[[], Mapping[str, bytes]]) -> Mapping[str, bytes]:
        """What the Secret `name` holds; made once, by whichever replica comes first."""
        found = await self._cluster.get(SECRET, self._namespace, name)
        if found is None:
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self._namespace},
                "type": "Opaque",
                "data": {key: base64.b64encode(value).decode() for key, value in make().items()},
            }
            path = SECRET.path(self._namespace)
            try:
                found = await self._cluster.ask("POST", path, what=f"Secret '{name}'", body=body)
            except Conflict:
                found = await self._cluster.get(SECRET, self._namespace, name)
        if not found or not found.get("data"):
            raise Unavailable(
                f"the Secret '{name}' holds nothing", hint="delete it, or put the platform's keys into it"
            )
        return {key: base64.b64decode(value) for key, value in found["data"].items()}

    async def _replicas(self) -> list[dict[str, Any]]:
        """This pod and its like."""
        me = await self._cluster.get(POD, self._namespace, self._name)
        if me is None:
            raise Unavailable(f"pod '{self._name}' is not in namespace '{self._namespace}'")
        labels = me["metadata"].get("labels", {})
        chosen = ",".join(f"{key}={labels[key]}" for key in _SAME if key in labels)
        params = {"labelSelector": chosen}
        found = await self._cluster.ask("GET", POD.path(self._namespace), what="its replicas", params=params)
        return list(found["items"])

    async def _mark(self, name: str, leads: str, says: str) -> None:
        body = {"metadata": {"labels": {LEADS: leads}, "annotations": {SAYS: says}}}
        await self._cluster.patch(POD, self._namespace, name, body)
