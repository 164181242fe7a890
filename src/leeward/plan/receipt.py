"""Decide what a deploy's receipt says, from what the edge counted. Pure."""

from collections.abc import Sequence

from leeward.model.release import Receipt
from leeward.model.route import BOUNDS_MS, Traffic


def receipt(before: Traffic, after: Traffic, old_peers: frozenset[str], broken: int = 0) -> Receipt:
    """Requests between two looks at the edge's counters.

    `old_peers` are the instances that traffic left: streams still open on them were kept. `broken` are streams
    that were open on an instance when it was stopped. A look with smaller counters than the one before means that
    the edge was restarted in between: then all of it counts.
    """
    if after.requests < before.requests:
        before = Traffic(before.app)
    counts = _difference(after.buckets, before.buckets)
    return Receipt(
        requests=after.requests - before.requests,
        failed=max(0, after.failed - before.failed),
        p50_ms=quantile(counts, 0.5),
        p99_ms=quantile(counts, 0.99),
        sockets_kept=sum(count for peer, count in after.streams if peer in old_peers),
        sockets_dropped=max(0, after.dropped - before.dropped) + broken,
    )


def quantile(counts: Sequence[int], q: float) -> float:
    """Milliseconds below which a part `q` of the requests stayed (upper bound of the bucket); 0 without any."""
    total = sum(counts)
    if not total:
        return 0.0
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= q * total:
            return round(BOUNDS_MS[min(index, len(BOUNDS_MS) - 1)], 1)
    return round(BOUNDS_MS[-1], 1)


def _difference(after: Sequence[int], before: Sequence[int]) -> list[int]:
    padded = [*before, *([0] * (len(after) - len(before)))]
    return [max(0, new - old) for new, old in zip(after, padded, strict=False)]
