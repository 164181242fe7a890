"""A registry in memory, for tests."""

import hashlib
from collections.abc import Mapping, Sequence

from leeward.errors import FetchFailed, PushFailed, RolloutFailed
from leeward.model.image import BaseMark, Held, ImageFacts, LayerPackages

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
        self.marks: dict[str, BaseMark] = {}
        """Image id to the base that it stands on."""
        self.packages: dict[str, LayerPackages] = {}
        """Layer to what it says of packages."""
        self.layers: dict[str, tuple[str, ...]] = {}
        """Image id to its layers, from the bottom; without an entry an image is one layer."""
        self.bound: dict[str, str] = {}
        """Image id to the reason why it cannot be put on another base."""

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

    async def adopt(self, reference: str, app: str, tag: str) -> str:
        """Keep what `stored` has."""
        if reference not in self.stored:
            raise PushFailed(f"the registry has no '{reference}'", hint="build it again")
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

    async def describe(self, reference: str) -> ImageFacts:
        """From `layers` and `marks`."""
        await self.ensure(reference)
        id = self.stored[reference]
        return ImageFacts(reference, self.layers.get(id, (f"sha256:{id[-64:]}",)), "amd64", self.marks.get(id))

    async def contents(self, reference: str, known: frozenset[str] = frozenset()) -> Mapping[str, LayerPackages]:
        """From `packages`."""
        layers = (await self.describe(reference)).layers
        return {layer: self.packages.get(layer, LayerPackages()) for layer in layers if layer not in known}

    async def rebase(self, reference: str, app: str, tag: str, base: str, onto: BaseMark) -> str:
        """A new id with the base's layers below."""
        facts = await self.describe(reference)
        old = self.stored[reference]
        if base not in self.local:
            raise PushFailed(f"base image '{base}' is not on this machine", hint="rebase again: it is made anew")
        if reason := self.bound.get(old):
            raise PushFailed(reason, hint="deploy it again to build it on the new base")
        id = f"sha256:{hashlib.sha256(f'{old} {base}'.encode()).hexdigest()}"
        self.local.add(id)
        self.layers[id] = (*self.layers.get(base, (base,)), *facts.layers[onto.layers :])
        self.marks[id] = onto
        return await self.push(id, app, tag)

    async def held(self) -> Sequence[Held]:
        """Every reference, in the order in which they came."""
        prefix = len(self.address) + 1
        return [
            Held(name[prefix:].partition("@")[0], name, float(place), ((id, _SIZE),))
            for place, (name, id) in enumerate(self.stored.items())
        ]

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
