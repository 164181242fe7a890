"""Archives from strangers."""

import asyncio
import gzip
import io
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.errors import FetchFailed, Invalid, LeewardError, TooLarge
from leeward.fakes.files import Folder
from leeward.model.release import SourceKind, SourceRef
from leeward.settings import Settings
from leeward.sources.upload import UploadSource, clean

Add = Callable[[tarfile.TarFile], None]


def file(name: str, data: bytes = b"x", **more: object) -> Add:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        for key, value in more.items():
            setattr(entry, key, value)
        tar.addfile(entry, io.BytesIO(data))

    return add


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Add:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        tar.addfile(entry)

    return add


def archive(*adds: Add) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for add in adds:
            add(tar)
    return data.getvalue()


async def chunked(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def unpacked(home: Path, data: bytes, **limits: int) -> Path:
    source = UploadSource(Settings(home=home, **limits))  # type: ignore[arg-type]
    upload = await source.receive("shop", chunked(data, 65536))
    ref = SourceRef(SourceKind.UPLOAD, upload=upload.id)
    return (await source.fetch("shop", ref, home / "tree", lambda line: None)).tree


async def test_an_archive_is_unpacked_by_a_control_plane_that_did_not_take_it(tmp_path: Path) -> None:
    files = Folder(tmp_path / "shared")
    upload = await UploadSource(Settings(home=tmp_path / "one"), files).receive(
        "shop", chunked(archive(file("data", b"1")))
    )
    second = UploadSource(Settings(home=tmp_path / "two"), files)
    ref = SourceRef(SourceKind.UPLOAD, upload=upload.id)

    tree = (await second.fetch("shop", ref, tmp_path / "tree", lambda line: None)).tree

    assert (tree / "data").read_text() == "1"
    files.path("upload/" + upload.id).unlink()
    with pytest.raises(FetchFailed, match="there is no upload"):
        await UploadSource(Settings(home=tmp_path / "three"), files).fetch(
            "shop", ref, tmp_path / "tree", lambda line: None
        )


async def test_an_honest_archive_comes_out_as_it_went_in(tmp_path: Path) -> None:
    data = archive(
        file("./app/run.sh", b"#!/bin/sh\n", mode=0o755),
        file("./app/data", b"1"),
        link("./current", "app/data"),
        link("./twin", "app/data", tarfile.LNKTYPE),
        file("./ü.txt", b"u"),
    )

    tree = await unpacked(tmp_path, data)

    assert (tree / "app" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tree / "app" / "data").stat().st_mode & 0o777 == 0o644
    assert (tree / "current").read_text() == "1"
    assert (tree / "twin").read_text() == "1"
    assert (tree / "ü.txt").read_text() == "u"


async def test_the_same_files_make_the_same_tree_whenever_they_were_written(tmp_path: Path) -> None:
    first = await unpacked(tmp_path / "1", archive(file("a/b", mtime=1), file("c", mtime=5, uid=7)))
    second = await unpacked(tmp_path / "2", archive(file("a/b", mtime=99), file("c", mtime=7)))

    def shape(root: Path) -> list[tuple[str, float, int, int]]:
        return [
            (str(p.relative_to(root)), p.stat().st_mtime, p.stat().st_mode, p.stat().st_uid)
            for p in sorted((root, *root.rglob("*")))
        ]

    assert shape(first) == shape(second)


@pytest.mark.parametrize(
    ("adds", "name"),
    [
        ([file("../evil")], "../evil"),
        ([file("a/../../evil")], "a/../../evil"),
        ([file("/etc/evil")], "/etc/evil"),
        ([link("evil", "/etc/passwd")], "'evil' leads out"),
        ([link("d/evil", "../../x")], "'d/evil' leads out"),
        ([link("evil", "../x", tarfile.LNKTYPE)], "../x"),
        ([link("evil", "nothing", tarfile.LNKTYPE)], "'evil' is a hard link to 'nothing'"),
        ([link("evil", "evil", tarfile.LNKTYPE)], "'evil'"),
        ([link("l", "d"), file("l/evil")], "'l' as a file and as the folder of 'l/evil'"),
        ([link("l", "d"), link("evil", "l", tarfile.LNKTYPE), file("l/x")], "'l'"),
        ([link("evil", "", tarfile.CHRTYPE)], "'evil' is a device"),
        ([link("evil", "", tarfile.FIFOTYPE)], "'evil' is a device"),
        ([file("twice"), file("./twice")], "'twice' twice"),
        ([file("d"), file("d/x")], "'d' as a file"),
        ([file("d/x"), file("d")], "'d' twice"),
        ([file("bad\nname")], "no file may have"),
        ([file("x" * 300)], "longer than 255"),
        ([file(f"f{i}") for i in range(101)], "more than 100 files"),
    ],
)  # fmt: skip
async def test_each_trick_is_refused_by_the_offending_name(tmp_path: Path, adds: list[Add], name: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        await unpacked(tmp_path, archive(*adds), upload_max_files=100)

    assert name in caught.value.message
    assert caught.value.hint
    assert not (tmp_path.parent / "evil").exists()
    assert not Path("/etc/evil").exists()


async def test_a_file_that_git_lfs_keeps_elsewhere_is_named_and_no_other(tmp_path: Path) -> None:
    note = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    adds = [file(".gitattributes", b"*.bin filter=lfs"), file("d/model.bin", note), file("small.bin", b"here")]
    source, said = UploadSource(Settings(home=tmp_path)), list[str]()
    upload = await source.receive("shop", chunked(archive(*adds)))

    await source.fetch("shop", SourceRef(SourceKind.UPLOAD, upload=upload.id), tmp_path / "tree", said.append)

    assert [line for line in said if "LFS" in line] == [
        "warning: 'd/model.bin' is a note of Git LFS, and the file itself is not here"
    ]


async def test_a_bomb_is_ended_while_it_unpacks(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=9) as packed:
        entry = tarfile.TarInfo("zeros")
        entry.size = 10 * 1024**3
        packed.write(entry.tobuf())
        for _ in range(40):
            packed.write(bytes(1024 * 1024))

    with pytest.raises(FetchFailed, match=r"far more than its size|more than 512 MiB"):
        await unpacked(tmp_path, bomb.getvalue())

    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 40 * 1024**2


async def test_the_holes_of_a_sparse_file_count(tmp_path: Path) -> None:
    def sparse(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo("hole")
        entry.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**12), "GNU.sparse.numblocks": "1"}
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))

    with pytest.raises(FetchFailed, match="more than 512 MiB"):
        await unpacked(tmp_path, archive(sparse))


