"""Volumes on one machine: to whom they are given, from whom they are not taken, and how far they are looked into."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubernetes_stage import WORKER

from leeward.engines.local.container import Container
from leeward.engines.local.dockerd import Dockerd
from leeward.engines.local.mounts import volume_name
from leeward.engines.local.sight import Sight
from leeward.engines.local.volumes import Volumes, made_or_gone
from leeward.engines.local.walk import below
from leeward.errors import NotFound, RolloutFailed
from leeward.model.volume import Mount

MOUNT = Mount("data", "/data", 64)
WANT = replace(WORKER, app="shop", process="web", project="p", volumes=(MOUNT,))
HOME = "home"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


class Docker(Dockerd):
    """A dockerd in memory: containers with a user, and one volume in a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.users: dict[str, str] = {}
        self.more: list[dict[str, Any]] = []
        self.meant_to_fail: Exception | None = None

    async def ask(self, method: str, path: str, body: Any = None, wait_s: float = 0, **params: str) -> Any:
        if self.meant_to_fail is not None and method == "GET":
            raise self.meant_to_fail
        kind, _, rest = path.partition("/")
        if path == "volumes":
            return {"Volumes": [*self.more, self.volume(volume_name(HOME, "p", "shop", "web", "data"), self.place)]}
        if kind == "volumes":
            return self.volume(rest, self.place)
        id = rest.removesuffix("/json")
        if id not in self.users:
            raise NotFound(f"no such container: {id}")
        if method == "DELETE":
            return self.users.pop(id)
        return {"Config": {"User": self.users[id]}}

    def volume(self, name: str, place: Path) -> dict[str, Any]:
        labels = {"leeward.app": "shop", "leeward.process": "web", "leeward.volume": "data", "leeward.project": "p"}
        return {"Name": name, "Mountpoint": str(place), "Labels": labels}


class World:
    """One volume, and who has it."""

    def __init__(self, root: Path) -> None:
        self.place = root / "volume"
        self.place.mkdir()
        self.docker = Docker(self.place)
        self.sight = Sight(self.docker, HOME, lambda: 0.0)
        self.volumes = Volumes(self.docker, HOME, root / "known", self.sight)

    def runs(self, id: str, user: str, status: str = "running", process: str = "web") -> None:
        self.docker.users[id] = user
        self.sight.containers[id] = Container(
            id, f"shop-{id}", "shop", process, "p", "instance", 1, 1, 80, 100, 64, None, status, volumes=(MOUNT,)
        )

    async def given(self, user: str, id: str = "new") -> None:
        """A container of this user is made."""
        self.docker.users[id] = user
        await self.volumes.own(id, WANT)

    def owner(self, name: str = ".") -> tuple[int, int]:
        status = (self.place / name).lstat()
        return status.st_uid, status.st_gid


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@as_root
async def test_a_volume_is_not_taken_from_a_user_who_runs(world: World) -> None:
    await world.given("1000", "old")
    world.runs("old", "1000")
    (world.place / "x").touch()
    os.chown(world.place / "x", 1000, 1000)

    with pytest.raises(RolloutFailed) as caught:
        await world.given("1001")

    assert caught.value.message == "volume 'web/data' belongs to user 1000, which runs, and this image runs as 1001"
    assert caught.value.hint == "keep the image's USER, or first: lee scale shop web=0"
    assert (world.owner(), world.owner("x")) == ((1000, 1000), (1000, 1000))


@as_root
async def test_not_even_after_a_release_of_root_had_it_too(world: World) -> None:
    await world.given("1000", "old")
    world.runs("old", "1000")
    await world.given("", "failed")

    with pytest.raises(RolloutFailed, match="belongs to user 1000, which runs"):
        await world.given("1001")


@as_root
@pytest.mark.parametrize(("status", "process"), [("exited", "web"), ("running", "worker")])
async def test_when_nothing_with_the_volume_runs_another_user_gets_all_of_it(
    world: World, status: str, process: str
) -> None:
    await world.given("1000", "old")
    world.runs("old", "1000", status, process)
    (world.place / "x").touch()

    await world.given("1001:50")

    assert (world.owner(), world.owner("x")) == ((1001, 50), (1001, 50))


