"""Volumes: what may be wished for, what becomes of them, and what is said."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.control_stage import Stage as Control
from tests.unit.control_stage import stage as control
from tests.unit.kubernetes_stage import RULES, WORKER
from tests.unit.services_stage import ADMIN
from tests.unit.web_stage import Dashboard, dashboard

from leeward.cli.volumes import kept, used
from leeward.engines.kubernetes.claim import Claim, StorageClass, examined, unfit
from leeward.engines.kubernetes.claim import volume as volume_of
from leeward.engines.local.mounts import mounts_of, mounts_text, named_user, owner
from leeward.errors import Forbidden, Invalid, NotFound
from leeward.model import parse
from leeward.model.access import Caller, Scope
from leeward.model.release import DeployStatus
from leeward.model.volume import Mount, Volume, mebibytes, mount_path, shown_size
from leeward.plan.volumes import VolumeLimits, left_over, level, refused, warning

LIMITS = VolumeLimits(2048, 3)
DATA = Volume("shop", "web", "data", "default", "local", "/data", 1024)
MOUNT = Mount("data", "/data", 1024)


def spec_with(volumes: str, more: str = "") -> Mapping[str, object]:
    """A spec whose web has these volumes."""
    return parse.manifest(f"processes: {{web: {{volumes: {volumes}{more}}}}}").model_dump()


def said(text: str) -> list[str]:
    """Every problem with a manifest."""
    with pytest.raises(Invalid) as caught:
        parse.manifest(text)
    return [str(problem) for problem in caught.value.problems]


# --- what may be written ----------------------------------------------------------------------------------


def test_a_volume_has_a_path_and_a_size() -> None:
    spec = parse.manifest("processes: {web: {volumes: {data: {path: /data//files/, size: 10Gi}, more: {path: /m}}}}")

    volumes = spec.processes["web"].volumes
    assert (volumes["data"].path, volumes["data"].size_mib, volumes["more"].size_mib) == ("/data/files", 10240, 1024)


def test_everything_wrong_with_volumes_is_said_at_once() -> None:
    problems = said(
        """
processes:
  web:
    volumes: {data: {path: data}, b: {path: /proc/x, size: 10Gi}, c: {path: /}, d: {path: /x, size: 10GB}, e: {}}
  worker:
    volumes: {one: {path: /a}, two: {path: /a/b}, three: {path: /a}}
