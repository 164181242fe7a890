"""Measurements, each printed as one line of JSON."""

import json
import os
import signal
import sys
from collections.abc import Sequence


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    peer: str | None = None,
    peer_value: float | None = None,
    **about: object,
) -> None:
    """Print one figure; `peer` is what was measured beside it in the same run.

    `load` is the machine's load average over a minute: above its cores, others were at work, and only ratios count.
    """
    ratio = round(value / peer_value, 3) if peer_value else None
    known = None if peer_value is None else round(peer_value, 4)
    line = {"name": name, "value": round(value, 4), "unit": unit, "peer": peer or None, "peer_value": known}
    print(json.dumps({**line, "ratio": ratio, "load": round(os.getloadavg()[0], 2), **about}), flush=True)


def say(text: str) -> None:
    """Tell how far a measurement is, where nobody takes it for a figure."""
    print(text, file=sys.stderr, flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie, of those that were measured."""
    order = sorted(values)
    return order[min(len(order) - 1, int(len(order) * share))]


def end_in_order() -> None:
    """Let SIGTERM end this process as Ctrl-C does: what it made is taken away first."""
    # A shell starts what runs in its background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
