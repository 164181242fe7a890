"""Decide which images go so that the rest is within its budget. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from leeward.model.image import Held

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Sparing:
    """What stays, in references; the bytes before and after, and what is said when the budget cannot be kept."""

    keep: frozenset[str]
    before: int
    after: int
    over: str = ""


def spare(held: Iterable[Held], protected: frozenset[str], budget: int) -> Sparing:
    """Which images stay: all that are protected, and as many of the others as the budget has room for, newest first.

    A part that several images share counts once, and is freed only with the last of them. When the protected ones
    alone are over the budget, removing the others would not help: nothing goes.
    """
    images = sorted(held, key=lambda image: (image.made, image.reference))
    sizes = {part: size for image in images for part, size in image.parts}
    users = Counter(part for image in images for part, _ in set(image.parts))
    before = used = sum(sizes.values())
    needed = {part for image in images if image.reference in protected for part, _ in image.parts}
    floor = sum(sizes[part] for part in needed)
    everything = frozenset(image.reference for image in images)
    if floor > budget:
        return Sparing(everything, before, before, _sentence(floor, budget, len(protected & everything)))
    gone: set[str] = set()
    for image in images:
        if used <= budget:
            break
        if image.reference in protected:
            continue
        gone.add(image.reference)
        for part, size in set(image.parts):
            users[part] -= 1
            if not users[part]:
                used -= size
    return Sparing(everything - gone, before, used)


def _sentence(floor: int, budget: int, count: int) -> str:
    return (
        f"the {count} images that rollbacks need take {floor // _MB} MB, more than the budget of {budget // _MB} MB: "
        "nothing is removed; raise LEEWARD_IMAGES_MIB or lower LEEWARD_KEEP_RELEASES"
    )
