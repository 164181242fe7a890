"""Sends an image to the embedded registry, layer by layer, and only what that lacks."""

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from leeward.registry.blobs import MANIFEST, Blobs
from leeward.registry.layers import Layer, Store, digest, pack

_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Pusher:
    """Pushes from dockerd's own store; remembers which blob a layer became, in one small file each."""

    def __init__(self, registry: str, store: Store, memory: Path) -> None:
        self._registry = registry
        self._store = store
        self._memory = memory

    def push(self, image: str, repository: str, tag: str, stop: threading.Event) -> str:
        """Push; the manifest's digest. Blocks. Raises Refused, Unreadable, Stopped."""
        config = self._store.config(image)
        layers = self._store.layers(config)
        self._memory.mkdir(parents=True, exist_ok=True)
        with (
            httpx.Client(base_url=f"http://{self._registry}", timeout=120.0, trust_env=False, verify=False) as client,
            ThreadPoolExecutor(os.cpu_count() or 1) as threads,
        ):
            blobs = Blobs(client, repository, stop)
            descriptors = [self._layer(blobs, layer, repository, threads) for layer in layers]
            if not blobs.has(digest(config)):
                blobs.upload(iter((config,)))
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": _CONFIG, "size": len(config), "digest": digest(config)},
                "layers": descriptors,
            }
            return blobs.put_manifest(tag, manifest)

    def _layer(self, blobs: Blobs, layer: Layer, repository: str, threads: ThreadPoolExecutor) -> Mapping[str, Any]:
        note = self._memory / layer.diff.removeprefix("sha256:")
        known = _recall(note)
        if known is not None:
            name, size, other = known
            if blobs.has(name) or (other != repository and blobs.mount(name, other)):
                return {"mediaType": _LAYER, "size": size, "digest": name}
        name, size = blobs.upload(pack(layer, threads))
        _remember(note, name, size, repository)
        return {"mediaType": _LAYER, "size": size, "digest": name}


def _recall(note: Path) -> tuple[str, int, str] | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(note.read_bytes())
        return str(facts["digest"]), int(facts["size"]), str(facts["repository"])
    return None


def _remember(note: Path, name: str, size: int, repository: str) -> None:
    draft = note.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    draft.write_text(json.dumps({"digest": name, "size": size, "repository": repository}))
    draft.replace(note)
