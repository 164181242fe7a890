"""Bring what instances print to the log store, in small batches."""

import asyncio

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.kinds import POD
from leeward.engines.kubernetes.pods import Pod
from leeward.engines.loglines import Batch, LogSink
from leeward.errors import Conflict, LeewardError, NotFound, RolloutFailed
from leeward.model.runtime import LogLine
from leeward.plan.stamps import stamp, unix_seconds

# Each is a connection to the API server.
_AT_ONCE = 400


class Follower:
    """Follows logs from where the store's last line of each instance is."""

    def __init__(self, cluster: Cluster, sink: LogSink) -> None:
        self._cluster = cluster
        self._sink = sink
        self._last: dict[str, float] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def follow(self, pod: Pod) -> None:
        """Bring every new line of its present process until that ends. Raises Unavailable when the server went away."""
        async with self._limit:
            await self._bring(pod)

    async def _bring(self, pod: Pod) -> None:
        last = self._last.get(pod.name)
        if last is None:
            last = self._last[pod.name] = await self._sink.last_at(pod.app, pod.name)
        batch = Batch(self._sink, pod.app)
        params = {"container": pod.process, "follow": "true", "timestamps": "true"}
        if last:
            params["sinceTime"] = stamp(last)
        try:
            async with self._cluster.lines(
                POD.path(pod.namespace, pod.name, "log"), "log", params, accept="*/*"
            ) as lines:
                async for line in lines:
                    at, _, text = line.partition(" ")
                    when = unix_seconds(at)
                    # `sinceTime` includes its whole second.
                    if when > last:
                        await batch.add(LogLine(when, pod.name, "stdout", text, pod.process))
                        self._last[pod.name] = when
        except (NotFound, RolloutFailed, Conflict):
            # Gone, or not yet there: then its start is told again.
            return
        except LeewardError:
            # The store says where to begin again.
            self._last.pop(pod.name, None)
            raise
        finally:
            await batch.flush()
