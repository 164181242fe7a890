"""Debian's docker-registry and dockerd's own store, for real."""

import asyncio
import contextlib
import hashlib
import itertools
import secrets
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.kitchen import tiny_name
from tests.contracts.registry import RegistryContract
from tests.contracts.tiny import docker, needs_docker

from leeward.errors import Unavailable
from leeward.registry import embedded
from leeward.registry.layers import Store, read
from leeward.registry.oci import OciRegistry, argv, prepare
from leeward.settings import Settings


class Depot:
    """A registry of its own, the store of this machine's dockerd, and a clock that can be put forward."""

    def __init__(self, home: Path) -> None:
        self.mark = secrets.token_hex(4)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.settings = Settings(home=home, registry=self.address)
        self._ahead = 0.0
        self.registry = OciRegistry(self.settings, now=lambda: time.time() + self._ahead)
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self.base = tiny_name()

    async def start(self) -> None:
        prepare(self.settings)
        nothing = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*argv(self.settings), stdout=nothing, stderr=nothing)
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*self.address.split(":"))
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise RuntimeError("the registry did not start")

    def image(self, label: str | None = None) -> str:
        """One more layer on the tiny image, so that it is new."""
        container = docker("create", self.base, "true")
        home = f"LABEL leeward.home={self.settings.home}"
        made = docker("commit", "--change", home, "--change", f"ENV N={self.mark}-{next(self._numbers)}", container)
        docker("rm", container)
        return made

    def foreign(self) -> str:
        container = docker("create", self.base, "true")
        name = f"leeward-test-foreign/{self.mark}:{next(self._numbers)}"
        docker("commit", "--change", f"ENV N={self.mark}-{next(self._numbers)}", container, name)
        docker("rm", container)
        return name

    def local(self, name: str) -> bool:
        with contextlib.suppress(RuntimeError):
            return bool(docker("image", "inspect", "--format", "{{.Id}}", name))
        return False

    def lose(self, reference: str) -> None:
        docker("rmi", "-f", docker("image", "inspect", "--format", "{{.Id}}", reference))

    def age(self) -> None:
        self._ahead = 7200.0

    async def clean(self) -> None:
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()
        for filter in (f"reference={self.address}/*", f"label=leeward.home={self.settings.home}"):
            for id in set(docker("images", "-q", "--no-trunc", "--filter", filter).split()):
                with contextlib.suppress(RuntimeError):
                    docker("rmi", "-f", id)
        for name in docker(
            "images", "--format", "{{.Repository}}:{{.Tag}}", f"leeward-test-foreign/{self.mark}"
        ).split():
            docker("rmi", "-f", name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Depot]:
    needs_docker()
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    depot = Depot(tmp_path)
    await depot.start()
    try:
        yield depot
    finally:
        await depot.clean()


class TestOciRegistry(RegistryContract):
    """The contract, on the real thing."""


async def test_only_new_layers_travel(world: Depot) -> None:
    await world.registry.push(world.image(), "shop", "v1")
    blobs = embedded.data(world.settings) / "blobs" / "sha256"
    before = len(list(blobs.glob("*/*")))

    began = time.monotonic()
    await world.registry.push(world.image(), "shop", "v2")

    assert time.monotonic() - began < 2
    # A configuration and a manifest; the layers are there.
    assert len(list(blobs.glob("*/*"))) - before <= 3


async def test_another_app_takes_layers_over_without_their_bytes(world: Depot) -> None:
    image = world.image()
    await world.registry.push(image, "shop", "v1")
    blobs = embedded.data(world.settings) / "blobs" / "sha256"
    before = len(list(blobs.glob("*/*")))

    await world.registry.push(image, "cafe", "v1")

    assert len(list(blobs.glob("*/*"))) == before


async def test_a_layer_is_read_as_dockerd_gives_it(world: Depot) -> None:
    store = Store(Path(docker("info", "--format", "{{.DockerRootDir}}")))

    for layer in store.layers(store.config(docker("image", "inspect", "--format", "{{.Id}}", world.base))):
        seen = hashlib.sha256()
        for chunk in read(layer):
            seen.update(chunk)
        assert f"sha256:{seen.hexdigest()}" == layer.diff


async def test_another_store_is_pushed_by_dockerd_itself(world: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    image = world.image()
    monkeypatch.setattr("leeward.registry.oci.Store", lambda root: Store(Path("/nowhere")))

    reference = await world.registry.push(image, "shop", "v1")

    assert world.local(reference)


async def test_a_registry_that_is_down_is_asked_again_later(tmp_path: Path) -> None:
    needs_docker()
    depot = Depot(tmp_path)
    try:
        with pytest.raises(Unavailable, match="did not answer") as caught:
            await depot.registry.push(depot.image(), "shop", "v1")

        assert "lee doctor" in caught.value.hint
    finally:
        await depot.clean()


async def test_an_image_that_a_container_uses_is_never_collected(world: Depot) -> None:
    reference = await world.registry.push(world.image(), "shop", "v1")
    container = docker("create", reference, "true")
    world.age()
    try:
        await world.registry.collect({})

        assert world.local(reference)
    finally:
        docker("rm", container)
