"""Secrets in images and logs: every trick of the corpus is found, and nothing else."""

import io
import json
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import secret_corpus
from tests.unit.secret_corpus import PEM, SECRETS, TOKEN, Trick, tar, tricks

from leeward.builders.masking import Masker
from leeward.builders.secret_finder import Finder, needles, overlooked
from leeward.builders.secret_forms import is_strong
from leeward.builders.secret_log import LogWatch
from leeward.builders.secret_notes import Notes
from leeward.builders.secret_scan import Scan, Stopped
from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.errors import BuildFailed
from leeward.fakes.builder import FakeBuilder, simple_plan
from leeward.ports import BuildJob, Entry, ImageContent, LayerContent

NEEDLES = needles(SECRETS)
FINDER = Finder(NEEDLES)
ALL = tricks()


def entries(layer: bytes, chunk: int = 1024 * 1024) -> Iterator[Entry]:
    """A tar as the engine's store gives it: whatever stands before a file's content is its header."""
    last = 0
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for member in archive:
            content = layer[member.offset_data : member.offset_data + member.size]
            chunks = [content[at : at + chunk] for at in range(0, len(content), chunk)]
            yield Entry(member.name, layer[last : member.offset_data], chunks)
            last = member.offset_data + member.size
    yield Entry("", layer[last:])


def found(trick: Trick) -> set[str]:
    scan = Scan(FINDER)
    for layer in trick.layers:
        scan.layer(entries(layer))
    scan.config(json.dumps(trick.config).encode())
    return {leak.name for leak in scan.leaks}


def kept(lines: tuple[str, ...]) -> tuple[list[str], LogWatch]:
    """What of a log is kept."""
    masker, shown = Masker(SECRETS.values()), []
    log = LogWatch(FINDER, shown.append)
    for line in lines:
        log.line(masker.text(line))
    return shown, log


def test_the_corpus_is_large() -> None:
    assert len(ALL) >= 350
    assert len({trick.name for trick in ALL}) == len(ALL)


@pytest.mark.parametrize("trick", [trick for trick in ALL if not trick.log], ids=lambda trick: trick.name)
def test_a_secret_in_an_image_is_found(trick: Trick) -> None:
    assert trick.secret in found(trick)


@pytest.mark.parametrize("trick", [trick for trick in ALL if trick.log], ids=lambda trick: trick.name)
def test_a_secret_in_a_log_is_hidden_or_found(trick: Trick) -> None:
    shown, log = kept(trick.log)

    assert log.leaks or (not list(FINDER.hits("".join(shown).encode())) and "********" in "".join(shown))


def test_what_is_told_of_a_leak_holds_no_secret() -> None:
    for trick in ALL:
        scan = Scan(FINDER)
        for layer in trick.layers:
            scan.layer(entries(layer), made_by=f"RUN echo {TOKEN}")
        scan.config(json.dumps(trick.config).encode())
        for leak in scan.leaks:
            assert not list(FINDER.hits(leak.place.encode())), trick.name


def test_a_leak_names_the_file_and_the_instruction_that_made_it() -> None:
    scan = Scan(FINDER)
    scan.layer(entries(tar(("app/.npmrc", TOKEN.encode()))), made_by="RUN npm ci")

    assert [(leak.name, leak.place) for leak in scan.leaks] == [("TOKEN", "file 'app/.npmrc', made by 'RUN npm ci'")]


def test_a_leak_in_an_archive_names_the_part() -> None:
    scan = Scan(FINDER)
    scan.layer(entries(tar(("app/a.jar", secret_corpus.packed(("b/c.properties", b"x" * 99 + TOKEN.encode()))))))

    assert [leak.place for leak in scan.leaks] == ["file 'app/a.jar!b/c.properties'"]


@given(
    before=st.binary(max_size=60),
    cut=st.integers(1, 40),
    secret=st.text("abcdefXYZ0123456789_", min_size=20, max_size=40),
)
def test_a_secret_is_found_wherever_a_file_is_cut_into_chunks(before: bytes, cut: int, secret: str) -> None:
    if not is_strong(secret):
        return
    scan = Scan(Finder(needles({"K": secret})))
    scan.layer(entries(tar(("a", b"\0" + before + secret.encode() + b"after")), chunk=cut))

    assert {leak.name for leak in scan.leaks} == {"K"}