"""
    )

    assert problems == [
        "processes/web/volumes/data/path: path 'data' of a volume must begin with '/'",
        "processes/web/volumes/b/path: a volume at '/proc/x' is refused: '/proc' belongs to the system; "
        "use one like '/data'",
        "processes/web/volumes/c/path: a volume at '/' would hide what the image has there: use a folder like '/data'",
        "processes/web/volumes/d/size: '10GB' is not a size of a volume: write it like '512Mi', '10Gi' or '1Ti'",
        "processes/web/volumes/e/path: field required, not '{}'",
        "processes/worker/volumes: volumes 'one' at '/a' and 'two' at '/a/b' lie in each other; "
        "volumes 'one' and 'three' have one path, '/a'; volumes 'two' at '/a/b' and 'three' at '/a' lie in each other",
    ]


@pytest.mark.parametrize("path", ["/", "//", "/tmp", "/tmp/x", "/dev/shm", "/etc", "/app", "/data/../etc", "/a:b", "x"])
def test_paths_of_the_system_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="volume"):
        mount_path(path)


@pytest.mark.parametrize(("text", "mib"), [("512Mi", 512), ("1Gi", 1024), ("1Ti", 1048576), ("1536Mi", 1536)])
def test_a_size_is_shown_as_it_is_written(text: str, mib: int) -> None:
    assert (mebibytes(text), shown_size(mib)) == (mib, text)


@pytest.mark.parametrize("text", ["", "1", "1G", "1GiB", "0Gi", "-1Gi", "1.5Gi", "1 Gi", "8Mi", "99999999Gi"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="volume"):
        mebibytes(text)


def test_nine_volumes_are_too_many_for_one_process() -> None:
    volumes = ", ".join(f"v{number}: {{path: /v{number}}}" for number in range(9))

    assert said(f"processes: {{web: {{volumes: {{{volumes}}}}}}}") == [
        "processes/web/volumes: 9 volumes are more than the 8 that a process may have"
    ]


def test_what_runs_by_the_clock_has_no_volumes() -> None:
    (problem,) = said("processes: {night: {schedule: '@daily', command: x, volumes: {data: {path: /data}}}}")

    assert "'volumes' are not for a process with a 'schedule'" in problem


# --- what may be wished for -------------------------------------------------------------------------------


def test_a_volume_does_not_shrink_move_or_take_a_new_name() -> None:
    live = parse.manifest("processes: {web: {volumes: {data: {path: /data}, old: {path: /old}}}}")
    spec = parse.manifest("processes: {web: {volumes: {data: {path: /data, size: 512Mi}, new: {path: /old}}}}")
    far = replace(DATA, name="new", region="eu")

    problems = [str(problem) for problem in refused(spec, LIMITS, [DATA, far], live)]

    assert problems == [
        "processes/web/volumes/data/size: '512Mi' is less than the 1Gi that it has: volumes only grow",
        "processes/web/volumes/new: this volume is in region 'eu', and volumes do not move to 'local'",
        "processes/web/volumes/new: 'new' at '/old' would take the place of the volume 'old' and begin empty",
    ]


def test_the_operators_limits_hold() -> None:
    volumes = ", ".join(f"v{number}: {{path: /v{number}, size: {number + 1}Gi}}" for number in range(4))
    spec = parse.manifest(f"processes: {{web: {{volumes: {{{volumes}}}}}}}")

    assert [str(problem) for problem in refused(spec, LIMITS)] == [
        "processes/web/volumes/v2/size: '3Gi' is more than the 2Gi that a volume may have",
        "processes/web/volumes/v3/size: '4Gi' is more than the 2Gi that a volume may have",
        "processes: 4 volumes are more than the 3 of an app",
    ]


def test_a_volume_that_grows_or_is_new_is_fine() -> None:
    spec = parse.manifest("processes: {web: {volumes: {data: {path: /elsewhere, size: 2Gi}, new: {path: /new}}}}")

    assert refused(spec, LIMITS, [DATA], parse.manifest("processes: {web: {volumes: {data: {path: /data}}}}")) == ()


@pytest.mark.parametrize(("used_mib", "reached"), [(0, 0), (819, 0), (820, 80), (973, 95), (1024, 100), (5000, 100)])
def test_a_volume_reaches_levels(used_mib: int, reached: int) -> None:
    assert level(replace(DATA, used_bytes=used_mib * 1024 * 1024)) == reached


def test_a_warning_says_whether_anything_holds_the_size() -> None:
    full = replace(DATA, used_bytes=1000 * 1024 * 1024)

    assert warning(full) == (
        "volume 'web/data' of 'shop' is 98 % full: 1000 of 1024 MiB are used, and nothing here stops it from growing"
    )
    assert "nothing here" not in warning(replace(full, enforced=True))
    assert left_over(None, [DATA]) == (DATA,)


# --- on one machine ---------------------------------------------------------------------------------------


def test_a_containers_label_says_which_volumes_it_has() -> None:
    assert mounts_of({"leeward.volumes": mounts_text((MOUNT,))}) == (MOUNT,)
    assert mounts_of({}) == ()


@pytest.mark.parametrize(
    ("user", "expected"),
    [("", (0, 0)), ("1000", (1000, 1000)), ("1000:50", (1000, 50)), ("node", (1001, 1002)), ("who", (0, 0))],
)
def test_the_user_of_an_image_is_known_by_number(user: str, expected: tuple[int, int]) -> None:
    passwd = "root:x:0:0::/root:/bin/sh\nnode:x:1001:1002::/home/node:/bin/sh\nbroken\n"

    assert owner(user, passwd) == expected
    assert named_user(user) == (user if user.isalpha() else "")


# --- on a cluster -----------------------------------------------------------------------------------------


CLAIM = Claim("leeward-store", "shop-worker-data", "shop", "worker", "store", "data", "/data", 1024, 1024, "Bound",
              "fast", False, "", False)  # fmt: skip
FAST = StorageClass("fast", default=True, grows=True)


def test_one_disk_is_on_one_node_so_that_several_instances_are_refused_with_what_to_do() -> None:
    want = replace(WORKER, volumes=(MOUNT,), instances=3)

    (problem,) = unfit([want], RULES, [FAST], [])

    assert problem.message.startswith("3 instances cannot have the volumes of 'worker'")
    assert "shared_volumes=yes" in problem.hint
    assert unfit([want], replace(RULES, shared_volumes=True), [FAST], []) == ()


def test_a_cluster_without_a_fitting_class_says_so() -> None:
    want = replace(WORKER, volumes=(MOUNT,), instances=1, bounds=None)

    def problem(rules: object = RULES, classes: tuple[StorageClass, ...] = (), claims: tuple[Claim, ...] = ()) -> str:
        return "; ".join(each.message for each in unfit([want], rules, classes, claims))  # type: ignore[arg-type]

    assert "has no default storage class" in problem()
    assert "has no storage class 'slow', but fast" in problem(replace(RULES, storage_class="slow"), (FAST,))
    assert problem(classes=(FAST,)) == ""
    small = replace(CLAIM, asked_mib=512)
    assert problem(classes=(FAST,), claims=(small,)) == ""
    assert "cannot grow from 512Mi to 1Gi" in problem(classes=(replace(FAST, grows=False),), claims=(small,))


def test_the_doctor_says_of_which_class_volumes_are() -> None:
    slow = replace(RULES, storage_class="slow")

    assert examined([FAST], RULES).text == "are of storage class 'fast', for one node at a time; they can grow"
    assert (examined([FAST], slow).ok, examined([FAST], slow).needed) == (False, True)
    assert examined([FAST], slow).hint.endswith("there are fast")
    assert (examined([], RULES).ok, examined([], RULES).needed) == (False, False)
    assert not examined(None, RULES).ok


@pytest.mark.parametrize(
    ("claim", "event", "words"),
    [
        (CLAIM, "", ""),
        (replace(CLAIM, phase="Pending"), "ProvisioningFailed: no space", "is not there yet: ProvisioningFailed"),
        (replace(CLAIM, phase="Pending"), "", "the cluster does not say why"),
        (replace(CLAIM, phase="Pending"), "WaitForFirstConsumer: waiting", "when the first instance needs it"),
        (replace(CLAIM, phase="Lost"), "", "is lost"),
        (replace(CLAIM, deleted=True), "", "is being deleted"),
        (replace(CLAIM, asked_mib=2048), "", "still has 1Gi"),
    ],
)
def test_a_claim_says_what_is_wrong_with_it(claim: Claim, event: str, words: str) -> None:
    assert words in volume_of(claim, "eu", (), event).problem
    assert bool(volume_of(claim, "eu", (), event).problem) == bool(words)


# --- the loops --------------------------------------------------------------------------------------------

MANIFEST = "name: shop\nprocesses: {{web: {{command: serve, size: nano, health: {{deadline: 1, drain: 0}}{}}}}}\n"
WITH = MANIFEST.format(", volumes: {data: {path: /data, size: 1Gi}}")


async def test_a_deploy_with_impossible_volumes_fails_before_it_builds_and_names_all(tmp_path: Path) -> None:
    async with control(tmp_path) as st:
        await st.live(**{"leeward.yaml": WITH})
        wrong = MANIFEST.format(", volumes: {data: {path: /data, size: 512Mi}, big: {path: /big, size: 9Gi}}")

        failed = await st.finish(await st.wish(tree={"main.py": "2", "leeward.yaml": wrong}))

        assert failed.status is DeployStatus.FAILED
        assert failed.error is not None
        assert (failed.error["step"], failed.error["code"]) == ("plan", "volumes")
        assert "less than the 1Gi" in failed.error["message"]
        assert "more than the 2Gi" in failed.error["message"]


async def test_a_volume_that_no_release_names_any_more_is_kept_and_the_deploy_says_so(tmp_path: Path) -> None:
    async with control(tmp_path) as st:
        await st.live(**{"leeward.yaml": WITH})

        await st.live(**{"leeward.yaml": MANIFEST.format("")})

        assert any("volume 'web/data' is no longer used, and kept" in line.text for line in st.lines)
        assert [volume.title for volume in await st.engine.volumes("shop")] == ["web/data"]


async def test_a_filling_volume_is_told_once_for_each_level(tmp_path: Path) -> None:
    async with control(tmp_path) as st:
        await st.live(**{"leeward.yaml": WITH})

        for used_mib in (100, 850, 860, 1000, 900, 1000):
            st.engine.kept.used["web/data"] = used_mib * 1024 * 1024
            await st.volumes.tick()

        assert await filled(st) == ["95", "95", "80"]


async def filled(st: Control) -> list[str]:
    """The levels that were told, newest first."""
    events = (await st.stores.events.list(limit=50)).items
    return [event.data["percent"] for event in events if event.kind == "volume.filling"]


# --- the doors --------------------------------------------------------------------------------------------


async def test_a_used_volume_stays_and_a_kept_one_is_deleted_with_an_event(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "home") as made:
        volumes = made.stage.services.volumes
        keep(made, replace(DATA, process="gone", name="old"))

        shown = await volumes.list("shop")
        assert [(one.process, one.name, one.size, one.state) for one in shown] == [("gone", "old", "1Gi", "kept")]
        with pytest.raises(NotFound, match="has no volume 'web/nothing'"):
            await volumes.delete(ADMIN, "shop", "web", "nothing")
        with pytest.raises(Forbidden):
            await volumes.delete(Caller("ann", Scope.DEPLOY), "shop", "gone", "old")
        await volumes.delete(ADMIN, "shop", "gone", "old")

        assert await volumes.list() == ()
        newest = (await made.stage.stores.events.list(limit=1)).items[0]
        assert (newest.kind, newest.data["volume"]) == ("volume.deleted", "gone/old")


def keep(made: Dashboard, volume: Volume) -> None:
    """Have a volume that nothing uses."""
    want = replace(
        WORKER,
        app=volume.app,
        process=volume.process,
        project=volume.project,
        region=volume.region,
        volumes=(Mount(volume.name, volume.path, volume.size_mib),),
    )
    made.stage.engine.kept.ensure(want)


async def test_the_app_page_shows_volumes_and_deletes_one_that_is_kept(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "home") as made:
        keep(made, replace(DATA, process="gone", name="old"))

        page = (await made.browser.get("/apps/shop")).text
        assert "gone/old" in page
        assert "Kept, not used" in page
        answer = await made.browser.post(
            "/apps/shop/volumes/delete",
            data={"process": "gone", "name": "old", "region": "local"},
            headers={"sec-fetch-site": "same-origin"},
        )

        assert answer.status_code == 303
        assert "Volumes</h2>" not in (await made.browser.get("/apps/shop")).text


async def test_to_scale_out_where_a_volume_is_for_one_is_refused(tmp_path: Path) -> None:
    async with control(tmp_path) as st:
        await st.live(**{"leeward.yaml": WITH})
        st.engine.kept.shared = False
        wide = MANIFEST.format(", volumes: {data: {path: /data}}, instances: 2")

        failed = await st.finish(await st.wish(tree={"main.py": "3", "leeward.yaml": wide}))

        assert failed.error is not None
        assert "are for one instance here" in failed.error["message"]


# --- the command line -------------------------------------------------------------------------------------


def test_use_is_said_in_mib_and_percent() -> None:
    assert used({"used_bytes": 12 * 1024 * 1024, "used_percent": 1.2}) == "12 MiB (1.2 %)"
    assert used({"used_bytes": None}) == "unknown"
    assert "`lee volumes delete shop web/data`" in kept(
        [{"app": "shop", "process": "web", "name": "data", "size": "1Gi"}]
    )
