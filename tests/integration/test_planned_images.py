"""Plans that are built for real, run as the platform runs them, and asked over HTTP."""

import asyncio
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.contracts.tiny import docker, needs_docker

from leeward.builders.bases import MACHINE_CACHE
from leeward.builders.buildkit import BuildkitBuilder
from leeward.builders.recipes import RECIPES
from leeward.errors import BuildFailed
from leeward.model import parse
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob, Built
from leeward.registry.compose import Composer
from leeward.registry.layers import Store
from leeward.settings import Settings

TREES = Path(__file__).parents[1] / "golden" / "trees"
EXAMPLES = Path(__file__).parents[2] / "examples"
HOLD_S = 30
NO_ENV: Mapping[str, str] = {}


@pytest.fixture(autouse=True)
def _docker() -> None:
    needs_docker()


class Workshop:
    """Builds trees; everything that it made is taken away at the end."""

    def __init__(self, home: Path) -> None:
        self.builder = BuildkitBuilder(Settings(home=home / "home"))
        self.app = f"p{secrets.token_hex(4)}"
        self.tree = home / "tree"

    async def build(self, env: Mapping[str, str] = NO_ENV) -> tuple[BuildPlan, Built]:
        manifest = self.tree / "leeward.yaml"
        spec = parse.manifest(manifest.read_text() if manifest.exists() else "")
        plan = self.builder.plan(self.tree, spec, env, {})
        return plan, await self.builder.build(BuildJob(self.app, "d1", self.tree, plan, {}), lambda line: None)

    def clean(self) -> None:
        for id in set(docker("images", "-q", "--no-trunc", "--filter", f"label=leeward.app={self.app}").split()):
            docker("rmi", "-f", id)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.clean()


@contextmanager
def running(plan: BuildPlan, image: str) -> Iterator[str]:
    """The image as an instance: an ordinary user, no capabilities, its root read-only where the plan says so."""
    bounds = ["--init", "--user=1000:1000", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp"]
    bounds += ["--read-only"] if plan.read_only else []
    id = docker("run", "--detach", "--env=PORT=8123", *bounds, image).strip()
    try:
        address = docker("inspect", "--format={{.NetworkSettings.IPAddress}}", id).strip()
        yield f"http://{address}:8123"
    finally:
        docker("rm", "--force", id)


async def answer(url: str) -> httpx.Response:
    """The first answer of a server that is starting."""
    until = time.monotonic() + HOLD_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                return await client.get(url, timeout=5)
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("fastapi", "/health", '{"ok":true}'),
        ("poetry", "/health", '{"ok":true}'),
        ("fastapi-src-layout", "/health", '{"ok":true}'),
        ("fastapi-with-neighbours", "/docs", "Swagger"),
        ("flask", "/", "hello"),
        ("node-without-lock", "/", "hello"),
        ("static", "/about", "About"),
        ("static-spa", "/any/deep/path", "root"),
    ],
)
async def test_a_planned_image_answers(workshop: Workshop, name: str, path: str, expected: str) -> None:
    shutil.copytree(TREES / name, workshop.tree)

    plan, built = await workshop.build()

    with running(plan, built.id) as url:
        found = await answer(url + path)
    assert found.status_code == 200
    assert expected in found.text


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("yarn-berry", "/", '"hello":"yarn"'),
        ("bun", "/", '"hello":"bun"'),
        ("pnpm-workspace", "/", "hello pnpm"),
        ("npm-workspaces", "/", "hello npm"),
        ("flask-and-node", "/static/about.html", "<strong>marked</strong>"),
    ],
)
async def test_any_package_manager_workspace_or_pair_of_languages_answers(
    workshop: Workshop, name: str, path: str, expected: str
) -> None:
    shutil.copytree(next(place / name for place in (TREES, EXAMPLES) if (place / name).is_dir()), workshop.tree)

    plan, built = await workshop.build()

    with running(plan, built.id) as url:
        found = await answer(url + path)
        health = await answer(url + (plan.health_path or path))
    assert (found.status_code, health.status_code) == (200, 200)
    assert expected in found.text
    # Neither what only the build needed, nor what another package of the workspace is.
    search = ("find", "/app", "-name", "ms", "-o", "-name", "admin", "-o", "-name", "marked")
    assert docker("run", "--rm", built.id, *search).split() == []


