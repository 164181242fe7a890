"""Builds that run somewhere else: what is asked of them, and which builder an app gets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.control_stage import stage

from leeward.builders.buildctl import Order, command
from leeward.builders.inputs import secret_files, workplace
from leeward.builders.progress import Progress
from leeward.builders.regional import RegionalBuilder
from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.daemon.builds import check, check_registry
from leeward.engines.kubernetes import kit_state
from leeward.engines.kubernetes.kits import Kit, configuration
from leeward.engines.kubernetes.options import rules_of
from leeward.errors import BuildFailed, Invalid
from leeward.fakes.builder import FakeBuilder, simple_plan
from leeward.fakes.registry import FakeRegistry
from leeward.model.region import BuildsIn, EngineKind, Profile, Region
from leeward.plan.settle import EPOCH
from leeward.ports import BuildJob, Built, Entry, ImageContent, LayerContent, Say
from leeward.settings import Settings

KIT = Kit("buildkit", pods=1, millicpu=1000, memory_mib=512, disk_mib=100, cache_mib=300)
CLUSTER = Region("east", EngineKind.KUBERNETES, registry="registry.example.com/apps", options={"builds": "cluster"})
ORDER = Order("unix:///run/kit.sock", Path("/tree"), Path("/room"), "registry.example.com/apps/shop")


def job(tmp_path: Path, region: str = "east") -> BuildJob:
    return BuildJob("shop", "d1", tmp_path, simple_plan("FROM scratch"), {"TOKEN": "t0ps3cret"}, region=region)


# --- the command ------------------------------------------------------------------------------------------


def test_a_build_is_ordered_with_all_that_it_needs_and_pushed_by_digest() -> None:
    order = replace(
        ORDER,
        target="run",
        args={"A": "1"},
        labels={"leeward.app": "shop"},
        bases={"leeward-base/static:1": "registry.example.com/apps/leeward-base/static:1-2"},
        secrets=(Path("/room/secrets/TOKEN"),),
        settled=True,
    )

    assert command("buildctl", order) == (
        "buildctl",
        "--addr=unix:///run/kit.sock",
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        "--local=context=/tree",
        "--local=dockerfile=/room",
        *("--opt", "target=run"),
        *("--opt", "build-arg:A=1"),
        *("--opt", f"build-arg:SOURCE_DATE_EPOCH={EPOCH}"),
        *("--opt", "label:leeward.app=shop"),
        *(
            "--opt",
            "context:leeward-base/static:1=docker-image://registry.example.com/apps/leeward-base/static:1-2",
        ),
        "--secret=id=TOKEN,src=/room/secrets/TOKEN",
        "--metadata-file=/room/facts.json",
        '--output=type=image,"name=registry.example.com/apps/shop",push=true,push-by-digest=true,oci-mediatypes=false'
        ",rewrite-timestamp=true",
    )


def test_a_secret_is_a_file_that_only_we_may_read_and_is_gone_afterwards(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    wanted = replace(wanted, plan=replace(wanted.plan, build_secrets=("TOKEN",)))
    files = secret_files(wanted, Settings(home=tmp_path, build_ca=tmp_path / "absent"))

    with workplace(tmp_path / "run", "distant-", files) as work:
        file = work / "secrets" / "TOKEN"
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("t0ps3cret", 0o600)

    assert not work.exists()


def test_where_a_base_comes_from_is_no_step_of_the_build() -> None:
    progress = Progress()
    lines = ("#4 [context leeward-base/static:1] load metadata for x", "#4 DONE 0.2s", "#5 [1/2] RUN make", "#5 CACHED")

    shown = [text for line in lines for text in progress.feed(line)]

    assert shown == ["[1/2] RUN make", "  cached"]
    assert not progress.ran


# --- which builder ----------------------------------------------------------------------------------------


async def test_an_app_is_built_where_its_region_says(tmp_path: Path) -> None:
    here, there = FakeBuilder(), FakeBuilder()
    known = {"east": CLUSTER, "west": replace(CLUSTER, name="west", options={})}
    made: list[Region] = []

    async def find(name: str) -> Region | None:
        return known.get(name)

    def make(region: Region) -> FakeBuilder:
        made.append(region)
        return there

    builder = RegionalBuilder(here, find, make)
    for region in ("local", "west", "east", "east"):
        await builder.build(job(tmp_path, region), lambda line: None)
    known["east"] = replace(CLUSTER, registry="other.example.com")
    await builder.build(job(tmp_path, "east"), lambda line: None)

    assert [one.region for one in here.built] == ["local", "west"]
    assert [one.region for one in there.built] == ["east"] * 3
    assert made == [CLUSTER, known["east"]]


def test_builds_are_local_unless_a_region_says_otherwise() -> None:
    assert replace(CLUSTER, options={}).builds is BuildsIn.LOCAL
    assert CLUSTER.builds is BuildsIn.CLUSTER
    check(CLUSTER)
    check_registry(CLUSTER, "127.0.0.1:5010")


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (replace(CLUSTER, options={"builds": "moon"}), "'local', 'cluster', 'google', not 'moon'"),
        (replace(CLUSTER, engine=EngineKind.LOCAL), "region 'east' is no cluster"),
        (replace(CLUSTER, profile=Profile.GKE_AUTOPILOT), "Autopilot lets no pod make user namespaces"),
        (replace(CLUSTER, options={"builds": "google", "google-project": "p"}), "google_bucket: is needed"),
        (replace(CLUSTER, registry=""), "builds of region 'east' do not reach '127.0.0.1:5010'"),
    ],
)
def test_a_region_that_cannot_build_as_it_says_is_refused(region: Region, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(region)
        check_registry(region, "127.0.0.1:5010")

    assert message in str(caught.value)


def test_options_of_builds_are_read() -> None:
    options = {"builds": "cluster", "builds-pods": "3", "builds_image": "example.com/kit:1", "builds_volume_gib": "20"}

    rules = rules_of(replace(CLUSTER, options=options), "home", "example.com", "")

    assert (rules.builds_pods, rules.builds_image, rules.builds_volume_gib) == (3, "example.com/kit:1", 20)


# --- pods -------------------------------------------------------------------------------------------------


def pod(ready: str = "False", *conditions: Mapping[str, str], **status: Any) -> dict[str, Any]:
    found = [{"type": "Ready", "status": ready}, *conditions]
    return {"metadata": {"name": "kit-0", "uid": "u1"}, "status": {"conditions": found, **status}}


def container(**fields: Any) -> dict[str, Any]:
    return {"containerStatuses": [fields]}


def test_a_pod_says_why_it_takes_no_build() -> None:
    nowhere = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient memory."}
    pulling = container(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    ended = container(
        state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 1, "reason": "Error"}}
    )

    assert kit_state.waits(None) == "it is being made"
    assert kit_state.waits(pod("True")) == ""
    assert kit_state.waits(pod()) == "it starts"
    assert kit_state.waits(pod("False", nowhere)) == (
        "no node takes it: 0/2 nodes are available: 2 Insufficient memory"
    )
    assert kit_state.waits(pod(**pulling)) == "ErrImagePull: not found"
    assert kit_state.waits(pod(**ended)) == "it ended with exit code 1: see its log"


def test_a_container_that_ended_for_memory_is_told_from_one_that_ended() -> None:
    killed = pod(**container(restartCount=1, lastState={"terminated": {"reason": "OOMKilled"}}))
    failed = pod(**container(restartCount=1, lastState={"terminated": {"reason": "Error"}}))

    assert kit_state.ended_for_memory(killed)
    assert not kit_state.ended_for_memory(failed)
    assert kit_state.life(killed) == ("u1", 1)


def test_a_pod_that_wrote_too_much_is_told_from_one_whose_node_was_full() -> None:
    own = {"reason": "Evicted", "message": 'Usage of EmptyDir volume "cache" exceeds the limit "30720Mi". '}
    node = {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}

    assert kit_state.evicted(pod(**own))
    assert not kit_state.evicted(pod(**node))
    assert not kit_state.evicted(None)


@pytest.mark.parametrize(
    ("events", "killed"),
    [
        ("low 0\nhigh 0\nmax 31\noom 2\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        ("", 0),
    ],
)
def test_processes_that_the_kernel_ended_are_counted_in_both_kinds_of_control_groups(events: str, killed: int) -> None:
    assert kit_state.kills(events) == killed


def test_the_cache_has_a_budget_and_only_named_registries_speak_plainly() -> None:
    text = configuration(replace(KIT, plain=("10.0.0.5:5000",)))

    assert "maxUsedSpace = 314572800" in text
    assert '[registry."10.0.0.5:5000"]\n  http = true' in text
    assert "http = true" not in configuration(KIT)


# --- the whole way ----------------------------------------------------------------------------------------


class Pushing(FakeBuilder):
    """Has its images in the registry, and in no engine's store."""

    def __init__(self, registry: FakeRegistry) -> None:
        super().__init__()
        self._registry = registry

    async def build(self, job: BuildJob, say: Say) -> Built:
        built = await super().build(job, say)
        reference = f"{self._registry.address}/{job.app}@{built.id}"
        self._registry.stored[reference] = built.id
        return replace(built, pushed=reference)


