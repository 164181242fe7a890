"""Volumes on the real Docker: whose they are, how full they are, and what is never touched."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.engine import EngineContract
from tests.contracts.tiny import Machine, docker, machine, needs_docker, tiny_layer

from leeward.model.runtime import Workload
from leeward.model.volume import Mount

DATA = Mount("data", "/data/files", 64)
_WANTS = EngineContract()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_docker()
    path = tmp_path_factory.mktemp("home")
    yield path
    Machine(path).clean()


@pytest.fixture(scope="module")
def nobodys(home: Path) -> Iterator[str]:
    """An image whose user has a name."""
    command = 'CMD ["httpd","-f","-p","8080","-h","/www"]'
    made = docker("import", "--change", command, "--change", "USER nobody", "-", stdin=tiny_layer())
    yield made
    docker("rmi", "-f", made)


@pytest.fixture
async def world(home: Path) -> AsyncIterator[Machine]:
    async with machine(home, keep_networks=True) as made:
        yield made


def wanted(world: Machine, **more: object) -> Workload:
    return _WANTS.want(world, volumes=(DATA,), **more)


async def says(world: Machine, instance: str, script: str) -> str:
    code, output = await world.engine.exec(instance, ("sh", "-c", script))
    assert code == 0, output
    return output.decode().strip()


async def test_the_user_of_the_image_writes_and_so_does_another_one_after_it(world: Machine, nobodys: str) -> None:
    root = wanted(world)
    (first,) = await _WANTS.ready(world, root)
    await says(world, first.id, "mkdir /data/files/a && echo one > /data/files/a/x && chmod 600 /data/files/a/x")

    (second,) = await _WANTS.ready(world, replace(root, generation=2000, image=nobodys))

    assert await says(world, second.id, "id -u; cat /data/files/a/x; echo two > /data/files/y; echo done") == (
        "65534\none\ndone"
    )


async def test_what_is_in_a_volume_is_counted_with_links_counted_once(world: Machine) -> None:
    want = wanted(world)
    (instance,) = await _WANTS.ready(world, want)
    await says(world, instance.id, "dd if=/dev/zero of=/data/files/x bs=1048576 count=5 2>/dev/null; sync; echo")
    (volume,) = await world.engine.volumes(want.app)
    where = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", *named(world, want)))
    (where / "same").hardlink_to(where / "x")
    (where / "out").symlink_to("/usr")

    await world.engine.measure_volumes()
    (counted,) = await world.engine.volumes(want.app)

    assert volume.used_bytes is None or volume.used_bytes < 6_000_000
    assert counted.used_bytes is not None
    assert 5 * 1024 * 1024 <= counted.used_bytes < 6_000_000


async def test_a_volume_of_somebody_else_is_not_ours(world: Machine) -> None:
    other = f"somebody-{secrets.token_hex(3)}"
    docker("volume", "create", "--label", "leeward.volume=data", "--label", "leeward.app=shop", other)
    try:
        assert await world.engine.volumes("shop") == ()
    finally:
        docker("volume", "rm", other)


async def test_a_new_control_plane_knows_size_and_path_of_a_volume_that_grew(world: Machine) -> None:
    want = wanted(world)
    await _WANTS.ready(world, want)
    await _WANTS.ready(world, replace(want, generation=2000, volumes=(Mount("data", "/else", 128),)))
    await world.engine.remove(want.app)

    await world.restart()
    (volume,) = await world.engine.volumes(want.app)

    assert (volume.path, volume.size_mib) == ("/else", 128)


def named(world: Machine, want: Workload) -> list[str]:
    """Docker's names of an app's volumes."""
    return docker("volume", "ls", "-q", "--filter", f"label=leeward.app={want.app}").split()
