"""Builds in a cluster keep the contract of a builder, and their images run there."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leeward.builders.bases import Bases
from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.daemon.builds import Kitchens, regional
from leeward.engines.kubernetes.builds import take_away
from leeward.engines.kubernetes.kinds import POD, SECRET, VOLUME
from leeward.engines.kubernetes.options import rules_of
from leeward.engines.local.container import home_id
from leeward.errors import BuildFailed, Unavailable
from leeward.fakes.builder import FakeBuilder
from leeward.host.facts import docker_answers
from leeward.model.app import AppSpec, Strategy
from leeward.model.region import EngineKind, Region
from leeward.model.secret import Secret
from leeward.ports import BuildJob, Built, Say
from leeward.registry.contents import EngineContents
from leeward.settings import Settings
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing
from tests.cluster.kit import IMAGE
from tests.cluster.load import kubectl
from tests.cluster.world import world
from tests.contracts import galley
from tests.contracts.builder import BuilderContract
from tests.contracts.galley import Galley

# The base of a static site has no client.
ASK = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


@pytest.fixture(scope="module")
def kitted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with BuildKit's image on its nodes; the pool goes at the end."""
    from tests.cluster import kit

    if not kit.image().exists() and os.environ.get("LEEWARD_CLUSTER") != "must":
        pytest.skip("the image of BuildKit is not made yet: `make cluster-test` makes it, in minutes")
    try:
        kit.on_nodes(cluster)
    except Missing as lack:
        pytest.skip(str(lack))
    yield cluster
    asyncio.run(galley.clear(cluster, tmp_path_factory.mktemp("clear")))


class TestClusterBuilder(BuilderContract):
    @pytest.fixture
    async def world(self, kitted: Cluster, tmp_path: Path) -> AsyncIterator[Galley]:
        async with galley.galley(kitted, tmp_path) as made:
            yield made

    async def test_a_step_that_needs_too_much_memory_ends_the_build_and_not_the_pool(self, world: Galley) -> None:
        with pytest.raises(BuildFailed, match=f"more than {galley.MEMORY_MIB} MiB of memory") as caught:
            await world.builder.build(world.job("head -c 700m /dev/zero | tail"), lambda line: None)

        assert caught.value.code == "build-memory"
        built = await world.builder.build(world.job("echo still here"), lambda line: None)
        assert built.pushed

    async def test_a_pod_that_dies_costs_its_build_and_the_next_one_is_built(self, world: Galley) -> None:
        begun = asyncio.Event()
        job = world.job("echo begun; sleep 600")
        build = asyncio.create_task(
            world.builder.build(job, lambda line: begun.set() if line.strip() == "begun" else None)
        )
        await asyncio.wait_for(begun.wait(), 60)

        await world.lose_pods()

        with pytest.raises(Unavailable, match="went away while it built"):
            await asyncio.wait_for(build, 60)
        assert (await world.builder.build(world.job("echo again"), lambda line: None)).pushed

    async def test_a_build_that_takes_too_long_is_ended(self, kitted: Cluster, tmp_path: Path) -> None:
        async with galley.galley(kitted, tmp_path, build_timeout_s=3) as slow:
            with pytest.raises(BuildFailed, match="longer than 3 s") as caught:
                await slow.builder.build(slow.job("sleep 300"), lambda line: None)

            assert caught.value.code == "build-timeout"
            assert slow.running() == 0

    async def test_a_secret_is_there_for_its_step_and_nowhere_in_the_image(self, world: Galley) -> None:
        lines: list[str] = []
        step = "--mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN"

        built = await world.builder.build(
            world.job(step, env={"TOKEN": "f00-bar-b4z"}, secrets=("TOKEN",)), lines.append
        )

        assert "11" in [line.strip() for line in lines]
        async with world.asked.open(built.pushed) as content:
            assert b"f00-bar-b4z" not in content.config
            everything = [b"".join(each.chunks) for layer in content.layers for each in layer.read()]
        assert not any(b"f00-bar-b4z" in text for text in everything)

    async def test_an_image_with_a_secret_in_it_is_refused_and_deleted(self, world: Galley) -> None:
        value = "q8Zk2LmX7vTn4RbC"
        job = world.job(
            "--mount=type=secret,id=TOKEN cp /run/secrets/TOKEN /kept", env={"TOKEN": value}, secrets=("TOKEN",)
        )
        seen: list[str] = []
        build = world.builder.build

        async def noted(job: BuildJob, say: Say) -> Built:
            built = await build(job, say)
            seen.append(built.pushed)
            return built

        world.builder.build = noted  # type: ignore[method-assign]
        scanning = ScanningBuilder(
            world.builder, EngineContents(world.settings), world.settings.home / "scans", world.asked
        )

        with pytest.raises(BuildFailed) as caught:
            await scanning.build(replace(job, secrets=frozenset({"TOKEN"})), lambda line: None)

        assert caught.value.code == "secret-in-image"
        assert not await world.asked.has(seen[0])

    async def test_an_image_of_another_app_is_refused_though_we_could_pull_it(self, world: Galley) -> None:
        built = await world.builder.build(world.job("echo mine"), lambda line: None)
        thief = world.of(f"COPY --from={built.pushed} /www /stolen")

        with pytest.raises(BuildFailed, match="is another app's"):
            await world.builder.build(replace(thief, app=f"{world.app}x"), lambda line: None)

    async def test_files_that_are_ignored_are_not_sent(self, world: Galley) -> None:
        (world.tree / "kept.txt").write_text("kept")
        (world.tree / "left.txt").write_text("left")
        job = world.of("COPY . /all/\nRUN ls /all")
        lines: list[str] = []

        await world.builder.build(
            replace(job, plan=replace(job.plan, dockerignore=("left.txt",))), lambda line: lines.append(line.strip())
        )

        assert "kept.txt" in lines
        assert "left.txt" not in lines


