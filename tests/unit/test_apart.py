"""A command with mounts of its own, and what is said where a machine refuses that."""

import pytest

from leeward.builders import apart as room
from leeward.builders.apart import APART, apart


async def test_where_mounts_cannot_be_set_apart_it_runs_all_the_same_and_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    for words in (("sh", "-c", "echo unshare failed: Operation not permitted >&2; exit 1"), ("/nowhere/setpriv",)):
        monkeypatch.setattr(room, "APART", words)

        assert await apart(("make", "it"), said.append) == ("make", "it")

    assert "(unshare failed: Operation not permitted)" in said[0]
    assert "/nowhere/setpriv" in said[1]


async def test_where_they_can_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(room, "APART", ("env",))

    assert await apart(("make", "it"), said.append) == ("env", "make", "it")
    assert not said


def test_mounts_and_processes_end_with_the_command_and_with_us() -> None:
    assert {"--mount", "--pid", "--fork", "--kill-child", "--pdeathsig"} <= set(APART)
    assert APART[APART.index("--propagation") + 1] == "private"
