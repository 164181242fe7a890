"""Decide how many instances of a process should run, by what they use. Pure.

As Kubernetes' autoscaler has it: the mean use of all instances over the target gives the number; within a tenth nothing
changes; up at once, though at most to the double; down only to what was the most that a whole window asked for.
"""

import math
from dataclasses import dataclass

from leeward.model.app import Instances

TOLERANCE = 0.1
# At one look: twice as many, or four more where that is more.
MOST_AT_ONCE = 4
# What the machine keeps for itself and for builds.
SPARE_MIB = 512


@dataclass(frozen=True, slots=True)
class Use:
    """The mean use of the instances of a process, in percent of its size."""

    cpu: float
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """What the machine has: memory that is free now, and all its cores."""

    free_mib: int
    millicpu: int


@dataclass(frozen=True, slots=True)
class Choice:
    """How many instances should run, why, and what was asked for within the window."""

    count: int
    why: str
    asked: tuple[tuple[float, int], ...]
    """Unix seconds and number, oldest first."""
    lacks: bool = False
    """More are needed than the machine has room for."""


def choose(
    bounds: Instances,
    running: int,
    use: Use,
    now: float,
    window_s: float,
    asked: tuple[tuple[float, int], ...] = (),
    room: Room | None = None,
    size: tuple[int, int] = (1, 1),
) -> Choice:
    """One look. `size` is MiB and millicpu of an instance; without `room` the machine sets no bound."""
    least = max(bounds.min, min(1, bounds.max))
    needed, why = _needed(bounds, running, use)
    needed = max(least, min(bounds.max, needed))
    asked = (*_within(asked, now - window_s), (now, needed))
    if needed > running:
        most = max(running, min(max(2 * running, running + MOST_AT_ONCE), _fits(running, room, size)))
        return Choice(max(least, min(needed, most)), why, asked, lacks=_fits(running, room, size) < needed)
    # Nothing is known of the time before the first look: it counts as one in which all were needed.
    quiet = max(count for _, count in asked) if now - asked[0][0] >= window_s else running
    return Choice(max(least, min(bounds.max, running, max(needed, quiet))), why, asked)


def _needed(bounds: Instances, running: int, use: Use) -> tuple[int, str]:
    """The number that each target asks for; the larger one counts, with what it saw."""
    wishes = [(_by(running, use.cpu, bounds.cpu_percent), f"at {use.cpu:.0f} % CPU")]
    if bounds.memory_percent is not None:
        wishes.append((_by(running, use.memory, bounds.memory_percent), f"at {use.memory:.0f} % memory"))
    return max(wishes, key=lambda wish: wish[0])


def _within(asked: tuple[tuple[float, int], ...], since: float) -> tuple[tuple[float, int], ...]:
    """What was asked for since then, and what held when that began."""
    older = [one for one in asked if one[0] <= since]
    return (*older[-1:], *(one for one in asked if one[0] > since))


def _by(running: int, percent: float, target: int) -> int:
    ratio = percent / target
    return running if abs(ratio - 1) <= TOLERANCE else math.ceil(running * ratio)


def _fits(running: int, room: Room | None, size: tuple[int, int]) -> int:
    """The most that the machine can run; what runs already has its room."""
    if room is None:
        return 1_000_000
    memory = running + max(0, room.free_mib - SPARE_MIB) // max(1, size[0])
    return min(memory, max(1, room.millicpu // max(1, size[1])))
