"""What every store of files has to do."""

import os
from datetime import timedelta
from pathlib import Path

from leeward.ports import FileStore
from leeward.store.files import PART_BYTES
from tests.contracts.test_stores import Clock

DAY = timedelta(days=1)


class FileStoreContract:
    async def test_a_file_comes_back_as_it_was_also_one_of_many_parts(self, files: FileStore, tmp_path: Path) -> None:
        sent, brought = tmp_path / "sent", tmp_path / "brought"
        for content in (b"", b"one", os.urandom(2 * PART_BYTES + 7)):
            sent.write_bytes(content)
            await files.put("upload/1", sent)

            assert await files.get("upload/1", brought) == await files.mark("upload/1") != ""
            assert brought.read_bytes() == content

    async def test_what_was_never_kept_or_is_dropped_is_not_there(self, files: FileStore, tmp_path: Path) -> None:
        (tmp_path / "sent").write_bytes(b"one")
        await files.put("upload/1", tmp_path / "sent")

        await files.drop("upload/1")
        await files.drop("upload/1")

        assert await files.mark("upload/1") == ""
        assert await files.get("upload/1", tmp_path / "brought") == ""
        assert not (tmp_path / "brought").exists()

    async def test_another_content_has_another_mark(self, files: FileStore, tmp_path: Path) -> None:
        marks = []
        for content in (b"one", b"two"):
            (tmp_path / "sent").write_bytes(content)
            await files.put("git/shop", tmp_path / "sent")
            marks.append(await files.mark("git/shop"))

        assert marks[0] != marks[1]

    async def test_what_was_not_used_for_longest_goes_first_but_nothing_that_is_busy_or_young(
        self, files: FileStore, clock: Clock, tmp_path: Path
    ) -> None:
        (tmp_path / "sent").write_bytes(b"x" * 1000)
        for name in ("busy", "old", "used", "new"):
            await files.put(name, tmp_path / "sent")
            clock.at += DAY
        await files.get("used", tmp_path / "brought")
        await files.put("young", tmp_path / "sent")
        clock.at += timedelta(minutes=1)

        assert await files.sweep(4000, ("busy",)) == 1000
        assert [name for name in ("busy", "old", "used", "new", "young") if not await files.mark(name)] == ["old"]
        assert await files.sweep(0, ("busy",)) == 1000
        left = [name for name in ("busy", "used", "new", "young") if await files.mark(name)]
        assert left == ["busy", "used", "young"]
