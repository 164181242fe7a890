"""Whatever dies at whatever moment: apps serve, and everything is there again afterwards."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.platform import DOCKER, Platform, change, copied, docker
from tests.e2e.test_drop_free import assert_nothing_dropped, load

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def lasting(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with a variable, two instances and an older release; its tree."""
    tree = copied("echo", tmp_path_factory.mktemp("crash"))
    change(tree, "name: echo", "name: lasting", "leeward.yaml")
    platform.ok("deploy", tree)
    platform.ok("env", "set", "lasting", "GREETING=kept")
    platform.ok("scale", "lasting", "web=2")
    return tree


def owners(platform: Platform) -> set[str]:
    """The apps of which a container exists."""
    return {
        docker("inspect", "--format", '{{index .Config.Labels "leeward.app"}}', id).strip()
        for id in platform.containers()
    }


def supervisor_of(platform: Platform) -> int:
    return int((platform.home / "run" / "supervisord.pid").read_text())


def test_after_a_power_cut_every_app_comes_back_with_its_release_and_environment(
    platform: Platform, lasting: Path
) -> None:
    before = {app["name"]: app["release"] for app in platform.ok("apps", "list")}
    pids = [supervisor_of(platform), *(platform.pid(name) for name in ("control", "edge", "registry"))]
    workers = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    running = platform.containers()

    for pid in {*pids, *workers}:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    subprocess.run([DOCKER, "kill", *running], capture_output=True, check=False)
    platform.up()

    _until(lambda: platform.get("lasting")[0] == 200)
    assert json.loads(platform.get("lasting")[1])["greeting"] == "kept"
    _until(lambda: len([i for i in platform.ok("ps", "lasting") if i["state"] == "ready"]) == 2)
    assert {app["name"]: app["release"] for app in platform.ok("apps", "list")} == before
    for name in ("finrag-backend", "finrag-frontend"):
        _until(lambda name=name: platform.get(name, "/health" if name.endswith("backend") else "/")[0] == 200)


def test_nothing_runs_that_belongs_to_no_app(platform: Platform, lasting: Path) -> None:
    apps = {app["name"] for app in platform.ok("apps", "list")}

    _until(lambda: owners(platform) <= apps)


def test_a_control_plane_that_is_killed_ten_times_leaves_apps_alone(platform: Platform, lasting: Path) -> None:
    before = {i["id"] for i in platform.ok("ps", "lasting")}
    with load(platform, "lasting") as counted:
        for _ in range(10):
            os.kill(platform.control_pid(), signal.SIGKILL)
            platform.wait_for_control()
    after = {i["id"] for i in platform.ok("ps", "lasting")}

    assert_nothing_dropped(counted)
    assert before == after


def test_a_killed_dockerd_stops_no_app_and_the_deploy_under_way_ends(platform: Platform, lasting: Path) -> None:
    engine = _supervised_dockerd()
    change(lasting, 'TEXT = "one"', 'TEXT = "after"')
    with load(platform, "lasting") as counted:
        started = platform.ok("deploy", lasting, "--detach")
        time.sleep(0.5)
        engine.kill()
        _until(lambda: subprocess.run([DOCKER, "info"], capture_output=True, check=False).returncode == 0, 60)
        ended = platform.ended(started["deploy"])

    assert_nothing_dropped(counted)
    assert ended["status"] == "live" or ended["error"]["hint"], ended
    done = platform.ok("deploy", lasting)
    assert done["status"] == "live"
    assert json.loads(platform.get("lasting")[1])["text"] == "after"


def _supervised_dockerd() -> psutil.Process:
    """The dockerd of this machine, where something starts it again."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "dockerd":
            parent = process.parent()
            line = " ".join(parent.cmdline()) if parent else ""
            if "with-docker" in line or "supervisord" in line:
                return process
    pytest.skip("dockerd is not started by this test run, so that nobody would start it again")


def _until(true: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.25)