async def test_what_a_builder_pushed_is_released_under_the_name_of_its_release(tmp_path: Path) -> None:
    async with stage(tmp_path) as plane:
        plane.builder = Pushing(plane.registry)
        plane = plane.again()

        done = await plane.live()

        release = await plane.stores.releases.get("shop", done.release or 0)
        assert release.image in plane.registry.stored
        assert plane.registry.pushed == [(release.image, "v1")]
        assert [one.region for one in plane.builder.built] == ["local"]


class Away(FakeBuilder):
    """Says that it pushed."""

    async def build(self, job: BuildJob, say: Say) -> Built:
        return replace(await super().build(job, say), pushed="registry.test/shop@sha256:1")


class Pushed:
    """An image in a registry, with one file."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.discarded: list[str] = []

    @asynccontextmanager
    async def open(self, image: str) -> AsyncIterator[ImageContent]:
        assert image == "registry.test/shop@sha256:1"
        layer = LayerContent("sha256:l", lambda: iter((Entry("kept", b"", (self.content,)),)))
        yield ImageContent(b'{"rootfs": {"diff_ids": ["sha256:l"]}, "history": []}', [layer])

    async def discard(self, image: str) -> bool:
        self.discarded.append(image)
        return False


class Nothing:
    """An engine's store in which nothing is."""

    def open(self, image: str) -> AbstractAsyncContextManager[ImageContent]:
        raise AssertionError(f"'{image}' is not here")


async def test_what_was_pushed_is_looked_through_where_it_is_and_deleted_with_a_secret_in_it(tmp_path: Path) -> None:
    value = "q8Zk2LmX7vTn4RbC"
    secret = replace(job(tmp_path), env={"TOKEN": value}, secrets=frozenset({"TOKEN"}))
    lines: list[str] = []
    leaking, clean = Pushed(value.encode()), Pushed(b"nothing")

    await ScanningBuilder(Away(), Nothing(), tmp_path / "a", clean).build(secret, lines.append)
    with pytest.raises(BuildFailed, match="'TOKEN' is in"):
        await ScanningBuilder(Away(), Nothing(), tmp_path / "b", leaking).build(secret, lines.append)

    assert (clean.discarded, leaking.discarded) == ([], ["registry.test/shop@sha256:1"])
    assert any("delete it there" in line for line in lines)
