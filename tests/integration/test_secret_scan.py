"""Secrets that real builds leave in real images."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.kitchen import Kitchen, kitchen
from tests.contracts.tiny import needs_docker

from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.errors import BuildFailed, NotFound
from leeward.ports import BuildJob, Built
from leeward.registry.contents import EngineContents
from leeward.registry.layers import Unreadable

MOUNT = "--mount=type=secret,id=TOKEN"
READ = "T=$(cat /run/secrets/TOKEN)"
LEAKS = {
    "a file": (f"RUN {MOUNT} cp /run/secrets/TOKEN /token", "file 'token'"),
    "a file that a later step deletes": (f"RUN {MOUNT} cp /run/secrets/TOKEN /t\nRUN rm /t", "file 't'"),
    "a configuration file": (
        f'RUN {MOUNT} {READ}; echo "//registry.example.com/:_authToken=$T" > /root/.npmrc',
        "file 'root/.npmrc'",
    ),
    "the environment": (f"RUN {MOUNT} {READ} env > /env.txt", "file 'env.txt'"),
    "a file's name": (f'RUN {MOUNT} {READ}; touch "/$T"', "the name of file"),
    "a folder's name": (f'RUN {MOUNT} {READ}; mkdir -p "/a/$T/b"', "the name of file"),
    "a link's target": (
        f'RUN {MOUNT} {READ}; ln -s "/run/$T" /link',
        "the header (owner, link, attributes) of file 'l",
    ),
    "reversed": (
        f"RUN {MOUNT} awk '{{ for (i = length; i; i--) printf substr($0, i, 1) }}' /run/secrets/TOKEN > /r",
        "file 'r'",
    ),
    "a packed file": (f"RUN {MOUNT} gzip -c /run/secrets/TOKEN > /t.gz", "file 't.gz'"),
    "an argument's default": ("ARG KEY=@@\nENV KEY=$KEY", "the image's config Env KEY"),
    "a variable": ("ENV KEY=@@", "the image's config Env KEY"),
    "a label": ('LABEL key="@@"', "the image's config Labels key"),
    "a command": ('CMD ["httpd", "-k", "@@"]', "the image's config Cmd 2"),
    "a command's words in the history": ("RUN echo @@ > /dev/null", "the image's history"),
    "a large file": (f"RUN {MOUNT} (head -c 5000000 /dev/zero; cat /run/secrets/TOKEN) > /large", "file 'large'"),
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Kitchen]:
    needs_docker()
    with kitchen(tmp_path) as made:
        yield made


def of(world: Kitchen, text: str, token: str) -> BuildJob:
    """A build on the tiny image, whose variable TOKEN is secret."""
    whole = f"FROM {world.base}\nENV TEST={world.app}\n{text.replace('@@', token)}\n"
    job = world.of(whole, env={"TOKEN": token}, secrets=("TOKEN",))
    return BuildJob(job.app, job.key, job.tree, job.plan, job.env, frozenset({"TOKEN"}))


async def build(world: Kitchen, text: str, token: str, lines: list[str] | None = None) -> Built:
    contents = EngineContents(world.settings)
    builder = ScanningBuilder(world.builder, contents, world.settings.home / "scans")
    return await builder.build(of(world, text, token), (lines if lines is not None else []).append)


@pytest.mark.parametrize("name", LEAKS)
async def test_a_secret_in_an_image_fails_the_build_and_the_place_is_named(world: Kitchen, name: str) -> None:
    token, lines = f"sk-live-{secrets.token_hex(16)}", []
    text, place = LEAKS[name]

    with pytest.raises(BuildFailed) as caught:
        await build(world, text, token, lines)

    assert caught.value.code == "secret-in-image"
    assert caught.value.message.startswith(f"the secret 'TOKEN' is in {place}")
    assert token not in "\n".join((*lines, str(caught.value), caught.value.hint))


async def test_a_secret_that_is_used_and_not_kept_passes(world: Kitchen) -> None:
    token, lines = f"sk-live-{secrets.token_hex(16)}", []

    built = await build(
        world, f'RUN {MOUNT} {READ}; echo "$T"; echo "$T" | dd of=/tmp/x; rm /tmp/x; echo ok > /ok', token, lines
    )

    assert built.id.startswith("sha256:")
    assert "    ********" in lines
    assert any(line.startswith("looked for 1 secrets in ") for line in lines)


async def test_layers_that_were_looked_through_are_not_read_again(world: Kitchen) -> None:
    token, lines = f"sk-live-{secrets.token_hex(16)}", []
    await build(world, "RUN echo one > /one", token)

    await build(world, "RUN echo one > /one\nRUN echo two > /two", token, lines)

    assert any("in 1 layers" in line for line in lines)


async def test_what_the_engine_exports_has_the_same_files(world: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    token = f"sk-live-{secrets.token_hex(16)}"
    built = await world.builder.build(
        of(world, "RUN mkdir /a; echo b > /a/b; ln -s b /a/c; touch /a/é", token), lambda line: None
    )
    contents = EngineContents(world.settings)

    async def seen() -> list[list[tuple[str, bytes]]]:
        async with contents.open(built.id) as image:
            return [
                [(e.path, b"".join(e.chunks)) for e in layer.read() if e.path.strip("./")] for layer in image.layers
            ]

    def unreadable(*_: object) -> None:
        raise Unreadable("another layout")

    stored = await seen()
    monkeypatch.setattr("leeward.registry.contents._stored", unreadable)
    exported = await seen()

    assert [[(path.strip("/"), content) for path, content in layer] for layer in exported] == [
        [(path.strip("/"), content) for path, content in layer] for layer in stored
    ]
    assert ("a/b", b"b\n") in [(path.strip("/"), content) for path, content in stored[-1]]


async def test_an_image_that_is_not_there_is_named(world: Kitchen) -> None:
    with pytest.raises(NotFound, match="'leeward-test/nothing' is not on this machine"):
        async with EngineContents(world.settings).open("leeward-test/nothing"):
            pass