async def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    def huge(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo("x")
        entry.pax_headers = {"comment": "y" * 3_000_000}
        tar.addfile(entry)

    with pytest.raises(FetchFailed, match="header that is larger"):
        await unpacked(tmp_path, archive(huge))


async def test_too_many_bytes_are_refused_while_they_come(tmp_path: Path) -> None:
    source = UploadSource(Settings(home=tmp_path, upload_max_mib=1))

    with pytest.raises(TooLarge, match="1 MiB"):
        await source.receive("shop", chunked(b"\x1f\x8b" + bytes(1024 * 1024), 65536))

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04zip", b"x"])
async def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        await UploadSource(Settings(home=tmp_path)).receive("shop", chunked(data))

    assert caught.value.hint
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_an_upload_that_breaks_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"\x1f\x8b123"
        raise ConnectionResetError

    with pytest.raises(LeewardError):
        await UploadSource(Settings(home=tmp_path)).receive("shop", broken())

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_half_an_archive_is_damaged(tmp_path: Path) -> None:
    data = archive(file("a", bytes(range(256)) * 500))

    with pytest.raises(FetchFailed, match="damaged"):
        await unpacked(tmp_path, data[: len(data) // 2])


@given(st.text(max_size=40))
def test_no_name_leads_out_of_the_tree(name: str) -> None:
    try:
        cleaned = clean(name)
    except FetchFailed:
        return
    assert not cleaned.startswith("/")
    assert ".." not in cleaned.split("/")
    assert "\0" not in cleaned


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.sampled_from(["a", "b", "a/b", "b/a", "a/b/c", ".", "./a"]), min_size=1, max_size=6),
    targets=st.lists(st.sampled_from([None, "a", "b", "../a", "..", "a/b", "/x"]), min_size=6, max_size=6),
)
def test_whatever_is_in_an_archive_nothing_appears_outside_of_the_tree(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], targets: list[str | None]
) -> None:
    home = tmp_path_factory.mktemp("home")
    adds = [file(name) if target is None else link(name, target) for name, target in zip(names, targets, strict=False)]

    try:
        tree = asyncio.run(unpacked(home, archive(*adds)))
    except FetchFailed:
        tree = home / "tree"

    assert {path.name for path in home.iterdir()} <= {"sources", "tree"}
    for path in tree.rglob("*"):
        if path.is_symlink() and path.exists():
            assert path.resolve().is_relative_to(tree)
