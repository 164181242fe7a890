"""Sources in memory, for tests."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from leeward.errors import FetchFailed, Invalid, TooLarge
from leeward.model.release import SourceRef
from leeward.ports import Fetched, GitAnswer, Say, Upload

Files = Mapping[str, str]


class FakeSource:
    """Trees that were put in by hand, by the name that a `SourceRef` asks for (commit, ref, upload or url)."""

    def __init__(self, trees: Mapping[str, Files] | None = None) -> None:
        self.trees: dict[str, Files] = dict(trees or {})
        self.fetched: list[SourceRef] = []

    async def fetch(self, app: str, ref: SourceRef, into: Path, say: Say) -> Fetched:
        """Write the tree."""
        self.fetched.append(ref)
        name = next((name for name in (ref.commit, ref.ref, ref.upload, ref.url) if name in self.trees), None)
        if name is None:
            wanted = ref.commit or ref.ref or ref.upload or ref.url
            raise FetchFailed(f"there is no '{wanted}'", hint="push it first")
        await asyncio.to_thread(_write, self.trees[name], into)
        say(f"fetched {len(self.trees[name])} files")
        return Fetched(into, _commit(self.trees[name]), f"tree {name}")


class FakeUploads:
    """Archives in memory."""

    def __init__(self, limit: int = 1024 * 1024) -> None:
        self.archives: dict[str, bytes] = {}
        self._limit = limit

    async def receive(self, app: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Keep the bytes."""
        data = b""
        async for chunk in chunks:
            data += chunk
            if len(data) > self._limit:
                raise TooLarge(f"the upload is larger than {self._limit} bytes", hint="send less")
        if not data.startswith(b"\x1f\x8b"):
            raise Invalid("the upload is not a tar.gz archive", hint="use 'lee deploy'")
        id = f"up_{len(self.archives):024x}"
        self.archives[id] = data
        return Upload(id, f"sha256:{hashlib.sha256(data).hexdigest()}")


class FakeGits:
    """Branches that were put in by hand; a request moves them to what `next` holds."""

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, str]] = {}
        self.next: dict[str, str] = {}

    async def serve(
        self, app: str, method: str, path: str, query: str, headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> GitAnswer:
        """Take the request whole, and answer a flush packet."""
        async for _ in body:
            pass
        if path == "/git-receive-pack":
            self.branches.setdefault(app, {}).update(self.next)

        async def answer() -> AsyncIterator[bytes]:
            yield b"0000"

        return GitAnswer(200, (("Content-Type", f"application/x-{path.removeprefix('/')}-result"),), answer())

    async def heads(self, app: str) -> Mapping[str, str]:
        """What was pushed."""
        return dict(self.branches.get(app, {}))


def _write(files: Files, into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name, text in files.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(text)


def _commit(files: Files) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
