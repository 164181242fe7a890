"""Deploys, changes of the environment and restarts drop nothing, even where the control plane is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import HTTPS_PORT, Platform, change, copied

ROUNDS = int(os.environ.get("LEEWARD_E2E_ROUNDS", "20"))
ROOT = Path(__file__).resolve().parents[2]
PHASES = ("fetch", "plan", "build", "push", "rollout")


@contextmanager
def load(platform: Platform, app: str, *kinds: str) -> Iterator[dict[str, Any]]:
    """Requests of every kind (or of some) while the block runs; afterwards the dictionary holds what was counted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.load", f"{app}.{platform.domain}", str(HTTPS_PORT), "900", *kinds],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    counted: dict[str, Any] = {}
    try:
        time.sleep(2)
        yield counted
        time.sleep(2)
    finally:
        out, _ = process.communicate(timeout=60)
        counted.update(json.loads(out))
        print(json.dumps(counted))


@pytest.fixture(scope="module")
def echo(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app that is asked, live; its tree."""
    tree = copied("echo", tmp_path_factory.mktemp("apps"))
    platform.ok("deploy", tree)
    return tree


def assert_nothing_dropped(counted: dict[str, Any]) -> None:
    assert counted["failed"] == 0, counted["failures"]
    for kind in ("keep_alive", "fresh", "uploads", "websockets", "streams"):
        assert counted[kind] > 0, kind


@pytest.mark.timeout(900)
def test_deploys_under_load_drop_nothing(platform: Platform, echo: Path) -> None:
    text = "one"
    with load(platform, "echo") as counted:
        for number in range(ROUNDS):
            change(echo, f'TEXT = "{text}"', f'TEXT = "deploy {number}"')
            text = f"deploy {number}"
            done = platform.ok("deploy", echo)
            assert done["status"] == "live"
            assert json.loads(platform.get("echo")[1])["text"] == text
            assert done["receipt"]["requests"] > 0
            assert (done["receipt"]["failed"], done["receipt"]["sockets_dropped"]) == (0, 0), done["receipt"]
    change(echo, f'TEXT = "{text}"', 'TEXT = "one"')

    assert_nothing_dropped(counted)


@pytest.mark.timeout(900)
def test_changes_of_the_environment_under_load_drop_nothing(platform: Platform, echo: Path) -> None:
    with load(platform, "echo") as counted:
        for number in range(ROUNDS):
            platform.ok("env", "set", "echo", f"GREETING=hello {number}")
            assert json.loads(platform.get("echo")[1])["greeting"] == f"hello {number}"

    assert_nothing_dropped(counted)


@pytest.mark.timeout(900)
def test_restarts_under_load_drop_nothing(platform: Platform, echo: Path) -> None:
    before = {instance["id"] for instance in platform.ok("ps", "echo")}
    with load(platform, "echo") as counted:
        for _ in range(ROUNDS):
            platform.ok("restart", "echo")
    after = {instance["id"] for instance in platform.ok("ps", "echo") if instance["state"] == "ready"}

    assert_nothing_dropped(counted)
    assert not before & after


@pytest.mark.timeout(600)
def test_scaling_up_and_down_under_load_drops_nothing(platform: Platform, echo: Path) -> None:
    with load(platform, "echo") as counted:
        for count in (3, 1, 2, 1):
            platform.ok("scale", "echo", f"web={count}")
            ready = [i for i in platform.ok("ps", "echo") if i["state"] == "ready"]
            assert len(ready) == count

    assert_nothing_dropped(counted)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", PHASES)
def test_a_control_plane_that_is_killed_in_a_deploy_goes_on_with_it(platform: Platform, echo: Path, phase: str) -> None:
    text = f"killed at {phase}"
    source = echo / "main.py"
    was = source.read_text()
    change(echo, 'TEXT = "one"', f'TEXT = "{text}"')
    if phase == "build":
        (echo / "requirements.txt").write_text((echo / "requirements.txt").read_text() + f"# {time.time()}\n")
    with load(platform, "echo") as counted:
        started = platform.ok("deploy", echo, "--detach")
        _until_phase(platform, started["deploy"], phase)
        os.kill(platform.control_pid(), signal.SIGKILL)
        platform.wait_for_control()
        ended = _until_final(platform, started["deploy"])
    source.write_text(was)

    assert_nothing_dropped(counted)
    assert ended["status"] == "live", ended["error"]
    assert json.loads(platform.get("echo")[1])["text"] == text
    assert len([i for i in platform.ok("ps", "echo") if i["state"] == "ready"]) == 1


@pytest.mark.timeout(300)
def test_an_nginx_worker_that_is_killed_is_replaced_and_a_fresh_one_serves(platform: Platform, echo: Path) -> None:
    edge = platform.pid("edge")
    children = subprocess.run(["pgrep", "-P", str(edge)], capture_output=True, text=True, check=True).stdout.split()

    os.kill(int(children[0]), signal.SIGKILL)
    time.sleep(0.3)

    assert all(platform.get("echo")[0] == 200 for _ in range(20))


@pytest.mark.timeout(300)
def test_an_nginx_that_is_killed_comes_back_with_its_routes_and_no_control_plane(
    platform: Platform, echo: Path
) -> None:
    os.kill(platform.control_pid(), signal.SIGKILL)
    os.kill(platform.pid("edge"), signal.SIGKILL)

    deadline = time.monotonic() + 20
    while platform.get("echo")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.1)

    assert platform.get("echo")[0] == 200
    platform.wait_for_control()


def _api(platform: Platform, path: str) -> Any:
    token = (platform.home / "admin.token").read_text().strip()
    out = subprocess.run(
        [
            "curl",
            "-s",
            "--max-time",
            "5",
            "--unix-socket",
            str(platform.home / "run" / "api.sock"),
            "-H",
            f"Authorization: Bearer {token}",
            f"http://console/v1{path}",
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return json.loads(out) if out.startswith("{") else {}


def _until_phase(platform: Platform, id: str, phase: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        deploy = _api(platform, f"/deploys/{id}")
        if deploy.get("phase") == phase or PHASES.index(deploy.get("phase", "fetch")) > PHASES.index(phase):
            return
        time.sleep(0.005)
    raise AssertionError(f"the deploy never came to {phase}")


def _until_final(platform: Platform, id: str) -> Any:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        deploy = _api(platform, f"/deploys/{id}")
        if deploy.get("status") in ("live", "failed", "cancelled", "superseded"):
            return deploy
        time.sleep(0.1)
    raise AssertionError("the deploy never ended")
