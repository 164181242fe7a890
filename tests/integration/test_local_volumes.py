"""Volumes on the real Docker: whose they are, how full they are, and what is never touched."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.engine import EngineContract
from tests.contracts.tiny import Machine, docker, machine, needs_docker, tiny_layer

from leeward.errors import RolloutFailed
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


@pytest.fixture(scope="module")
def somebodys(home: Path) -> Iterator[str]:
    """An image whose user has a number."""
    command = 'CMD ["httpd","-f","-p","8080","-h","/www"]'
    made = docker("import", "--change", command, "--change", "USER 1000", "-", stdin=tiny_layer())
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


async def test_another_user_gets_a_volume_only_when_the_one_who_has_it_runs_no_more(
    world: Machine, somebodys: str, nobodys: str
) -> None:
    old = await _WANTS.routed(world, replace(wanted(world), image=somebodys))
    (first,) = (await world.engine.observe(old.app)).instances
    await says(world, first.id, "echo one > /data/files/x && chmod 600 /data/files/x")
    new = replace(old, generation=2000, image=nobodys)

    with pytest.raises(RolloutFailed, match="belongs to user 1000, which runs, and this image runs as 65534"):
        await world.engine.apply(new)
    assert await says(world, first.id, "echo two >> /data/files/x; cat /data/files/x") == "one\ntwo"
    assert {each.id for each in (await world.engine.observe(old.app)).instances} == {first.id}
    assert docker("ps", "-aq", "--filter", f"label=leeward.app={old.app}").count("\n") == 0

    nothing = replace(old, instances=0, routed=frozenset())
    async with asyncio.timeout(60):
        while (await world.engine.observe(old.app)).instances:
            await world.engine.apply(nothing)
            await world.pass_time(0.1)
    (second,) = await _WANTS.ready(world, replace(new, routed=frozenset()))

    assert await says(world, second.id, "id -u; cat /data/files/x") == "65534\none\ntwo"


async def test_what_root_writes_beside_a_user_is_the_users_when_it_comes_back(world: Machine, somebodys: str) -> None:
    user = await _WANTS.routed(world, replace(wanted(world), image=somebodys))
    (first,) = (await world.engine.observe(user.app)).instances
    root = replace(user, image=world.image, generation=2000, read_only=False)
    (second,) = await _WANTS.ready(world, root)
    await says(world, second.id, "echo root > /data/files/x && chmod 600 /data/files/x")

    assert await says(world, first.id, "echo still > /data/files/y; cat /data/files/y") == "still"
    (third,) = await _WANTS.ready(world, replace(user, generation=3000))

    assert await says(world, third.id, "echo user >> /data/files/x; cat /data/files/x") == "root\nuser"


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
