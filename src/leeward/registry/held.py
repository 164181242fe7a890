"""Weighs the images of the embedded registry, with the copies that the engine has of them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leeward.model.image import Held
from leeward.registry.layers import Store, Unreadable, chains


def held(data: Path, store: Store, registry: str) -> Iterator[Held]:
    """Every image of ours, with the bytes of its blobs and of its unpacked layers. Blocks."""
    repositories = data / "repositories"
    for manifests in repositories.rglob("_manifests") if repositories.is_dir() else ():
        app = str(manifests.parent.relative_to(repositories))
        for revision in _children(manifests / "revisions" / "sha256"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                made = (revision / "link").stat().st_mtime
                blob = data / "blobs" / "sha256" / revision.name[:2] / revision.name / "data"
                content = blob.read_bytes()
                parts = {f"blob {revision.name}": len(content), **_parts(json.loads(content), store)}
                yield Held(app, f"{registry}/{app}@sha256:{revision.name}", made, tuple(sorted(parts.items())))


def _parts(manifest: Any, store: Store) -> dict[str, int]:
    parts = {f"blob {part['digest']}": int(part["size"]) for part in (manifest["config"], *manifest["layers"])}
    with contextlib.suppress(Unreadable):
        config = json.loads(store.config(manifest["config"]["digest"]))
        parts |= {f"layer {chain}": store.size(chain) for chain in chains(config["rootfs"]["diff_ids"])}
    return parts


def _children(folder: Path) -> tuple[Path, ...]:
    with contextlib.suppress(OSError):
        return tuple(folder.iterdir())
    return ()
