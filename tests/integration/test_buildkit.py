"""BuildKit within bounds, for real."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.builder import SECRET, BuilderContract
from tests.contracts.kitchen import Kitchen, kitchen
from tests.contracts.tiny import docker, needs_docker

from leeward.builders.buildkit import BuildkitBuilder
from leeward.errors import BuildFailed, LeewardError


@pytest.fixture(autouse=True)
def _docker() -> None:
    needs_docker()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Kitchen]:
    with kitchen(tmp_path) as made:
        yield made


class TestBuildkit(BuilderContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[Kitchen]:
        with kitchen(tmp_path) as made:
            yield made


async def test_a_secret_is_mounted_masked_and_not_in_the_image(world: Kitchen) -> None:
    lines: list[str] = []
    step = "--mount=type=secret,id=TOKEN cat /run/secrets/TOKEN; echo; tail -c 5 /run/secrets/TOKEN | cat > /tail"

    built = await world.builder.build(world.job(step, env={"TOKEN": SECRET}, secrets=("TOKEN",)), lines.append)

    assert "    ********" in lines
    assert SECRET not in "\n".join(lines)
    assert SECRET not in docker("image", "inspect", built.id)
    assert SECRET not in docker("history", "--no-trunc", built.id)


async def test_a_secret_printed_in_two_halves_is_masked(world: Kitchen) -> None:
    lines: list[str] = []
    step = f"echo -n {SECRET[:9]}; sleep 0.3; echo {SECRET[9:]}"

    await world.builder.build(world.job(step, env={"TOKEN": SECRET}), lines.append)

    assert SECRET not in "\n".join(lines)


async def test_a_build_that_allocates_without_end_is_ended_by_its_bound(tmp_path: Path) -> None:
    with kitchen(tmp_path, build_memory_mib=256) as made:
        step = """awk 'BEGIN { s = "x"; while (1) s = s s }'"""

        with pytest.raises(BuildFailed, match="more than 256 MiB of memory") as caught:
            await made.builder.build(made.job(step), lambda line: None)

        assert caught.value.code == "build-memory"
        assert "LEEWARD_BUILD_MEMORY_MIB" in caught.value.hint


async def test_a_fork_bomb_is_ended_by_its_bound(tmp_path: Path) -> None:
    with kitchen(tmp_path, build_pids=64) as made:
        step = "while true; do sleep 300 & done"

        with pytest.raises(BuildFailed, match="more than 64 processes"):
            await made.builder.build(made.job(step), lambda line: None)

        assert made.running() == 0


async def test_a_fork_bomb_that_waits_is_ended_too(tmp_path: Path) -> None:
    with kitchen(tmp_path, build_pids=64) as made:
        step = "for i in $(seq 200); do (sleep 300 &) 2>/dev/null; done; sleep 300"

        with pytest.raises(BuildFailed, match="more than 64 processes"):
            await made.builder.build(made.job(step), lambda line: None)

        assert made.running() == 0


async def test_a_build_that_fills_the_disk_is_ended_by_its_bound(tmp_path: Path) -> None:
    with kitchen(tmp_path, build_disk_mib=256) as made:
        with pytest.raises(BuildFailed, match="wrote more than 256 MiB"):
            await made.builder.build(made.job("dd if=/dev/zero of=/fill bs=1M; sleep 60"), lambda line: None)

        assert made.running() == 0


async def test_a_build_that_never_ends_is_ended_by_its_bound(tmp_path: Path) -> None:
    with kitchen(tmp_path, build_timeout_s=10) as made:
        began = time.monotonic()

        with pytest.raises(BuildFailed, match="longer than 10 s"):
            await made.builder.build(made.job("sleep 600"), lambda line: None)

        assert time.monotonic() - began < 16
        assert made.running() == 0


async def test_output_without_end_is_cut(world: Kitchen) -> None:
    lines: list[str] = []

    await world.builder.build(world.job("yes 0123456789012345678901234567890123456789 | head -n 400000"), lines.append)

    assert sum(len(line) + 1 for line in lines) < 9 * 1024 * 1024


async def test_builds_wait_for_a_slot_and_say_so(tmp_path: Path) -> None:
    with kitchen(tmp_path, builds=1) as made:
        lines: list[str] = []
        first = asyncio.create_task(made.builder.build(made.job("sleep 2"), lambda line: None))
        await asyncio.sleep(0.2)

        second = await made.builder.build(made.job("echo second"), lines.append)

        assert lines[0].startswith("waiting for a build slot")
        assert first.done()
        assert (await first).id != second.id


async def test_one_build_over_its_bound_leaves_the_other_alone(tmp_path: Path) -> None:
    with kitchen(tmp_path, builds=2, build_pids=200) as made:
        good = asyncio.create_task(made.builder.build(made.job("sleep 4; echo good"), lambda line: None))
        bomb = made.job("for i in $(seq 400); do (sleep 300 &) 2>/dev/null; done; sleep 300")

        with pytest.raises(BuildFailed, match="processes"):
            await made.builder.build(bomb, lambda line: None)

        assert (await good).id.startswith("sha256:")


async def test_what_a_dead_control_plane_left_is_ended_and_its_secrets_are_removed(world: Kitchen) -> None:
    begun = asyncio.Event()
    job = world.job("echo begun; sleep 300", env={"TOKEN": SECRET}, secrets=("TOKEN",))
    orphan = asyncio.create_task(world.builder.build(job, lambda line: begun.set() if "begun" in line else None))
    await asyncio.wait_for(begun.wait(), 30)
    left = set(world.settings.run_dir.glob("build-*"))

    await BuildkitBuilder(world.settings).build(world.job("true"), lambda line: None)

    with pytest.raises(LeewardError):
        await orphan
    assert left
    assert not left & set(world.settings.run_dir.glob("build-*"))
    assert world.running() == 0


async def test_the_same_source_gives_the_same_layers(world: Kitchen) -> None:
    (world.tree / "main.py").write_text("print(1)\n")
    text = f"FROM {world.base}\nCOPY . /app\n"
    layers = []
    for number in range(2):
        (world.tree / "main.py").touch()
        job = replace(world.of(text), key=f"d{number}")
        built = await world.builder.build(job, lambda line: None)
        layers.append(docker("image", "inspect", "--format", "{{.RootFS.Layers}}", built.id))
        docker("rmi", "-f", built.id)

    assert layers[0] == layers[1]


async def test_a_change_of_the_same_size_is_never_missed(world: Kitchen) -> None:
    text = f"FROM {world.base}\nCOPY main.py /\nRUN cat /main.py\n"
    shown: list[str] = []
    for number in (1, 2):
        (world.tree / "main.py").write_text(f"{world.app} {number}\n")
        await world.builder.build(world.of(text), shown.append)

    assert f"    {world.app} 1" in shown
    assert f"    {world.app} 2" in shown


async def test_a_dockerfile_on_a_public_image_is_built_on_ours_or_says_why_not(world: Kitchen) -> None:
    if docker("images", "-q", "busybox:9.99"):
        pytest.skip("has busybox:9.99")

    with pytest.raises(BuildFailed, match=r"registry\.invalid/team/thing:1"):
        await world.builder.build(world.of("FROM registry.invalid/team/thing:1\nRUN true\n"), lambda line: None)


async def test_a_base_image_that_is_cached_is_there_in_seconds(world: Kitchen) -> None:
    if not list(Path("/var/cache/leeward/bases").glob("python3.11-[0-9a-f]*.tar.zst")):
        pytest.skip("no cached base image on this machine (lee up makes one)")
    lines: list[str] = []

    await asyncio.gather(*(world.builder.bases.ensure(["python3.11"], lines.append) for _ in range(3)))

    assert sum("making" in line or "ready" in line for line in lines) <= 2


@pytest.mark.parametrize(
    "lines",
    [
        ["FROM {image}"],
        ["ARG HALF=127.0.0.1:59", "FROM ${{HALF}}99/other:v1"],
        ["FROM {base}", "COPY --from={image} /bin/busybox /theirs"],
        ["FROM {base}", "RUN --mount=from={image},target=/theirs true"],
    ],
)
async def test_a_dockerfile_takes_nothing_out_of_another_apps_image(tmp_path: Path, lines: list[str]) -> None:
    with kitchen(tmp_path, registry="127.0.0.1:5999") as made:
        image, mine = "127.0.0.1:5999/other:v1", f"127.0.0.1:5999/{made.app}:v1"
        docker("tag", made.base, image)
        docker("tag", made.base, mine)
        try:
            text = "\n".join(lines).format(image=image, base=made.base)
            with pytest.raises(BuildFailed, match=r"'127\.0\.0\.1:5999/other:v1' is another app's") as caught:
                await made.builder.build(made.of(f"{text}\nENV TEST={made.app}"), lambda line: None)
            own = "\n".join(lines).format(image=mine, base=made.base).replace("99/other", f"99/{made.app}")
            await made.builder.build(made.of(f"{own}\nENV TEST={made.app}"), lambda line: None)
        finally:
            docker("rmi", "--no-prune", image, mine)
    assert caught.value.code == "foreign-image"
