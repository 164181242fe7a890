"""Makes images in the engine's store out of layers that it has, with a configuration of our own."""

import contextlib
import hashlib
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from leeward.plan.rebase import own_packages, rebased
from leeward.plan.settle import dated, settled_config, settled_tar
from leeward.registry.blobs import Refused, Stopped
from leeward.registry.layers import Layer, Store, Unreadable, chains, digest, entries, names, read, tar_size

_STATUS = "var/lib/dpkg/status"
_BLOCK = 10240


class NotRebasable(Exception):
    """Something above the base depends on the base's own content."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A layer as the engine is given it: the digest and bytes of its tar, which is as large as that of `layer`."""

    diff: str
    layer: Layer
    tar: Callable[[], Iterator[bytes]]


class Composer:
    """Makes images. Every method blocks."""

    def __init__(self, socket: Path, store: Store, memory: Path, stop: threading.Event) -> None:
        self._socket, self._store, self._memory, self._stop = socket, store, memory, stop

    def settle(self, id: str) -> str:
        """The image without dates and places of its build; its id. Raises Unreadable, Refused, Stopped."""
        raw = self._store.config(id)
        parts = [self._settled(layer) for layer in self._store.layers(raw)]
        return self._load(settled_config(json.loads(raw), [part.diff for part in parts]), parts)

    def rebase(self, id: str, base: str, count: int) -> str:
        """The image with the layers of `base` in place of its lowest `count`; its id.

        Raises NotRebasable naming what stands in the way, Unreadable, Refused, Stopped.
        """
        raw, theirs = self._store.config(id), self._store.config(base)
        layers, lower = self._store.layers(raw), self._store.layers(theirs)
        self._check(layers[:count], layers[count:])
        parts = [_Part(layer.diff, layer, partial(read, layer)) for layer in (*lower, *layers[count:])]
        return self._load(rebased(json.loads(raw), json.loads(theirs), count), parts)

    def _check(self, base: Sequence[Layer], above: Sequence[Layer]) -> None:
        for layer in above:
            touched = [path for path, _ in names(layer) if path.startswith(("var/lib/dpkg/", "etc/ld.so.cache"))]
            if not touched:
                continue
            own = own_packages(_text(base, _STATUS), _text((layer,), _STATUS))
            what = f"installs {', '.join(own[:6])}" if own else f"changes '/{touched[0]}'"
            raise NotRebasable(f"its image {what} on top of the base")

    def _settled(self, layer: Layer) -> _Part:
        note = self._memory / "settled" / layer.diff.removeprefix("sha256:")
        tar = partial(_clamped, layer)
        with contextlib.suppress(OSError):
            return _Part(note.read_text().strip(), layer, tar)
        diff = layer.diff if self._is_settled(layer) else self._hashed(tar())
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        draft.write_text(diff)
        draft.replace(note)
        return _Part(diff, layer, tar)

    def _is_settled(self, layer: Layer) -> bool:
        """Whether no time in it would be changed: only its recipe is read, none of its files."""
        try:
            return not any(self._is_dated(header) for _, header, _ in entries(layer))
        except ValueError as error:
            raise Unreadable(f"layer {layer.diff}: {error}") from error

    def _is_dated(self, header: bytes) -> bool:
        self._go_on()
        return dated(header)

    def _hashed(self, tar: Iterator[bytes]) -> str:
        seen = hashlib.sha256()
        for chunk in tar:
            self._go_on()
            seen.update(chunk)
        return f"sha256:{seen.hexdigest()}"

    def _load(self, config: Mapping[str, Any], parts: Sequence[_Part]) -> str:
        """Give the engine the configuration, and the layers that it lacks in this order; the image's id."""
        content = json.dumps(config, separators=(",", ":"), ensure_ascii=False).encode()
        id = digest(content)
        if self._store.has_image(id):
            return id
        above = chains([part.diff for part in parts])
        # Until it has a name, only this says that the image is ours.
        composed = notes(self._memory)
        composed.mkdir(parents=True, exist_ok=True)
        (composed / id.removeprefix("sha256:")).touch()
        missing = [part for part, chain in zip(parts, above, strict=True) if not self._store.has(chain)]
        transport = httpx.HTTPTransport(uds=str(self._socket), verify=False)
        timeout = httpx.Timeout(60.0, read=1800.0, write=1800.0)
        try:
            with httpx.Client(transport=transport, verify=False, base_url="http://docker") as client:
                archive = self._archive(content, parts, missing)
                answer = client.post("/images/load", params={"quiet": "1"}, content=archive, timeout=timeout)
        except httpx.HTTPError as error:
            raise Refused(f"dockerd did not take the image: {error}") from error
        if answer.status_code != 200 or '"error"' in answer.text or not self._store.has_image(id):
            raise Refused(f"dockerd did not take the image: {answer.text[-300:].strip()}")
        return id

    def _archive(self, config: bytes, parts: Sequence[_Part], missing: Sequence[_Part]) -> Iterator[bytes]:
        """What `docker load` reads; of layers that the engine has, only the names."""
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        layers = [f"{part.diff.removeprefix('sha256:')}.tar" for part in parts]
        manifest = json.dumps([{"Config": name, "RepoTags": None, "Layers": layers}]).encode()
        for file, content in (("manifest.json", manifest), (name, config)):
            yield _header(file, len(content)) + content + bytes(-len(content) % 512)
        for part in {part.diff: part for part in missing}.values():
            size = tar_size(part.layer)
            yield _header(f"{part.diff.removeprefix('sha256:')}.tar", size)
            for chunk in part.tar():
                self._go_on()
                yield chunk
            yield bytes(-size % 512)
        yield bytes(_BLOCK)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped


def notes(memory: Path) -> Path:
    """Where the ids of images stand that were made here, and may have no name yet."""
    return memory / "composed"


def _clamped(layer: Layer) -> Iterator[bytes]:
    try:
        yield from settled_tar((header, content) for _, header, content in entries(layer))
    except ValueError as error:
        raise Unreadable(f"layer {layer.diff}: {error}") from error


def _header(name: str, size: int) -> bytes:
    item = tarfile.TarInfo(name)
    item.size, item.mode = size, 0o600
    return item.tobuf(tarfile.GNU_FORMAT)


def _text(layers: Sequence[Layer], path: str) -> str:
    """The content of a file in the highest of these layers that has it."""
    for layer in reversed(layers):
        with contextlib.suppress(OSError):
            return (layer.files / path).read_text(errors="replace")
    return ""
