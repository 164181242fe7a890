"""The sizes that an instance can have."""

from dataclasses import dataclass
from enum import StrEnum


class Size(StrEnum):
    """The name of a size, as written in `leeward.yaml`."""

    NANO = "nano"
    MICRO = "micro"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    XL = "xl"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use: `millicpu` thousandths of a core (throttled), `memory_mib` MiB (hard)."""

    millicpu: int
    memory_mib: int
    usd_per_month: float


SIZES: dict[Size, Limits] = {
    Size.NANO: Limits(100, 256, 2),
    Size.MICRO: Limits(250, 512, 5),
    Size.SMALL: Limits(500, 1024, 10),
    Size.MEDIUM: Limits(1000, 2048, 20),
    Size.LARGE: Limits(2000, 4096, 40),
    Size.XL: Limits(4000, 8192, 80),
}
