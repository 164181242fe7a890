"""Decide what a deploy's receipt says, from what the edge counted. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from leeward.model.release import Receipt
from leeward.model.route import BOUNDS_MS, Traffic


def receipt(before: Traffic, after: Traffic, old_peers: frozenset[str]) -> Receipt:
    """Requests between two looks at the edge's counters; `old_peers` are the instances that traffic left: streams
    still open on them were kept."""
    spent = since(before, after)
    return Receipt(
        requests=spent.requests,
        failed=spent.failed,
        p50_ms=quantile(spent.buckets, 0.5),
        p99_ms=quantile(spent.buckets, 0.99),
        sockets_kept=sum(count for peer, count in after.streams if peer in old_peers),
        sockets_dropped=spent.dropped,
    )


def settled(told: Receipt, before: Traffic, later: Traffic, left: frozenset[str], over: bool) -> Receipt | None:
    """The receipt once the instances that traffic left have gone; None while streams are open on them.

    `told` is the receipt of the switch, `over` whether the drain must have ended by now.
    """
    open_still = sum(count for peer, count in later.streams if peer in left)
    if open_still and not over:
        return None
    dropped = max(told.sockets_dropped, since(before, later).dropped)
    return replace(
        told, sockets_kept=max(0, told.sockets_kept - (dropped - told.sockets_dropped)), sockets_dropped=dropped
    )


def since(before: Traffic, after: Traffic) -> Traffic:
    """What was counted between two looks.

    A look with smaller counters than the one before means that the edge was restarted in between: then all of it
    counts.
    """
    if after.requests < before.requests:
        before = Traffic(before.app)
    padded = [*before.buckets, *([0] * (len(after.buckets) - len(before.buckets)))]
    return replace(
        after,
        requests=after.requests - before.requests,
        failed=max(0, after.failed - before.failed),
        buckets=tuple(max(0, new - old) for new, old in zip(after.buckets, padded, strict=False)),
        dropped=max(0, after.dropped - before.dropped),
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
