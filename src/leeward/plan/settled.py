"""Tell whether an app is as it is wished for, so that it need not be looked at again until something changes. Pure."""

from collections import Counter
from collections.abc import Iterable

from leeward.model.runtime import InstanceState, Observed, Workload


def as_wished(wants: Iterable[Workload], seen: Observed) -> bool:
    """Whether exactly what is wanted runs, and all of it is ready."""
    ready = Counter((i.process, i.generation) for i in seen.instances if i.state is InstanceState.READY)
    wanted = Counter({(want.process, want.generation): want.instances for want in wants if want.instances})
    return ready == wanted and ready.total() == len(seen.instances)
