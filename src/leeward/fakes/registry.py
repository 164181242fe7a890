"""A registry in memory, for tests."""

import hashlib
from collections.abc import Mapping

from leeward.errors import FetchFailed, PushFailed, RolloutFailed

_SIZE = 1_000_000


class FakeRegistry:
    """Images by id in the engine's store (`local`), and by reference in the registry (`stored`)."""

    def __init__(self, address: str = "registry.test") -> None:
        self.address = address
        self.local: set[str] = set()
        """Ids and names that the engine's store has."""
        self.stored: dict[str, str] = {}
        """Reference by digest to image id."""
        self.young: set[str] = set()
        """References that are too new to be collected."""
        self.pushed: list[tuple[str, str]] = []

    async def push(self, image_id: str, app: str, tag: str) -> str:
        """Keep it."""
        if image_id not in self.local:
            raise PushFailed(f"image '{image_id[:19]}' is not on this machine", hint="build it again")
        reference = f"{self.address}/{app}@sha256:{hashlib.sha256(image_id.encode()).hexdigest()}"
        self.stored[reference] = image_id
        self.local |= {reference, f"{self.address}/{app}:{tag}"}
        self.young.add(reference)
        self.pushed.append((reference, tag))
        return reference

    async def pin(self, image: str, app: str, tag: str) -> str:
        """Keep an image that `local` has by name."""
        if image.startswith(f"{self.address}/") and not image.startswith(
            (f"{self.address}/{app}:", f"{self.address}/{app}@")
        ):
            raise FetchFailed(f"the image '{image}' belongs to another app", hint="deploy an image of your own")
        if image not in self.local:
            raise FetchFailed(f"the image '{image}' could not be pulled", hint="check its name")
        return await self.push(image, app, tag)

    async def ensure(self, reference: str) -> None:
        """Have it in `local`."""
        if reference in self.local:
            return
        if reference not in self.stored:
            raise RolloutFailed(f"the image '{reference}' could not be pulled: not found", hint="deploy again")
        self.local.add(reference)

    async def forget(self, app: str) -> None:
        """Forget its names."""
        mine = (f"{self.address}/{app}@", f"{self.address}/{app}:")
        self.stored = {name: id for name, id in self.stored.items() if not name.startswith(mine)}
        self.local = {name for name in self.local if not name.startswith(mine)}

    async def collect(self, keep: Mapping[str, frozenset[str]]) -> int:
        """Forget what is neither kept nor young."""
        kept = {reference for references in keep.values() for reference in references}
        gone = [reference for reference in self.stored if reference not in kept and reference not in self.young]
        for reference in gone:
            id = self.stored.pop(reference)
            self.local.discard(reference)
            if id.startswith("sha256:") and id not in self.stored.values():
                self.local.discard(id)
        return len(gone) * _SIZE
