"""What every builder promises."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

import pytest

from leeward.errors import BuildFailed
from leeward.ports import Builder, BuildJob

SECRET = "s3cr3t-of-the-build"


class World(Protocol):
    """A builder, and trees that a test may build."""

    builder: Builder

    def job(self, *steps: str, env: Mapping[str, str] | None = None, key: str = "d1") -> BuildJob:
        """A build of these shell commands, one after the other."""
        ...

    def running(self) -> int:
        """Processes of builds that run now."""
        ...


class BuilderContract:
    """Inherited for each builder, with a fixture `world`."""

    async def test_a_build_gives_the_id_of_an_image(self, world: World) -> None:
        built = await world.builder.build(world.job("echo hello"), lambda line: None)

        assert built.id.startswith("sha256:")
        assert len(built.id) == 71

    async def test_what_a_step_prints_is_said(self, world: World) -> None:
        lines: list[str] = []

        await world.builder.build(world.job("echo good morning"), lines.append)

        assert any(line.strip() == "good morning" for line in lines)

    async def test_the_same_build_again_runs_nothing(self, world: World) -> None:
        job = world.job("echo once")
        first = await world.builder.build(job, lambda line: None)

        again = await world.builder.build(job, lambda line: None)

        assert not first.cached
        assert again.cached
        assert again.id == first.id

    async def test_another_command_gives_another_image(self, world: World) -> None:
        first = await world.builder.build(world.job("echo one > /one"), lambda line: None)

        second = await world.builder.build(world.job("echo two > /one"), lambda line: None)

        assert first.id != second.id

    async def test_a_command_that_fails_is_named_with_its_exit_code(self, world: World) -> None:
        with pytest.raises(BuildFailed, match="exit code 7") as caught:
            await world.builder.build(world.job("echo fine", "exit 7"), lambda line: None)

        assert caught.value.hint

    async def test_a_secret_that_a_build_prints_is_stars(self, world: World) -> None:
        lines: list[str] = []

        await world.builder.build(world.job(f"echo it is {SECRET} here", env={"TOKEN": SECRET}), lines.append)

        assert any("it is ******** here" in line for line in lines)
        assert not any(SECRET in line for line in lines if "echo" not in line)

    async def test_cancelling_ends_the_build_at_once(self, world: World) -> None:
        begun = asyncio.Event()
        job = world.job("echo begun; sleep 600")
        build = asyncio.create_task(
            world.builder.build(job, lambda line: begun.set() if line.strip() == "begun" else None)
        )
        await asyncio.wait_for(begun.wait(), 30)
        at = time.monotonic()

        build.cancel()
        with pytest.raises(asyncio.CancelledError):
            await build

        assert time.monotonic() - at < 8
        assert world.running() == 0