async def test_an_app_that_was_planned_and_built_for_the_cluster_answers_there(kitted: Cluster, tmp_path: Path) -> None:
    if not docker_answers(Settings().docker_socket):
        pytest.skip("needs a container engine, which makes the base image: `make test` runs it once more beside one")
    async with galley.galley(kitted, tmp_path) as place, world(kitted) as platform:
        (place.tree / "index.html").write_text("made in the cluster\n")
        plan = place.builder.plan(place.tree, AppSpec(name=place.app), {}, {})
        lines: list[str] = []
        job = BuildJob(place.app, "d1", place.tree, plan, {})

        built = await place.builder.build(job, lines.append)
        image = await place.registry.adopt(built.pushed, place.app, "v1")
        want = await platform.live(platform.want(image=image, command=plan.processes["web"]))

        seen = await platform.engine.observe(want.app)
        code, output = await platform.engine.exec(seen.instances[0].id, ("bash", "-c", ASK))
        assert code == 0
        assert output.endswith(b"made in the cluster\n")
        assert plan.strategy == Strategy.AUTO
        assert await place.asked.has(f"{place.settings.registry}/{place.app}:v1")
        again = await place.builder.build(replace(job, key="d2"), lines.append)
        assert (again.cached, again.pushed) == (True, built.pushed)


async def test_a_region_that_builds_in_its_cluster_does_so_as_the_daemon_puts_it_together_and_leaves_nothing(
    kitted: Cluster, tmp_path: Path
) -> None:
    kubeconfig = Secret(kitted.layout.kubeconfig.read_text())
    options = {"builds": "cluster", "builds_pods": "1", "builds_image": IMAGE, "cpu_request_percent": "1"}
    region = Region("east", EngineKind.KUBERNETES, kubeconfig, options=options)
    async with galley.galley(kitted, tmp_path, build_memory_mib=64, build_cache_mib=512) as place:
        kitchens = Kitchens(place.settings, Bases(place.settings), place.registry, place.nobody)
        builder = regional(place.settings, FakeBuilder(), None, FakeRegions(region), kitchens)
        home = home_id(str(place.settings.home))
        space = f"leeward-builds-{home}-east"
        lines: list[str] = []
        try:
            built = await builder.build(replace(place.job("echo from there"), region="east"), lines.append)
        finally:
            await take_away(place.client, rules_of(region, home, place.settings.domain, place.settings.registry))

        def gone() -> bool:
            found = kubectl(kitted, "get", "namespace", space, "--ignore-not-found", "-o", "name")
            return found.returncode == 0 and not found.stdout

        await asyncio.to_thread(kitted.until, gone, "the end of the pool", 120)
        left = [await place.client.ask("GET", kind.path(space), what=kind.kind) for kind in (POD, VOLUME, SECRET)]
        assert not any(found["items"] for found in left)

    assert "    from there" in lines
    assert built.pushed.startswith(f"{kitted.layout.registry}/{place.app}@sha256:")


class FakeRegions:
    """One region."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def get(self, name: str) -> Region:
        assert name == self._region.name
        return self._region

    async def list(self) -> list[Region]:
        return [self._region]

    async def put(self, region: Region) -> None:
        raise AssertionError

    async def delete(self, name: str) -> None:
        raise AssertionError