@pytest.mark.parametrize(
    "value",
    [
        "1",
        "true",
        "false",
        "production",
        "development",
        "localhost",
        "0.0.0.0:8080",
        "us-east-1",
        "eu-central-1",
        "en_US.UTF-8",
        "UTF-8",
        "postgres",
        "password",
        "changeme",
        "gpt-4o-mini",
        "text-embedding-3-small",
        "info@example.com",
        "https://api.example.com/v1",
        "/usr/local/bin/python",
        "2025-01-01",
        "redis://localhost:6379/0",
        "db.internal.example.com",
        "12345678",
        "python3.11",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "application/json",
        "europe-west1-b",
        "node-22-alpine-3",
        "us-gov-east-1",
    ],
)
def test_a_value_that_occurs_by_chance_is_no_secret(value: str) -> None:
    assert not needles({"V": value})
    assert list(overlooked({"V": value})) == ["V"]


@pytest.mark.parametrize(
    "value",
    [
        "hunter2hunter",
        "Sommer2024!",
        "550e8400-e29b-41d4-a716-446655440000",
        "correct-horse-battery-staple",
        "4815162342108",
        "redis://:s3cr3tpw9@cache:6379",
        "Server=db;Password=Abc12345xyz;Trusted=no",
        "sk-proj-abc123def456",
        "s3cr3t-v4lue-99",
        "hunter2-4dm1n",
    ],
)
def test_a_value_that_is_hard_to_guess_is_a_secret(value: str) -> None:
    assert needles({"V": value})


def test_a_url_without_its_password_is_no_leak() -> None:
    scan = Scan(FINDER)
    scan.layer(entries(tar(("a", b"postgresql://shop@db.internal:5432/shop and -----BEGIN PRIVATE KEY-----"))))

    assert not scan.leaks


def test_what_unpacks_without_end_is_looked_at_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    from leeward.builders import secret_inside

    bomb = secret_inside.Unpacker(lambda file: iter([("", iter(lambda: bytes(1000), b""))]), most=100_000)
    bomb.feed(zlib.compress(b"x"))

    assert sum(len(chunk) for _, chunks in bomb.members() for chunk in chunks) <= 100_000
    assert bomb.cut


@pytest.mark.parametrize(
    "content", [b"\x1f\x8bnothing", b"PK\x03\x04nothing", b"BZhnothing", b"\xfd7zXZ\0nothing", b"\x28\xb5\x2f\xfdno"]
)
def test_a_broken_archive_is_named_and_its_bytes_are_looked_at(content: bytes) -> None:
    scan = Scan(FINDER)
    scan.layer(entries(tar(("a/b", content + TOKEN.encode()))))

    assert {leak.name for leak in scan.leaks} == {"TOKEN"}
    assert list(scan.unread) == ["a/b"]


def test_a_scan_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        Scan(FINDER, stop).layer(entries(tar(("a", b"x"))))


# --- the builder around another -------------------------------------------------------------------------


class Shelf:
    """The port Contents, in memory: every image has these layers."""

    def __init__(self, layers: Mapping[str, bytes], config: Mapping[str, object] | None = None) -> None:
        self.layers, self.config, self.read = dict(layers), dict(config or {}), []

    @asynccontextmanager
    async def open(self, image: str) -> AsyncIterator[ImageContent]:
        yield ImageContent(
            json.dumps(self.config).encode(), [LayerContent(diff, self._reader(diff)) for diff in self.layers]
        )

    def _reader(self, diff: str):  # type: ignore[no-untyped-def]
        def read() -> Iterator[Entry]:
            self.read.append(diff)
            return entries(self.layers[diff])

        return read


def job(text: str = "FROM scratch\n", secret: bool = True, value: str = TOKEN) -> BuildJob:
    return BuildJob(
        "shop", "d1", Path("/nowhere"), simple_plan(text), {"TOKEN": value}, frozenset({"TOKEN"} if secret else ())
    )


