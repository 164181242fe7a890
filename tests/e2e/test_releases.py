"""A release is the whole state: going back restores all of it, and what fails or is cancelled changes nothing."""

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.platform import REGISTRY_PORT, Platform, change, copied, docker, until

APPS = ("keeper", "quitter", "hurried", "leaver")


@pytest.fixture(scope="module", autouse=True)
def afresh(platform: Platform) -> None:
    platform.gone(*APPS)


def tree_of(folder: Path, name: str) -> Path:
    tree = copied("probe", folder)
    change(tree, "name: probe", f"name: {name}", "leeward.yaml")
    return tree


def shape(platform: Platform, app: str) -> dict[str, Any]:
    """Everything that a release holds, as it is seen from outside."""
    shown = platform.ok("apps", "show", app)
    env = platform.ask(app, "/env").json
    ready = platform.instances(app, "ready")
    return {
        "release": shown["release"],
        "image": shown["image"],
        "spec": {p["name"]: (p["size"], p["min"], p["max"], p["command"]) for p in shown["processes"]},
        "wished env": {v["key"]: v["value"] for v in platform.ok("env", "list", app)},
        "env": {key: value for key, value in env.items() if key not in ("HOSTNAME",)},
        "text": platform.ask(app).json["text"],
        "images": {docker("inspect", "-f", "{{.Config.Image}}", i["id"]).strip() for i in ready},
        "limits": {docker("inspect", "-f", "{{.HostConfig.Memory}}", i["id"]).strip() for i in ready},
        "instances": len(ready),
    }


def test_a_rollback_restores_image_environment_and_scale_exactly(platform: Platform, tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "keeper")
    platform.ok("deploy", tree)
    platform.ok("env", "set", "keeper", "COLOUR=blue", "SHAPE=round")
    assert platform.lee("env", "set", "keeper", "KEY", "--secret", stdin="first secret\n").code == 0
    platform.ok("scale", "keeper", "web=2", "--size", "micro")
    before = shape(platform, "keeper")

    change(tree, 'TEXT = "one"', 'TEXT = "two"')
    platform.ok("deploy", tree)
    platform.ok("env", "set", "keeper", "COLOUR=red", "NEW=1")
    platform.ok("env", "unset", "keeper", "SHAPE")
    assert platform.lee("env", "set", "keeper", "KEY", "--secret", stdin="second secret\n").code == 0
    platform.ok("scale", "keeper", "web=1", "--size", "nano")
    after = shape(platform, "keeper")
    back = platform.ok("rollback", "keeper", before["release"])

    assert (after["text"], after["env"]["COLOUR"], after["instances"]) == ("two", "red", 1)
    assert "SHAPE" not in after["env"] and after["env"]["KEY"] == "second secret"
    until(lambda: shape(platform, "keeper") == before, 15, "the old state did not come back", pause_s=1)
    assert (back["release"], back["image"]) == (before["release"], before["image"])
    # Nothing is built, pushed or made: its time is that of the health checks.
    assert set(back["timings_s"]) == {"rollout", "total"}
    print(json.dumps(back["timings_s"]))
    live = [release["release"] for release in platform.ok("releases", "keeper") if release["live"]]
    assert live == [before["release"]]


def test_after_a_rollback_changes_go_on_from_there(platform: Platform, tmp_path: Path) -> None:
    newest = platform.ok("releases", "keeper")[0]["number"]

    done = platform.ok("env", "set", "keeper", "LATER=yes")["deploy"]

    now = shape(platform, "keeper")
    assert done["release"] == f"v{newest + 1}"
    assert (now["text"], now["env"]["COLOUR"], now["env"]["LATER"]) == ("one", "blue", "yes")


def test_a_rollback_to_nowhere_is_refused(platform: Platform) -> None:
    answer = platform.lee("rollback", "keeper", "v999", "--json")

    assert answer.code == 2
    assert "v999" in answer.out


def test_a_failed_deploy_leaves_the_release_its_variables_and_its_scale(platform: Platform, tmp_path: Path) -> None:
    before = shape(platform, "keeper")
    tree = tree_of(tmp_path, "keeper")
    (tree / "main.py").write_text("import nowhere_at_all\n")

    answer = platform.lee("deploy", tree, "--json")

    assert (answer.code, answer.json["status"], answer.json["step"]) == (1, "failed", "rollout")
    assert "nowhere_at_all" in answer.json["error"]["message"] + answer.json["error"]["hint"]
    assert shape(platform, "keeper") == before
    until(lambda: len(platform.instances("keeper")) == before["instances"], 20, "instances of the failed release stay")


