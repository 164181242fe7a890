"""Opens the images in the engine's store, so that others may look into them."""

import asyncio
import gzip
import json
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from leeward.errors import NotFound, Unavailable
from leeward.ports import Entry, ImageContent, LayerContent
from leeward.registry.images import Images
from leeward.registry.layers import Layer, Store, Unreadable, entries
from leeward.settings import Settings

_CHUNK = 1024 * 1024


class EngineContents:
    """The port Contents: from dockerd's overlay2 store as it lies on disk, else from what dockerd exports."""

    def __init__(self, settings: Settings) -> None:
        self._images = Images(settings.docker_socket)
        self._drafts = settings.run_dir

    @asynccontextmanager
    async def open(self, image: str) -> AsyncIterator[ImageContent]:
        """An image by id or name. Raises NotFound, Unavailable."""
        found = await self._images.find(image)
        if found is None:
            raise NotFound(f"image '{image[:80]}' is not on this machine", hint="build it again")
        root, driver = await self._images.data_root()
        if driver == "overlay2":
            try:
                opened = await asyncio.to_thread(_stored, Store(root), found.id)
            except Unreadable:
                opened = None
            if opened is not None:
                yield opened
                return
        self._drafts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._drafts) as file:
            await self._images.export(found.id, file.fileno())
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                yield _exported(archive)


def _stored(store: Store, id: str) -> ImageContent:
    config = store.config(id)
    layers = store.layers(config)
    if not all(layer.recipe.is_file() for layer in layers):
        raise Unreadable(f"image {id} has layers without a recipe")
    return ImageContent(config, [LayerContent(layer.diff, partial(_read, layer)) for layer in layers])


def _read(layer: Layer) -> Iterator[Entry]:
    try:
        for path, header, chunks in entries(layer):
            yield Entry(path, header, chunks)
    except Unreadable as error:
        raise Unavailable(f"the engine's store cannot be read: {error}", hint="it is tried again") from error


def _exported(archive: tarfile.TarFile) -> ImageContent:
    """The image in an archive as `docker save` makes it."""
    about = json.loads(_member(archive, "manifest.json"))[0]
    config = _member(archive, about["Config"])
    diffs = json.loads(config)["rootfs"]["diff_ids"]
    layers = zip(diffs, about["Layers"], strict=True)
    return ImageContent(config, [LayerContent(diff, partial(_of_tar, archive, name)) for diff, name in layers])


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    return file.read() if file else b""


def _of_tar(archive: tarfile.TarFile, name: str) -> Iterator[Entry]:
    outer = archive.extractfile(name)
    if outer is None:
        raise Unavailable(f"the engine's export has no layer '{Path(name).parent}'", hint="it is tried again")
    packed = outer.read(2) == b"\x1f\x8b"
    outer.seek(0)
    with tarfile.open(fileobj=gzip.GzipFile(fileobj=outer) if packed else outer, mode="r|") as layer:
        for member in layer:
            header = member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            file = layer.extractfile(member) if member.isreg() else None
            chunks = iter(partial(file.read, _CHUNK), b"") if file else ()
            yield Entry(member.name, header, chunks)
