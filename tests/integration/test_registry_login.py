"""Images of a registry that wants a login, for real."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.kitchen import kitchen
from tests.contracts.tiny import docker, needs_docker
from tests.integration.test_registry import Depot

from leeward.builders.buildkit import BuildkitBuilder
from leeward.errors import FetchFailed
from leeward.model.login import Login
from leeward.model.secret import Secret
from leeward.registry.oci import OciRegistry

USER, PASSWORD = "pull", "correct-horse-4711"
# bcrypt, the only way in which docker-registry takes it.
HASHED = "$2b$04$NIAMelYlxdUXvHKvYy/wjODc4cdWGChWxtfILyFO0gWGBou6eaKHu"


class Private:
    """A registry with a login, one image in it, and a platform that may have that login."""

    def __init__(self, home: Path, depot: Depot) -> None:
        self.home, self.depot = home, depot
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        self.image = f"{self.host}/team/app:1.{secrets.randbelow(10**6)}"
        self.logins: dict[str, Login] = {}
        self.registry = OciRegistry(depot.settings, login=self._find)
        self._process: asyncio.subprocess.Process | None = None

    async def _find(self, host: str) -> Login | None:
        return self.logins.get(host)

    async def start(self) -> None:
        (self.home / "htpasswd").write_text(f"{USER}:{HASHED}\n")
        lines = (
            "version: 0.1",
            f"storage: {{filesystem: {{rootdirectory: {self.home / 'data'}}}}}",
            f"http: {{addr: '{self.host}', secret: x}}",
            f"auth: {{htpasswd: {{realm: here, path: {self.home / 'htpasswd'}}}}}",
        )
        config = self.home / "config.yml"
        config.write_text("\n".join(lines))
        nothing = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            "/usr/bin/docker-registry", "serve", str(config), stdout=nothing, stderr=nothing
        )
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*self.host.split(":"))
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise RuntimeError("the registry did not start")

    def fill(self) -> None:
        """Push an image, signed in with a configuration of its own, and forget it here."""
        client = ("/usr/bin/docker", "--config", str(self.home / "client"))
        login = (*client, "login", "--username", USER, "--password-stdin", self.host)
        subprocess.run(login, input=PASSWORD.encode(), check=True, capture_output=True, timeout=60)
        docker("tag", self.depot.image(), self.image)
        subprocess.run((*client, "push", self.image), check=True, capture_output=True, timeout=60)
        self.forget()

    def forget(self) -> None:
        with contextlib.suppress(RuntimeError):
            docker("rmi", "-f", self.image)

    async def stop(self) -> None:
        self.forget()
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Private]:
    needs_docker()
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    depot = Depot(tmp_path / "platform")
    (tmp_path / "private").mkdir()
    private = Private(tmp_path / "private", depot)
    await depot.start()
    try:
        await private.start()
        await asyncio.to_thread(private.fill)
        yield private
    finally:
        await private.stop()
        await depot.clean()


async def test_an_image_is_pulled_with_the_login_of_its_registry_and_pinned(world: Private) -> None:
    world.logins[world.host] = Login(world.host, USER, Secret(PASSWORD))

    reference = await world.registry.pin(world.image, "shop", "v1")

    assert reference.startswith(f"{world.depot.address}/shop@sha256:")
    assert world.depot.local(reference)


async def test_without_a_login_it_is_said_how_to_add_one(world: Private) -> None:
    with pytest.raises(FetchFailed) as caught:
        await world.registry.pin(world.image, "shop", "v1")

    assert caught.value.code == "registry-login"
    assert f"lee registries add {world.host} --username" in caught.value.hint


async def test_a_wrong_password_is_told_apart_and_not_told(world: Private) -> None:
    world.logins[world.host] = Login(world.host, USER, Secret("wrong-4711"))

    with pytest.raises(FetchFailed) as caught:
        await world.registry.pin(world.image, "shop", "v1")

    assert caught.value.hint.startswith(f"'{USER}' may not pull it")
    assert "wrong-4711" not in f"{caught.value} {caught.value.hint}"


async def test_an_image_that_was_pulled_with_a_login_is_not_served_without_it(world: Private) -> None:
    world.logins[world.host] = Login(world.host, USER, Secret(PASSWORD))
    await world.registry.pin(world.image, "shop", "v1")
    world.logins.clear()

    with pytest.raises(FetchFailed):
        await world.registry.pin(world.image, "cafe", "v1")


async def test_a_dockerfile_builds_on_an_image_of_a_registry_with_a_login(world: Private, tmp_path: Path) -> None:
    world.logins[world.host] = Login(world.host, USER, Secret(PASSWORD))
    lines: list[str] = []
    (tmp_path / "kitchen").mkdir()
    with kitchen(tmp_path / "kitchen") as made:
        builder = BuildkitBuilder(made.settings, world._find)

        built = await builder.build(made.of(f"FROM {world.image}\nENV TEST={made.app}\nRUN echo on it\n"), lines.append)

        assert built.id.startswith("sha256:")
        assert "    on it" in lines
        assert PASSWORD not in "\n".join(lines)
        assert not list(made.settings.run_dir.glob("build-*"))
