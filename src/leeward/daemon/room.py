"""See how much room this machine has for more instances."""

import psutil

from leeward.plan.scale import Room
from leeward.settings import MIB


def free_room() -> Room:
    """Now."""
    return Room(psutil.virtual_memory().available // MIB, 1000 * (psutil.cpu_count() or 1))
