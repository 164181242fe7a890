"""What every registry promises."""

from typing import Protocol

import pytest

from leeward.errors import FetchFailed, PushFailed, RolloutFailed
from leeward.model.image import BaseMark
from leeward.ports import Registry


class World(Protocol):
    """A registry, and the engine's store beside it."""

    registry: Registry
    address: str

    def image(self) -> str:
        """A new image in the engine's store; its id."""
        ...

    def foreign(self) -> str:
        """A new image in the engine's store that is none of ours; its name."""
        ...

    def local(self, name: str) -> bool:
        """Whether the engine's store has this name or id."""
        ...

    def lose(self, reference: str) -> None:
        """Take the image out of the engine's store, behind everybody's back."""
        ...

    def age(self) -> None:
        """Let everything become older than any grace."""
        ...


class RegistryContract:
    """Inherited for each registry, with a fixture `world`."""

    async def test_a_push_gives_a_reference_by_digest_that_the_engine_knows(self, world: World) -> None:
        reference = await world.registry.push(world.image(), "shop", "v1")

        assert reference.startswith(f"{world.address}/shop@sha256:")
        assert world.local(reference)

    async def test_pushing_again_gives_the_same_reference(self, world: World) -> None:
        image = world.image()
        first = await world.registry.push(image, "shop", "v1")

        assert await world.registry.push(image, "shop", "v2") == first

    async def test_an_image_that_does_not_exist_cannot_be_pushed(self, world: World) -> None:
        with pytest.raises(PushFailed, match="is not on this machine"):
            await world.registry.push(f"sha256:{'0' * 64}", "shop", "v1")

    async def test_an_image_that_the_engine_lost_comes_back(self, world: World) -> None:
        reference = await world.registry.push(world.image(), "shop", "v1")
        world.lose(reference)
        assert not world.local(reference)

        await world.registry.ensure(reference)

        assert world.local(reference)

    async def test_a_reference_that_nobody_has_fails_the_rollout(self, world: World) -> None:
        with pytest.raises(RolloutFailed, match="could not be pulled"):
            await world.registry.ensure(f"{world.address}/shop@sha256:{'1' * 64}")

    async def test_a_foreign_image_is_taken_in(self, world: World) -> None:
        name = world.foreign()

        reference = await world.registry.pin(name, "shop", "v1")

        assert reference.startswith(f"{world.address}/shop@sha256:")
        assert world.local(name)

    async def test_a_foreign_image_that_does_not_exist_is_named(self, world: World) -> None:
        with pytest.raises(FetchFailed, match="'nowhere/nothing:v9'"):
            await world.registry.pin("nowhere/nothing:v9", "shop", "v1")

    async def test_the_image_of_another_app_is_not_taken_in(self, world: World) -> None:
        await world.registry.push(world.image(), "shop", "v1")

        with pytest.raises(FetchFailed, match="belongs to another app"):
            await world.registry.pin(f"{world.address}/shop:v1", "thief", "v1")

    async def test_collecting_removes_what_is_not_kept_and_only_that(self, world: World) -> None:
        old = await world.registry.push(world.image(), "shop", "v1")
        kept = await world.registry.push(world.image(), "shop", "v2")
        other = await world.registry.push(world.image(), "gone", "v1")
        stranger = world.foreign()
        world.age()

        freed = await world.registry.collect({"shop": frozenset({kept})})

        assert freed > 0
        assert world.local(kept)
        assert world.local(stranger)
        assert not world.local(old)
        assert not world.local(other)
        with pytest.raises(RolloutFailed):
            await world.registry.ensure(old)
        world.lose(kept)
        await world.registry.ensure(kept)
        assert world.local(kept)

    async def test_an_app_that_is_gone_has_no_names_left_however_young_they_are(self, world: World) -> None:
        gone = await world.registry.push(world.image(), "shop", "v1")
        kept = await world.registry.push(world.image(), "shop-api", "v1")

        await world.registry.forget("shop")
        await world.registry.forget("shop")

        assert not world.local(gone)
        assert not world.local(f"{world.address}/shop:v1")
        with pytest.raises(RolloutFailed):
            await world.registry.ensure(gone)
        assert world.local(kept)
        world.lose(kept)
        await world.registry.ensure(kept)

    async def test_what_was_just_pushed_is_never_collected(self, world: World) -> None:
        reference = await world.registry.push(world.image(), "shop", "v1")

        await world.registry.collect({})

        assert world.local(reference)
        world.lose(reference)
        await world.registry.ensure(reference)

    async def test_a_foreign_image_outlives_the_app_that_pinned_it(self, world: World) -> None:
        name = world.foreign()
        reference = await world.registry.pin(name, "shop", "v1")
        world.age()

        await world.registry.collect({})

        assert world.local(name)
        assert not world.local(reference)

    async def test_an_image_is_described_by_its_layers(self, world: World) -> None:
        reference = await world.registry.push(world.image(), "shop", "v1")

        facts = await world.registry.describe(reference)

        assert facts.reference == reference
        assert facts.layers and all(layer.startswith("sha256:") for layer in facts.layers)
        assert facts.base is None
        assert set(await world.registry.contents(reference)) == set(facts.layers)
        assert await world.registry.contents(reference, frozenset(facts.layers)) == {}

    async def test_an_image_that_nobody_has_is_not_described(self, world: World) -> None:
        with pytest.raises(RolloutFailed, match="could not be pulled"):
            await world.registry.describe(f"{world.address}/shop@sha256:{'1' * 64}")

    async def test_what_is_held_is_weighed_and_no_longer_held_when_it_is_collected(self, world: World) -> None:
        one = await world.registry.push(world.image(), "shop", "v1")
        two = await world.registry.push(world.image(), "cafe", "v1")

        held = {image.reference: image for image in await world.registry.held()}

        assert {reference: held[reference].app for reference in (one, two)} == {one: "shop", two: "cafe"}
        assert sum(size for _, size in held[one].parts) > 0
        world.age()
        await world.registry.collect({"cafe": frozenset({two})})
        assert [image.reference for image in await world.registry.held()] == [two]

    async def test_nothing_is_put_on_a_base_that_is_not_there(self, world: World) -> None:
        reference = await world.registry.push(world.image(), "shop", "v1")

        with pytest.raises(PushFailed, match="'leeward-base/none:x' is not on this machine"):
            await world.registry.rebase(reference, "shop", "v2", "leeward-base/none:x", BaseMark("none"))

    async def test_an_image_that_was_collected_can_be_pushed_again(self, world: World) -> None:
        image = world.image()
        reference = await world.registry.push(image, "shop", "v1")
        keeper = await world.registry.push(world.image(), "shop", "v2")
        world.age()
        await world.registry.collect({"shop": frozenset({keeper})})

        again = world.image()
        pushed = await world.registry.push(again, "shop", "v3")
        world.lose(pushed)
        await world.registry.ensure(pushed)

        assert world.local(pushed)
        assert not world.local(reference)