async def test_a_change_of_the_code_makes_one_new_layer_and_all_others_are_pushed_as_they_were_built(
    workshop: Workshop, tmp_path: Path
) -> None:
    shutil.copytree(TREES / "flask", workshop.tree)
    _, first = await workshop.build()
    with (workshop.tree / "app.py").open("a") as file:
        file.write(f"# {workshop.app}\n")

    _, second = await workshop.build()

    before, after = layers(first.id), layers(second.id)
    assert len(before) == len(after)
    assert [old == new for old, new in zip(before, after, strict=True)].count(False) == 1
    assert before[:-1] == after[:-1]
    assert layers(settled(second.id, tmp_path))[:-1] == after[:-1]


def layers(image: str) -> list[str]:
    """The digests of an image's layers, the base first."""
    found: list[str] = json.loads(docker("inspect", "--format={{json .RootFS.Layers}}", image))
    return found


def settled(image: str, memory: Path) -> str:
    """The image as it is pushed."""
    root = docker("info", "--format={{.DockerRootDir}}").strip()
    return Composer(Path("/var/run/docker.sock"), Store(Path(root)), memory, threading.Event()).settle(image)


def needs_bases(language: str, *flavours: str) -> None:
    """Making a base takes a minute: without the variable, only those are used that this machine has."""
    if os.environ.get("LEEWARD_TEST_ALL_LANGUAGES"):
        return
    for flavour in flavours:
        if not (MACHINE_CACHE / f"{flavour}-{RECIPES[flavour].tag}.tar.zst").is_file():
            pytest.skip(f"{language}: base image {flavour} is not in the machine's cache")


async def test_an_image_says_in_which_base_it_was_built_and_with_what_content(workshop: Workshop) -> None:
    needs_bases("go", "debian13", "go-build")
    shutil.copytree(EXAMPLES / "go-hello", workshop.tree)

    _, built = await workshop.build()

    base = RECIPES["go-build"].image
    content = docker("inspect", '--format={{index .Config.Labels "leeward.base.content"}}', base).strip()
    said = docker("inspect", '--format={{index .Config.Labels "leeward.build"}}', built.id).strip()
    assert said == f"go-build:{content}"


@pytest.mark.parametrize(
    ("name", "flavours", "path", "expected"),
    [
        ("go-hello", ("debian13", "go-build"), "/colours", '["blue","green"]'),
        ("go-hello", ("debian13", "go-build"), "/", "Hello from Go"),
        ("php-hello", ("php8.4", "php8.4-build"), "/colours", '["blue","green"]'),
        ("php-hello", ("php8.4", "php8.4-build"), "/style.css", "teal"),
        ("ruby-hello", ("ruby3.3",), "/colours", '["blue","green"]'),
        ("ruby-bundler", ("ruby3.3", "ruby3.3-build"), "/", "blue green"),
        ("rust-hello", ("debian13", "rust-build"), "/colours", '["blue","green"]'),
        ("java-hello", ("java21", "java21-build"), "/colours", '["blue","green"]'),
        ("java-17", ("java17", "java17-build"), "/colours", '["blue","green"]'),
        ("java-25", ("java25", "java25-build"), "/colours", '["blue","green"]'),
        ("gradle", ("java21", "java21-build"), "/", '["blue","green"]'),
        ("go-toolchain", ("debian13", "go-build"), "/", "go1.27.4"),
        ("ruby-3.1", ("ruby3.1",), "/", '"ruby":"3.1.'),
        ("php-8.2", ("php8.2", "php8.2-build"), "/", '{"php":"8.2","gd":true}'),
        ("deno", ("debian13", "node24-build"), "/", '["blue","green"]'),
        ("deno-npm", ("debian13", "node24-build"), "/", '["blue","green"]'),
        ("elixir", ("elixir1.18", "elixir1.18-build"), "/", '["blue","green"]'),
        ("shell", ("debian13",), "/colours", '["blue","green"]'),
        ("static-public", ("static",), "/", "<h1>Public</h1>"),
        ("staticfile", ("static",), "/any/deep/path", "root"),
    ],
)
async def test_an_example_in_a_further_language_answers(
    workshop: Workshop, name: str, flavours: tuple[str, ...], path: str, expected: str
) -> None:
    needs_bases(name.partition("-")[0], *flavours)
    shutil.copytree(next(place / name for place in (EXAMPLES, TREES) if (place / name).is_dir()), workshop.tree)

    plan, built = await workshop.build()

    with running(plan, built.id) as url:
        found = await answer(url + path)
        health = await answer(url + (plan.health_path or path))
    assert (found.status_code, health.status_code) == (200, 200)
    assert expected in found.text


