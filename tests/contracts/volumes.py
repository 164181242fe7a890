"""What every engine promises of volumes."""

import asyncio
from dataclasses import replace

import pytest

from leeward.errors import Conflict
from leeward.model.runtime import Workload
from leeward.model.volume import Mount, Volume
from leeward.ports import Keeps
from tests.contracts.engine import EngineContract, World, serving

DATA = Mount("data", "/data", 64)


_INSTANCES = EngineContract()


class VolumeContract:
    """Inherited for each engine, with a fixture `world`."""

    async def there(self, world: World, app: str) -> tuple[Volume, ...]:
        engine = world.engine
        assert isinstance(engine, Keeps)
        return tuple(await engine.volumes(app))

    async def says(self, world: World, instance: str, script: str, answer: bytes) -> None:
        command = ("sh", "-c", script)
        world.answer(command, 0, answer)
        assert await world.engine.exec(instance, command) == (0, answer)

    async def gone(self, world: World, want: Workload) -> None:
        """Take the app away, until nothing of it runs."""
        await world.engine.remove(want.app)
        waited = 0.0
        while (await world.engine.observe(want.app)).instances:
            await world.pass_time(0.1)
            waited += 0.1
            assert waited < 60, "the app does not go"

    async def dropped(self, world: World, volume: Volume) -> None:
        """Delete a volume as soon as what had it has let go of it."""
        engine = world.engine
        assert isinstance(engine, Keeps)
        waited = 0.0
        while True:
            try:
                return await engine.delete_volume(volume)
            except Conflict:
                if waited > 60:
                    raise
                await world.pass_time(0.2)
                waited += 0.2

    async def test_what_was_written_is_there_in_the_next_generation_which_starts_beside_the_old_one(
        self, world: World
    ) -> None:
        old = _INSTANCES.want(world, volumes=(DATA,))
        old = await _INSTANCES.routed(world, old)
        (first,) = serving(await world.engine.observe(old.app), old.generation)
        await self.says(world, first.id, "echo one > /data/x; echo done", b"done\n")

        (second,) = await _INSTANCES.ready(world, replace(old, generation=2000, release=2))

        await self.says(world, second.id, "cat /data/x", b"one\n")
        assert first.id in {i.id for i in (await world.engine.observe(old.app)).instances}

    async def test_a_volume_says_whose_it_is_and_outlives_its_instances_and_its_app(self, world: World) -> None:
        want = _INSTANCES.want(world, volumes=(DATA,))
        (first,) = await _INSTANCES.ready(world, want)
        await self.says(world, first.id, "echo one > /data/x; echo done", b"done\n")
        (volume,) = await self.there(world, want.app)
        assert (volume.app, volume.process, volume.name, volume.project) == (want.app, "web", "data", world.project)
        assert (volume.path, volume.size_mib, volume.used_by) == ("/data", 64, (first.id,))

        await self.gone(world, want)
        kept = await self.there(world, want.app)
        (second,) = await _INSTANCES.ready(world, want)

        assert [volume.title for volume in kept] == ["web/data"]
        await self.says(world, second.id, "cat /data/x", b"one\n")

    async def test_a_volume_grows_and_never_shrinks(self, world: World) -> None:
        want = _INSTANCES.want(world, volumes=(DATA,))
        await _INSTANCES.ready(world, want)

        larger = replace(want, generation=2000, volumes=(replace(DATA, size_mib=128),))
        await _INSTANCES.ready(world, larger)
        (grown,) = await self.there(world, want.app)
        await _INSTANCES.ready(world, replace(want, generation=3000))
        (back,) = await self.there(world, want.app)

        assert (grown.size_mib, back.size_mib) == (128, 128)

    async def test_a_volume_that_is_used_is_not_deleted_and_one_that_is_not_is(self, world: World) -> None:
        want = _INSTANCES.want(world, volumes=(DATA,))
        (instance,) = await _INSTANCES.ready(world, want)
        (volume,) = await self.there(world, want.app)
        engine = world.engine
        assert isinstance(engine, Keeps)

        with pytest.raises(Conflict, match=f"'web/data' of '{want.app}' is used by {instance.id}"):
            await engine.delete_volume(volume)
        await self.gone(world, want)
        await self.dropped(world, volume)
        await engine.delete_volume(volume)

        async with asyncio.timeout(60):
            while await self.there(world, want.app):
                await world.pass_time(0.2)
