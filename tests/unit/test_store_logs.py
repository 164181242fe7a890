"""Log files that outlive any crash."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.errors import Invalid, Unavailable
from leeward.model.runtime import LogLine
from leeward.store.chunks import averages, pack, unpack
from leeward.store.logfiles import BLOCK_BYTES, LogFiles
from leeward.store.loglines import LINE_BYTES, decode, encode, one_line_each, pieces, whole
from leeward.store.logs import FileLogStore
from leeward.store.samples import ChunkSampleStore

MIB = 1024 * 1024


def lines(first: int, count: int, source: str = "i1") -> list[LogLine]:
    return [
        LogLine(float(number), source, "stdout", f"line {number} " + "x" * 80, "web")
        for number in range(first, first + count)
    ]


def store(folder: Path, budget: int = 64 * MIB) -> FileLogStore:
    return FileLogStore(folder, budget)


def numbers(found: object) -> list[int]:
    return [int(line.text.split()[1]) for line in found]  # type: ignore[attr-defined]


async def test_what_was_appended_is_there_after_a_crash_at_any_moment(tmp_path: Path) -> None:
    for begin in range(0, 10_500, 1500):
        # Never closed: as if the process had been killed right after the append.
        await store(tmp_path).append("shop", lines(begin, 1500))

    reopened = store(tmp_path)

    assert numbers(await reopened.tail("shop", 10_000)) == list(range(500, 10_500))
    assert await reopened.last_at("shop", "i1") == 10_499
    assert len(list((tmp_path / "shop").glob("*.zst"))) == 1
    await reopened.close()


async def test_a_torn_line_costs_that_line_only(tmp_path: Path) -> None:
    await store(tmp_path).append("shop", lines(0, 3))
    tail = next((tmp_path / "shop").glob("*.tail"))
    with tail.open("ab") as file:
        file.write("3.0\ti1\tstdout\tweb\tlïne".encode()[:-3])

    reopened = store(tmp_path)
    await reopened.append("shop", lines(4, 1))

    assert numbers(await reopened.tail("shop")) == [0, 1, 2, 4]
    await reopened.close()


async def test_a_crash_between_block_and_tail_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Path, missing_ok: bool = False) -> None:
        raise OSError("killed")

    first = store(tmp_path)
    await first.append("shop", lines(0, 3000))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", crash)
        await first.append("shop", lines(3000, 3000))
    assert len(list((tmp_path / "shop").glob("*.tail"))) == 1

    reopened = store(tmp_path)
    await reopened.append("shop", lines(6000, 1))

    assert numbers(await reopened.tail("shop", 10_000)) == list(range(6001))
    assert [file.name for file in (tmp_path / "shop").glob("*.tail")] == ["run-000003.tail"]
    await reopened.close()


async def test_pages_go_back_through_blocks(tmp_path: Path) -> None:
    logs = store(tmp_path)
    for begin in range(0, 12_000, 4000):
        await logs.append("shop", lines(begin, 4000))

    assert numbers(await logs.tail("shop", 3, before=6000.0)) == [5997, 5998, 5999]
    assert numbers(await logs.tail("shop", 3, before=6000.0, source="i1", process="web")) == [5997, 5998, 5999]
    assert numbers(await logs.tail("shop", 2, search="LINE 1 ")) == [1]
    assert numbers(await logs.tail("shop", 2, source="i2")) == []
    await logs.close()


async def test_a_crash_before_the_index_row_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise sqlite3.OperationalError("killed")

    first = store(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("leeward.store.logindex.LogIndex.add", crash)
        await first.append("shop", lines(0, 4000))

    for again in (first, store(tmp_path)):
        assert numbers(await again.tail("shop", 10_000)) == list(range(4000))
    await again.append("shop", lines(4000, 1))
    assert numbers(await again.tail("shop", 10_000)) == list(range(4001))
    assert len(list((tmp_path / "shop").glob("*.tail"))) == 0


async def test_a_spoiled_block_costs_that_block_only(tmp_path: Path) -> None:
    logs = store(tmp_path)
    await logs.append("shop", lines(0, 4000))
    await logs.append("shop", lines(4000, 4000))
    segment = next((tmp_path / "shop").glob("*.zst"))
    data = bytearray(segment.read_bytes())
    data[:64] = bytes(64)
    segment.write_bytes(data)

    found = numbers(await logs.tail("shop", 10_000))

    assert found == list(range(found[0], 8000)) and 0 < found[0] < 4000
    await logs.close()


async def test_a_flood_stays_within_the_budget_without_a_sweep(tmp_path: Path) -> None:
    logs = store(tmp_path, MIB)
    for begin in range(0, 120_000, 10_000):
        await logs.append(
            "shop",
            [
                LogLine(float(n), "i1", "stdout", f"{n * 7919:x} {n * 104729:x} {n}")
                for n in range(begin, begin + 10_000)
            ],
        )

    used = sum(file.stat().st_size for file in (tmp_path / "shop").iterdir())

    assert used < MIB + 3 * BLOCK_BYTES
    assert (await logs.tail("shop", 1))[0].at == 119_999
    await logs.close()


async def test_sources_that_have_no_line_any_more_are_forgotten(tmp_path: Path) -> None:
    logs = store(tmp_path, MIB)
    for number in range(12):
        await logs.append(
            "shop",
            [LogLine(number * 10_000.0 + n, f"i{number}", "out", f"{n * 7919 * number:x} {n}") for n in range(12_000)],
        )
    await logs.sweep(200_000)

    assert await logs.last_at("shop", "i0") == 0.0
    assert await logs.last_at("shop", "i11") == 121_999.0
    await logs.close()


async def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    logs = store(tmp_path / "logs")
    for name in ("", "..", "a/b", ".gone", "a\0"):
        with pytest.raises(Invalid):
            await logs.append(name, lines(0, 1))
    await logs.close()


async def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = store(tmp_path)
    await logs.append("shop", lines(0, 2))

    with monkeypatch.context() as full:

        def write(descriptor: int, data: memoryview) -> int:
            if len(data) < 50:
                raise OSError(28, "No space left on device")
            return real(descriptor, data[:50])

        import os

        real = os.write
        full.setattr("leeward.store.logfiles.os.write", write)
        with pytest.raises(Unavailable, match="no space left"):
            await logs.append("shop", lines(2, 2))
    await logs.append("shop", lines(4, 1))

    assert numbers(await logs.tail("shop")) == [0, 1, 4]
    await logs.close()


async def test_states_of_many_apps_are_read_again_from_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leeward.store.logfiles._STATES", 2)
    files = LogFiles(tmp_path, MIB)
    for turn in range(2):
        for app in "abcde":
            files.append(app, "run", encode(lines(turn, 1)), {"i1": float(turn)})

    assert [files.last_at(app, "i1") for app in "abcde"] == [1.0] * 5
    files.close()


@given(st.lists(st.text(max_size=40), max_size=20))
def test_any_text_comes_back_but_for_line_feeds(texts: list[str]) -> None:
    put = one_line_each([LogLine(1.5, "i1", "stdout", text, "web") for text in texts])

    found = [decode(record) for record in encode(put).decode().split("\n")[:-1]]

    assert found == put
    assert "\n".join(line.text for line in put) == "\n".join(text.rstrip("\n") for text in texts)


@given(st.text(st.characters(), max_size=30), st.integers(1, 3 * LINE_BYTES))
def test_no_line_is_longer_than_the_cap(text: str, times: int) -> None:
    (line, *_) = one_line_each([LogLine(0.0, "i", "s", (text.replace("\n", "") or "é") * times)])

    assert len(line.text.encode()) <= LINE_BYTES


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 200))
def test_pieces_are_whole_records_and_nothing_is_lost(sizes: list[int], size: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in sizes)

    cut = list(pieces(data, size))

    assert b"".join(cut) == data
    assert all(whole(piece) == len(piece) <= size + 51 for piece in cut)


@given(
    st.lists(st.tuples(st.integers(0, 3_599_999), st.floats(-1e12, 1e12)), max_size=50),
    st.sampled_from([1e-9, 1.0, 1e12]),
)
def test_a_chunk_gives_its_points_back(points: list[tuple[int, float]], scale: float) -> None:
    put = [(7 * 3600 + offset / 1000, value * scale) for offset, value in sorted(points)]

    found = unpack(7, pack(7, put))

    assert [at for at, _ in found] == pytest.approx([at for at, _ in put])
    assert [value for _, value in found] == pytest.approx([value for _, value in put], abs=0.0006, rel=1e-12)


def test_averages_leave_empty_steps_out() -> None:
    assert averages([(0.0, 1.0), (5.0, 3.0), (25.0, 7.0), (30.0, 9.0)], 0, 30, 10) == [(0, 2.0), (20, 7.0)]


async def test_samples_outlive_a_crash_and_get_small(tmp_path: Path) -> None:
    file = tmp_path / "samples.db"
    start = 1_764_000_000.0
    for part in range(4):
        # Never closed.
        samples = ChunkSampleStore(file)
        for number in range(part * 120, part * 120 + 120):
            await samples.record(
                start + number * 15, {f"a/web/{i}/cpu": round((number * i) % 97 / 97, 4) for i in range(20)}
            )

    with sqlite3.connect(file) as sql:
        packed, chunks = sql.execute("SELECT sum(length(data)), count(*) FROM chunks").fetchone()
    found = await ChunkSampleStore(file).series("a/", start, start + 7200, 15)

    assert chunks == 20
    assert packed / (20 * 240) < 4
    assert all(len(points) == 480 for points in found.values())
