"""Read the counters that nginx reports. Pure."""

from dataclasses import replace

from leeward.model.route import Traffic

# The numbers of a line, in this order: bytes, streams seen, dropped, five status classes, then the buckets.
HEAD = 8
CLASSES = (1, 2, 3, 4, 5)


def parse_traffic(text: str) -> dict[str, Traffic]:
    """The counters by app."""
    found = {}
    for line in text.splitlines():
        # An edge that was started before open requests were counted does not say how many there are.
        app, numbers, streams, *open_requests = line.split("\t")
        counted = _traffic(app, [int(number) for number in numbers.split()], streams)
        found[app] = replace(counted, open=sum(map(int, open_requests[:1])))
    return found


def _traffic(app: str, numbers: list[int], streams: str) -> Traffic:
    status = tuple((kind, count) for kind, count in zip(CLASSES, numbers[3:HEAD], strict=True) if count)
    open_streams: dict[str, int] = {}
    for part in streams.split(","):
        peer, _, count = part.rpartition("=")
        if peer:
            open_streams[peer] = open_streams.get(peer, 0) + int(count)
    return Traffic(
        app=app,
        requests=sum(count for _, count in status),
        failed=dict(status).get(5, 0),
        bytes_out=numbers[0],
        buckets=tuple(numbers[HEAD:]),
        status=status,
        streams=tuple(sorted(open_streams.items())),
        streams_seen=numbers[1],
        dropped=numbers[2],
    )
