"""Decides which images nobody needs any more. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Local:
    """An image in the engine's store, with all its names; `made` is in Unix seconds."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    ours: bool
    """Whether its labels say that this installation built it."""
    made: float


def kept_digests(keep: Mapping[str, frozenset[str]], app: str) -> frozenset[str]:
    """The digests of an app's references that are kept."""
    return frozenset(reference.rpartition("@")[2] for reference in keep.get(app, frozenset()))


def names_to_remove(
    images: Iterable[Local],
    prefix: str,
    keep: Mapping[str, frozenset[str]],
    used: frozenset[str],
    now: float,
    grace_s: float,
) -> tuple[str, ...]:
    """The names, or ids of nameless images, to take away from the engine's store.

    Only names below `prefix` (our registry), and nameless images that we built. An image that a container uses, that a
    kept reference names, or that is younger than `grace_s` (a deploy may be about to need it) keeps all its names.
    """
    kept = frozenset(reference for references in keep.values() for reference in references)
    gone: list[str] = []
    for image in images:
        ours = [name for name in (*image.tags, *image.digests) if name.startswith(prefix)]
        strange = [name for name in image.tags if not name.startswith(prefix)]
        if image.id in used or kept.intersection(image.digests) or now - image.made < grace_s:
            continue
        if ours:
            gone += ours
        elif image.ours and not strange and not image.digests:
            gone.append(image.id)
    return tuple(gone)
