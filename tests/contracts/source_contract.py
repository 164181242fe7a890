"""What every source has to do."""

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from leeward.errors import FetchFailed
from leeward.model.release import SourceRef
from leeward.ports import Source


class SourceContract(ABC):
    """Inherited by the tests of every adapter. `Dockerfile` and `src/main.py` are in the tree that `ref` names."""

    @abstractmethod
    async def source(self) -> Source:
        """The adapter, holding one tree."""

    @abstractmethod
    async def ref(self) -> SourceRef:
        """What names the tree."""

    @abstractmethod
    def absent(self) -> SourceRef:
        """What names nothing; the user's own word for it is 'nowhere'."""

    async def test_the_tree_is_put_where_it_was_asked_for(self, tmp_path: Path) -> None:
        said: list[str] = []

        fetched = await (await self.source()).fetch("shop", await self.ref(), tmp_path / "tree", said.append)

        assert fetched.tree == tmp_path / "tree"
        assert (fetched.tree / "src" / "main.py").read_text() == "print('hello')\n"
        assert (fetched.tree / "Dockerfile").is_file()

    async def test_the_commit_is_named_in_full_and_the_same_each_time(self, tmp_path: Path) -> None:
        source, ref = await self.source(), await self.ref()

        first = await source.fetch("shop", ref, tmp_path / "a", lambda line: None)
        second = await source.fetch("shop", ref, tmp_path / "b", lambda line: None)

        assert first.commit == second.commit
        assert len(first.commit) in (40, 64)
        assert set(first.commit) <= set("0123456789abcdef")

    async def test_a_second_fetch_leaves_nothing_of_what_was_there(self, tmp_path: Path) -> None:
        source, ref = await self.source(), await self.ref()
        await source.fetch("shop", ref, tmp_path / "tree", lambda line: None)
        (tmp_path / "tree" / "left.txt").write_text("left by another")

        await source.fetch("shop", ref, tmp_path / "tree", lambda line: None)

        assert sorted(path.name for path in (tmp_path / "tree").rglob("*") if path.is_file()) == [
            "Dockerfile",
            "main.py",
        ]

    async def test_what_is_not_there_is_refused_in_the_users_own_word_with_a_next_step(self, tmp_path: Path) -> None:
        with pytest.raises(FetchFailed, match="nowhere") as caught:
            await (await self.source()).fetch("shop", self.absent(), tmp_path / "tree", lambda line: None)

        assert caught.value.hint
