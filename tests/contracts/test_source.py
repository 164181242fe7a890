"""Every source keeps the contract."""

import io
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leeward.fakes.source import FakeSource
from leeward.model.release import SourceKind, SourceRef
from leeward.ports import Source
from leeward.settings import Settings
from leeward.sources.git import GitSource
from leeward.sources.pushed import PushedSource
from leeward.sources.upload import UploadSource
from tests.contracts.source_contract import SourceContract

FILES = {"Dockerfile": "FROM x\n", "src/main.py": "print('hello')\n"}


def git(*words: str, at: Path) -> str:
    argv = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-C", str(at), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def repository(at: Path) -> Path:
    at.mkdir(parents=True)
    for name, text in FILES.items():
        (at / name).parent.mkdir(exist_ok=True)
        (at / name).write_text(text)
    git("init", "-q", at=at)
    git("add", ".", at=at)
    git("commit", "-q", "-m", "begin", at=at)
    return at


class TestFakeSource(SourceContract):
    async def source(self) -> Source:
        return FakeSource({"main": FILES})

    async def ref(self) -> SourceRef:
        return SourceRef(SourceKind.GIT, url="x", ref="main")

    def absent(self) -> SourceRef:
        return SourceRef(SourceKind.GIT, url="x", ref="nowhere")


class TestGitSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _repository(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        root = tmp_path_factory.mktemp("git")
        self.url = str(repository(root / "app"))
        self.settings = Settings(home=root / "home")

    async def source(self) -> Source:
        return GitSource(self.settings)

    async def ref(self) -> SourceRef:
        return SourceRef(SourceKind.GIT, url=self.url, ref="main")

    def absent(self) -> SourceRef:
        return SourceRef(SourceKind.GIT, url=self.url, ref="nowhere")


class TestPushedSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _repository(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        root = tmp_path_factory.mktemp("pushed")
        work = repository(root / "work")
        bare = root / "home" / "git" / "shop.git"
        bare.mkdir(parents=True)
        git("init", "-q", "--bare", at=bare)
        git("push", "-q", str(bare), "HEAD:refs/heads/main", at=work)
        self.settings = Settings(home=root / "home")

    async def source(self) -> Source:
        return PushedSource(self.settings)

    async def ref(self) -> SourceRef:
        return SourceRef(SourceKind.PUSH, ref="main")

    def absent(self) -> SourceRef:
        return SourceRef(SourceKind.PUSH, ref="nowhere")


class TestUploadSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.uploads = UploadSource(Settings(home=tmp_path_factory.mktemp("upload")))

    async def source(self) -> Source:
        return self.uploads

    async def ref(self) -> SourceRef:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for name, text in FILES.items():
                entry = tarfile.TarInfo(f"./{name}")
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text.encode()))

        async def chunks() -> AsyncIterator[bytes]:
            yield data.getvalue()

        return SourceRef(SourceKind.UPLOAD, upload=(await self.uploads.receive("shop", chunks())).id)

    def absent(self) -> SourceRef:
        return SourceRef(SourceKind.UPLOAD, upload="nowhere")