async def test_a_build_with_a_secret_in_a_layer_fails_and_says_where(tmp_path: Path) -> None:
    lines: list[str] = []
    history = {
        "history": [
            {"created_by": "COPY . /app"},
            {"created_by": "ENV A=1", "empty_layer": True},
            {"created_by": "RUN npm ci"},
        ]
    }
    shelf = Shelf({"sha256:1": tar(("a", b"x")), "sha256:2": tar(("root/.npmrc", TOKEN.encode()))}, history)

    with pytest.raises(
        BuildFailed, match=r"the secret 'TOKEN' is in file 'root/.npmrc', made by 'RUN npm ci'"
    ) as caught:
        await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(job(), lines.append)

    assert caught.value.code == "secret-in-image"
    assert "--mount=type=secret,id=TOKEN" in caught.value.hint
    assert TOKEN not in "\n".join((*lines, str(caught.value), caught.value.hint))
    assert "secret: the value of 'TOKEN' is in file 'root/.npmrc', made by 'RUN npm ci'" in lines


async def test_a_layer_is_looked_through_once_for_the_same_secrets(tmp_path: Path) -> None:
    shelf = Shelf({"sha256:1": tar(("a", b"x")), "sha256:2": tar(("b", b"y"))})
    await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(job(), lambda line: None)
    shelf.layers["sha256:3"] = tar(("c", b"z"))

    await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(job(), lambda line: None)
    assert shelf.read == ["sha256:1", "sha256:2", "sha256:3"]

    await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(job(value="another-secret-4711"), lambda line: None)
    assert shelf.read[3:] == ["sha256:1", "sha256:2", "sha256:3"]


async def test_a_layer_with_a_secret_is_found_again(tmp_path: Path) -> None:
    shelf = Shelf({"sha256:1": tar(("a", TOKEN.encode()))})

    for _ in range(2):
        with pytest.raises(BuildFailed):
            await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(job(), lambda line: None)


async def test_an_app_without_secrets_costs_nothing(tmp_path: Path) -> None:
    shelf = Shelf({"sha256:1": tar(("a", TOKEN.encode()))})

    await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(job(secret=False), lambda line: None)

    assert shelf.read == []


async def test_a_secret_that_is_too_short_to_be_looked_for_is_named(tmp_path: Path) -> None:
    lines: list[str] = []

    await ScanningBuilder(FakeBuilder(), Shelf({}), tmp_path).build(job(value="true"), lines.append)

    assert "note: too short or too common to be looked for in the image: TOKEN" in lines


async def test_a_variable_for_browsers_is_told_to_be_no_secret(tmp_path: Path) -> None:
    shelf = Shelf({"sha256:1": tar(("a.js", TOKEN.encode()))})
    public = BuildJob("shop", "d1", Path("/nowhere"), simple_plan(""), {"VITE_KEY": TOKEN}, frozenset({"VITE_KEY"}))

    with pytest.raises(BuildFailed) as caught:
        await ScanningBuilder(FakeBuilder(), shelf, tmp_path).build(public, lambda line: None)

    assert caught.value.hint == "'VITE_KEY' is meant for browsers: set it without --secret"


async def test_a_secret_spread_over_lines_of_the_log_fails_the_build(tmp_path: Path) -> None:
    text = f"RUN echo {TOKEN[:10]}; echo {TOKEN[10:]}\n"

    with pytest.raises(BuildFailed, match="in the build log, spread over lines"):
        await ScanningBuilder(FakeBuilder(), Shelf({}), tmp_path).build(job(text), lambda line: None)


def test_notes_tell_nothing_without_their_key(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "one")
    notes.remember("sha256:ab", notes.marks({"TOKEN": TOKEN}))

    assert Notes(tmp_path / "one").clean("sha256:ab", Notes(tmp_path / "one").marks({"TOKEN": TOKEN}))
    assert not notes.clean("sha256:ab", notes.marks({"TOKEN": TOKEN, "OTHER": PEM}))
    assert (tmp_path / "one" / "key").stat().st_mode & 0o077 == 0
    assert notes.marks({"TOKEN": TOKEN}) != Notes(tmp_path / "two").marks({"TOKEN": TOKEN})


def test_logs_of_real_tools_are_kept_as_they_are() -> None:
    folder = Path(__file__).parents[1] / "golden" / "failures"
    lines = tuple(line for path in sorted(folder.glob("*.txt")) for line in path.read_text().splitlines())

    shown, log = kept(lines)

    assert len(lines) > 900
    assert tuple(shown) == lines
    assert not log.leaks
