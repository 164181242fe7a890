"""A volume keeps what was written to it, whatever happens to the instances that have it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import Platform, change, copied, until

APP = "keeper"
DATA = {"data": {"path": "/data", "size": "64Mi"}}


def manifest(volumes: object = None, **web: object) -> str:
    health = {"drain": 1, "rollout_interval": 0.25}
    processes = {
        "web": {"command": "python main.py", "size": "nano", "health": health, "volumes": volumes or DATA, **web}
    }
    return f"name: {APP}\nprocesses: {json.dumps(processes)}\n"


@pytest.fixture(scope="module", autouse=True)
def app(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    platform.gone(APP)
    tree = copied("probe", tmp_path_factory.mktemp("keeper"))
    (tree / "leeward.yaml").write_text(manifest())
    assert platform.ok("deploy", tree)["status"] == "live"
    yield tree
    platform.gone(APP)


def run(platform: Platform, script: str) -> str:
    """What a shell in an instance answers."""
    answer = platform.lee("exec", APP, "--", "sh", "-c", script)
    assert answer.code == 0, answer.err
    return answer.out.strip()


def volumes(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.ok("volumes", "list", APP))


def test_the_apps_user_writes_and_a_deploy_a_restart_and_a_rollback_drop_nothing_and_lose_nothing(
    platform: Platform, app: Path
) -> None:
    assert run(platform, "id -u; echo one > /data/x && cat /data/x").split()[-1] == "one"
    assert run(platform, "id -u") != "0"

    change(app, 'TEXT = "one"', 'TEXT = "two"')
    deploy = platform.ok("deploy", app)
    assert run(platform, "cat /data/x; echo two >> /data/x") == "one"
    restart = platform.ok("restart", APP)
    assert run(platform, "cat /data/x").split() == ["one", "two"]
    back = platform.ok("rollback", APP)
    assert run(platform, "cat /data/x").split() == ["one", "two"]

    assert [done["receipt"]["failed"] for done in (deploy, restart, back)] == [0, 0, 0]


def test_nothing_is_lost_when_the_control_plane_is_killed_and_when_nothing_runs_for_a_while(
    platform: Platform,
) -> None:
    run(platform, "echo kept > /data/y")
    os.kill(platform.control_pid(), signal.SIGKILL)
    platform.wait_for_control()
    assert run(platform, "cat /data/y") == "kept"

    platform.ok("scale", APP, "web=0")
    until(lambda: volumes(platform)[0]["state"] == "idle", 60, "it is used, and nothing runs")
    refused = platform.lee("volumes", "delete", APP, "web/data", "--yes")
    platform.ok("scale", APP, "web=1")

    assert refused.code == 1
    assert "'web/data' is in the live release" in refused.err
    assert run(platform, "cat /data/y") == "kept"


def test_a_wish_that_cannot_be_fails_before_anything_is_built(platform: Platform, app: Path) -> None:
    (app / "leeward.yaml").write_text(
        manifest({"data": {"path": "/data", "size": "32Mi"}, "big": {"path": "/big", "size": "900Gi"}})
    )

    answer = platform.lee("deploy", app, "--json")
    (done,) = platform.api("GET", f"/v1/apps/{APP}/deploys?limit=1").json["items"]
    (app / "leeward.yaml").write_text(manifest())

    assert answer.code == 1
    error = done["error"]
    assert (done["step"], error["code"]) == ("plan", "volumes")
    assert "'32Mi' is less than the 64Mi" in error["message"]
    assert "'900Gi' is more than the 100Gi" in error["message"]


def test_a_deleted_apps_volumes_are_kept_and_found_again_until_they_are_deleted_too(
    platform: Platform, app: Path
) -> None:
    run(platform, "echo last > /data/z")

    gone = platform.lee("apps", "delete", APP, "--yes")
    assert "Its volumes are kept: web/data (64Mi)" in gone.err
    assert [one["state"] for one in volumes(platform)] == ["kept"]
    assert platform.ok("deploy", app)["status"] == "live"
    assert run(platform, "cat /data/z") == "last"

    answer = platform.lee("apps", "delete", APP, "--volumes", "--yes", "--json")
    assert answer.json == {"app": APP, "deleted": True}
    assert volumes(platform) == []
    assert "volume.deleted" in [event["kind"] for event in platform.ok("events", APP)]
