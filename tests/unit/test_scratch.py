"""Folders for work: what a death leaves is swept away, and nothing that is mounted or in use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leeward.builders import scratch as room
from leeward.builders.scratch import mounts, remove, scratch, sweep

# A process that works in a folder and dies by itself without a word.
DIES = (
    "import os, sys\nfrom pathlib import Path\nfrom leeward.builders.scratch import scratch\n"
    "with scratch(Path(sys.argv[1]), 'a-') as folder:\n    (folder / 'x').mkdir()\n"
    "    (folder / 'x' / 'y').write_text('z')\n    os.kill(os.getpid(), 9)\n"
)


def test_a_folder_is_gone_when_its_work_is_over(tmp_path: Path) -> None:
    with scratch(tmp_path, "a-") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "link").symlink_to("/etc")
        assert folder.parent == tmp_path

    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob("a-*/x/y"))) == 1
    (tmp_path / "b-1").mkdir()
    (tmp_path / "a-file").write_text("kept")
    (tmp_path / "a-link").symlink_to(tmp_path / "b-1")

    with scratch(tmp_path, "a-") as living:
        assert sweep(tmp_path, ("a-",)) == ()

        assert {path.name for path in tmp_path.iterdir()} == {"b-1", "a-file", "a-link", living.name}


def test_a_folder_with_a_mount_below_stays_whole_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b-1"
    (folder / "root" / "dev").mkdir(parents=True)
    (folder / "root" / "dev" / "null").write_text("")
    table = tmp_path / "mountinfo"
    where = str(folder / "root" / "dev").replace(" ", "\\040")
    table.write_text(f"21 1 0:5 / {where} rw,relatime shared:2 - devtmpfs udev rw\n")
    monkeypatch.setattr(room, "mounts", lambda: mounts(table))

    assert sweep(tmp_path, ("a b-",)) == (folder,)
    assert (folder / "root" / "dev" / "null").exists()
    assert not remove(folder)


def test_the_mounts_of_this_machine_are_read() -> None:
    assert Path("/") in mounts() or not os.path.exists("/proc/self/mountinfo")