@pytest.mark.parametrize(
    ("name", "flavours", "file"),
    [
        ("deno-npm", ("debian13", "node24-build"), "server.ts"),
        ("elixir", ("elixir1.18", "elixir1.18-build"), "lib/server.ex"),
        ("gradle", ("java21", "java21-build"), "src/main/java/hello/Main.java"),
        ("java-hello", ("java21", "java21-build"), "src/main/java/hello/Main.java"),
    ],
)
async def test_a_change_of_the_code_makes_one_new_layer_in_a_further_language_too(
    workshop: Workshop, tmp_path: Path, name: str, flavours: tuple[str, ...], file: str
) -> None:
    needs_bases(name.partition("-")[0], *flavours)
    shutil.copytree(next(place / name for place in (EXAMPLES, TREES) if (place / name).is_dir()), workshop.tree)
    _, first = await workshop.build()
    code = workshop.tree / file
    code.write_text(code.read_text().replace("green", workshop.app))

    _, second = await workshop.build()

    # As they are pushed: without the times of what was built.
    ids = [settled(built.id, tmp_path) for built in (first, second)]
    before, after = (layers(id) for id in ids)
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]
    if name != "deno-npm":  # Its runtime comes after the modules, with a time of its own.
        assert layers(second.id)[:-1] == after[:-1]


async def test_a_makers_image_that_cannot_be_had_is_named_before_the_build(workshop: Workshop) -> None:
    shutil.copytree(TREES / "dotnet", workshop.tree)
    mirror = {"PLAN_IMAGE_MIRROR": "registry.invalid/none"}

    with pytest.raises(
        BuildFailed, match=r"the image 'registry\.invalid/none/dotnet/sdk:10\.0' is not on this machine"
    ):
        await workshop.build(mirror)


# What stands for Microsoft's SDK: it restores nothing, publishes one file, and its runtime serves that.
STAND_IN = """#!/bin/sh
case $1 in
restore) test -e "$2" ;;
publish) mkdir -p /out/app && echo blue > /out/app/Shop.dll && echo green > /out/app/Library.dll ;;
*.dll)
    exec perl -MIO::Socket::INET -e '
        my ($port) = $ENV{ASPNETCORE_URLS} =~ /:(\\d+)$/;
        my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 5, ReuseAddr => 1) or die $!;
        while (my $client = $server->accept) {
            while (defined(my $line = <$client>)) { last if $line =~ /^\\s*$/ }
            my $body = join "", map { open my $f, "<", $_ or die; <$f> } </app/*.dll>;
            print $client "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n$body"; close $client;
        }' ;;
esac
"""


async def test_a_makers_image_that_was_loaded_into_the_engine_builds_what_runs_on_our_base(
    workshop: Workshop, tmp_path: Path
) -> None:
    needs_bases("dotnet", "debian13", "debian12")
    shutil.copytree(TREES / "dotnet", workshop.tree)
    sdk = f"{workshop.app}.invalid/ms/dotnet/sdk:10.0"
    context = tmp_path / "sdk"
    (context / "host").mkdir(parents=True)
    (context / "host" / "x").touch()
    (context / "dotnet").write_text(STAND_IN)
    (context / "dotnet").chmod(0o755)
    await workshop.builder.bases.ensure(["debian12"], lambda line: None)
    base = RECIPES["debian12"].image
    (context / "Dockerfile").write_text(
        f"FROM {base}\nCOPY dotnet host /usr/share/dotnet/\nCOPY host /usr/share/dotnet/host\n"
        "COPY host /usr/share/dotnet/shared\nENV PATH=/usr/share/dotnet:$PATH\n"
    )
    docker("build", "--quiet", f"--tag={sdk}", str(context))
    try:
        plan, built = await workshop.build({"PLAN_IMAGE_MIRROR": f"{workshop.app}.invalid/ms"})

        with running(plan, built.id) as url:
            found = await answer(f"{url}/healthz")
        assert (found.status_code, found.text) == (200, "green\nblue\n")
    finally:
        docker("rmi", "-f", sdk)
