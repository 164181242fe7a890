"""Frees the embedded registry's disk of manifests and blobs that no kept release needs.

The registry has no safe garbage collection while it serves. This one is safe, as only this process pushes to it: the
caller holds pushes back meanwhile, and whatever is younger than the grace time stays.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leeward.registry.gc import kept_digests


class Sweep:
    """One pass over the registry's files."""

    def __init__(self, data: Path, memory: Path, now: float, grace_s: float) -> None:
        self._repositories = data / "repositories"
        self._blobs = data / "blobs" / "sha256"
        self._memory = memory
        self._now, self._grace_s = now, grace_s

    def run(self, keep: Mapping[str, frozenset[str]]) -> int:
        """Remove what is not kept; bytes that were freed."""
        if not self._repositories.is_dir():
            return 0
        needed: set[str] = set()
        for repository in self._found():
            app = str(repository.relative_to(self._repositories))
            self._forget_manifests(repository, kept_digests(keep, app))
            here = {digest for manifest in self._manifests(repository) for digest in self._reachable(manifest)}
            self._forget_layers(repository, here)
            needed |= here
        freed = self._drop_blobs(needed)
        self._forget_notes()
        return freed

    def _found(self) -> Iterator[Path]:
        for manifests in self._repositories.rglob("_manifests"):
            yield manifests.parent

    def _manifests(self, repository: Path) -> Iterator[str]:
        for revision in _children(repository / "_manifests" / "revisions" / "sha256"):
            yield revision.name

    def _forget_manifests(self, repository: Path, kept: frozenset[str]) -> None:
        for revision in _children(repository / "_manifests" / "revisions" / "sha256"):
            if f"sha256:{revision.name}" not in kept and self._old(revision):
                shutil.rmtree(revision, ignore_errors=True)
        left = frozenset(self._manifests(repository))
        for tag in _children(repository / "_manifests" / "tags"):
            current = _text(tag / "current" / "link").removeprefix("sha256:")
            if current not in left:
                shutil.rmtree(tag, ignore_errors=True)
            for entry in _children(tag / "index" / "sha256"):
                if entry.name not in left:
                    shutil.rmtree(entry, ignore_errors=True)

    def _forget_layers(self, repository: Path, needed: set[str]) -> None:
        for link in _children(repository / "_layers" / "sha256"):
            if link.name not in needed and self._old(link):
                shutil.rmtree(link, ignore_errors=True)

    def _reachable(self, manifest: str) -> Iterator[str]:
        """The manifest's own blob and all that it names."""
        yield manifest
        with contextlib.suppress(OSError, ValueError):
            content: Any = json.loads((self._blob(manifest) / "data").read_bytes())
            for part in (content.get("config"), *content.get("layers", ()), *content.get("manifests", ())):
                if isinstance(part, dict):
                    name = str(part.get("digest", "")).removeprefix("sha256:")
                    yield name
                    if "manifest" in str(part.get("mediaType", "")):
                        yield from self._reachable(name)

    def _drop_blobs(self, needed: set[str]) -> int:
        freed = 0
        for shelf in _children(self._blobs):
            for blob in _children(shelf):
                if blob.name not in needed and self._old(blob):
                    with contextlib.suppress(OSError):
                        size = (blob / "data").stat().st_size
                        shutil.rmtree(blob)
                        freed += size
        return freed

    def _forget_notes(self) -> None:
        for note in _children(self._memory):
            with contextlib.suppress(OSError, ValueError, KeyError):
                name = str(json.loads(note.read_bytes())["digest"]).removeprefix("sha256:")
                if not self._blob(name).is_dir():
                    note.unlink(missing_ok=True)

    def _blob(self, name: str) -> Path:
        return self._blobs / name[:2] / name

    def _old(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            return self._now - path.stat().st_mtime >= self._grace_s
        return False


def _children(folder: Path) -> tuple[Path, ...]:
    with contextlib.suppress(OSError):
        return tuple(folder.iterdir())
    return ()


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