@as_root
async def test_what_root_made_meanwhile_is_given_to_the_user_that_comes_back(world: World) -> None:
    await world.given("1000")
    os.chmod(world.place, 0o700)
    await world.given("0")
    assert world.owner() == (1000, 1000)
    (world.place / "by-root").touch()

    await world.given("1000")

    assert (world.owner(), world.owner("by-root")) == ((1000, 1000), (1000, 1000))
    assert world.place.stat().st_mode & 0o777 == 0o700


@as_root
async def test_what_root_makes_while_it_still_runs_is_given_with_the_next_start_and_then_no_more(world: World) -> None:
    world.runs("old", "")
    await world.given("1000")
    (world.place / "late").touch()
    world.sight.containers.clear()

    await world.given("1000", "second")
    assert world.owner("late") == (1000, 1000)
    (world.place / "strange").touch()
    await world.given("1000", "third")

    assert world.owner("strange")[0] == 0


@as_root
async def test_a_link_is_given_and_not_what_it_leads_to(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    (world.place / "link").symlink_to(tmp_path / "other")

    await world.given("1000")

    assert world.owner("link") == (1000, 1000)
    assert (tmp_path / "other").stat().st_uid == (tmp_path / "other" / "x").stat().st_uid == 0


@pytest.mark.parametrize("error", [NotFound("gone"), RecursionError("too deep"), asyncio.CancelledError()])
async def test_a_container_whose_volume_cannot_be_given_goes_whatever_the_reason(
    world: World, error: BaseException
) -> None:
    world.docker.users["new"] = "1000"
    world.docker.meant_to_fail = error  # type: ignore[assignment]

    with pytest.raises(type(error)):
        await made_or_gone(world.volumes, world.docker, "new", WANT)

    assert world.docker.users == {}


# --- however deep -----------------------------------------------------------------------------------------


@pytest.fixture
def deep(world: World) -> Iterator[Path]:
    """The last of 1,500 folders in each other; taken away here, since others cannot."""
    here = world.place
    for _ in range(1500):
        here = here / "d"
        here.mkdir()
    (here / "last").write_bytes(b"x" * 4096)
    yield here
    (here / "last").unlink()
    while here != world.place:
        here.rmdir()
        here = here.parent


async def test_a_tree_is_counted_however_deep_it_is_with_few_open_folders(world: World, deep: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    most = 0
    names = []
    for each in below(world.place):
        names.append(each.name)
        most = max(most, len(os.listdir("/proc/self/fd")) - before)

    await world.volumes.measure()

    assert (len(names), names[-1]) == (1501, "last")
    assert most < 80
    assert len(os.listdir("/proc/self/fd")) == before
    (shown,) = await world.volumes.list()
    assert shown.used_bytes is not None
    assert shown.used_bytes >= 4096


@as_root
async def test_a_tree_is_given_however_deep_it_is(world: World, deep: Path) -> None:
    await world.given("1000")

    assert deep.stat().st_uid == (deep / "last").stat().st_uid == 1000


async def test_siblings_of_a_deep_folder_are_seen_after_the_way_back(world: World) -> None:
    here = world.place
    for _ in range(90):
        for name in ("a", "b"):
            (here / name).mkdir()
        here = here / "a"

    assert len(list(below(world.place))) == 180


async def test_who_moves_a_deep_folder_does_not_lead_the_walk_elsewhere(world: World, tmp_path: Path) -> None:
    here = world.place
    for _ in range(90):
        here = here / "d"
        here.mkdir()
    (tmp_path / "secret").touch()
    seen = []

    with pytest.raises(OSError, match="moved meanwhile"):
        for each in below(world.place):
            seen.append(each.name)
            if len(seen) == 90:
                here.parent.rename(tmp_path / "out")

    assert set(seen) == {"d"}


@pytest.mark.parametrize("swap", [lambda place: None, lambda place: place.symlink_to("/usr")])
async def test_a_folder_that_goes_or_becomes_a_link_meanwhile_is_not_entered(
    world: World, swap: Callable[[Path], None]
) -> None:
    (world.place / "d").mkdir()
    seen = []

    for each in below(world.place):
        seen.append(each.name)
        (world.place / "d").rmdir()
        swap(world.place / "d")

    assert seen == ["d"]


async def test_a_volume_that_cannot_be_counted_keeps_no_other_from_it(world: World) -> None:
    broken = world.docker.volume("broken", world.place)
    del broken["Mountpoint"]
    world.docker.more = [broken]

    with pytest.raises(KeyError):
        await world.volumes.measure()

    assert [one.used_bytes for one in await world.volumes.list()] == [None, 0]