# --- cancel and supersede ---------------------------------------------------------------------------------


def slow(folder: Path, name: str, mark: str) -> Path:
    """An app whose build takes as long as nobody ends it."""
    tree = tree_of(folder, name)
    (tree / "Dockerfile").write_text(f"FROM python:3.11-slim\nRUN echo {time.time()} && sleep {mark}\n")
    return tree


def processes(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or ())]


def test_a_build_that_is_cancelled_ends_with_all_its_processes(platform: Platform, tmp_path: Path) -> None:
    plain = tree_of(tmp_path, "quitter")
    platform.ok("deploy", plain)
    tree = slow(tmp_path, "quitter", "98765")
    started = platform.ok("deploy", tree, "--detach")
    until(lambda: processes("98765"), 60, "the build never came to its slow step")

    answer = platform.lee("cancel", started["deploy"], "--json")

    assert (answer.code, answer.json["status"]) == (0, "cancelled"), answer.out
    until(lambda: not processes("98765"), 15, "the build goes on")
    assert platform.ask("quitter").json["text"] == "one"
    (tree / "Dockerfile").unlink()
    assert platform.ok("deploy", tree)["status"] == "live"


def test_a_deploy_that_waits_is_superseded_by_a_newer_one(platform: Platform, tmp_path: Path) -> None:
    first = platform.ok("deploy", slow(tmp_path / "a", "hurried", "87654"), "--detach")
    until(lambda: processes("87654"), 60, "the build never came to its slow step")
    second = platform.ok("deploy", tree_of(tmp_path / "b", "hurried"), "--detach")
    tree = tree_of(tmp_path / "c", "hurried")
    change(tree, 'TEXT = "one"', 'TEXT = "third"')
    third = platform.ok("deploy", tree, "--detach")

    superseded = platform.ended(second["deploy"])
    platform.ok("cancel", first["deploy"])

    assert superseded["status"] == "superseded"
    assert platform.ended(third["deploy"])["status"] == "live"
    assert platform.ask("hurried").json["text"] == "third"


# --- delete -----------------------------------------------------------------------------------------------


def test_a_deleted_app_leaves_nothing_and_its_name_is_free(platform: Platform, tmp_path: Path) -> None:
    assert platform.api("POST", "/v1/apps", {"name": "leaver", "project": "left-alone"}).status == 201
    tree = tree_of(tmp_path, "leaver")
    platform.ok("deploy", tree)
    platform.ok("env", "set", "leaver", "COLOUR=blue")
    home, network = platform.label.partition("=")[2], "left-alone"
    assert docker("network", "ls", "-q", "--filter", f"name=lwd-{home}-{network}")

    gone = platform.ok("apps", "delete", "leaver", "--yes")

    assert gone == {"app": "leaver", "deleted": True}
    assert platform.ask("leaver").status == 404
    assert docker("ps", "-aq", "--filter", f"label={platform.label}", "--filter", "label=leeward.app=leaver") == ""
    assert docker("images", "-q", f"127.0.0.1:{REGISTRY_PORT}/leaver") == ""
    for place in ("logs", "registry", "git", "sources"):
        left = [path for path in (platform.home / place).rglob("leaver*") if path.name in ("leaver", "leaver.git")]
        assert left == [], place
    until(
        lambda: not docker("network", "ls", "-q", "--filter", f"name=lwd-{home}-{network}"),
        30,
        "the networks of its project stay",
    )
    assert platform.lee("apps", "show", "leaver").code == 2

    again = platform.ok("deploy", tree)

    assert (again["release"], again["status"]) == ("v1", "live")
    assert "COLOUR" not in platform.ask("leaver", "/env").json
    assert platform.ok("env", "list", "leaver") == []


def test_an_app_can_be_deleted_while_it_is_built(platform: Platform, tmp_path: Path) -> None:
    platform.ok("deploy", slow(tmp_path, "leaver", "76543"), "--detach")
    until(lambda: processes("76543"), 60, "the build never came to its slow step")

    gone = platform.ok("apps", "delete", "leaver", "--yes")

    assert gone["deleted"]
    until(lambda: not processes("76543"), 15, "the build goes on")
    assert docker("ps", "-aq", "--filter", f"label={platform.label}", "--filter", "label=leeward.app=leaver") == ""
