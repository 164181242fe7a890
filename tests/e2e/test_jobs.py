"""Jobs of a deploy run in the release's own image, at their moment, and leave the app alone when they fail."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import Platform, change, copied, docker, until

APP = "worked"


@pytest.fixture(scope="module", autouse=True)
def afresh(platform: Platform) -> None:
    platform.gone(APP)


def tree_of(folder: Path, jobs: dict[str, Any]) -> Path:
    tree = copied("probe", folder)
    change(tree, "name: probe", f"name: {APP}\njobs: {json.dumps(jobs)}", "leeward.yaml")
    return tree


def log_of(platform: Platform, deploy: str) -> str:
    """Every line of a deploy's log."""
    lines = platform.ok("logs", APP, "--build", deploy)
    return "\n".join(line["text"] for line in lines)


def test_jobs_run_before_and_after_in_the_image_of_the_release(platform: Platform, tmp_path: Path) -> None:
    jobs = {
        "look": {"command": "echo found $(ls main.py) for $LEEWARD_JOB", "size": "nano"},
        "tell": {"command": "echo told of $LEEWARD_DEPLOY_STATUS; exit 4", "when": "after_success"},
    }

    done = platform.ok("deploy", tree_of(tmp_path, jobs))

    assert done["status"] == "live"
    assert "jobs" in done["timings_s"]
    assert platform.ask(APP).json["text"] == "one"
    log = log_of(platform, done["release"])
    assert "found main.py for look" in log
    assert "told of live" in log
    assert "job tell ended with 4" in log
    assert "job.failed" in [event["kind"] for event in platform.ok("events", APP)]


def test_a_job_that_fails_before_the_deploy_leaves_the_old_release(platform: Platform, tmp_path: Path) -> None:
    jobs = {
        "migrate": {"command": "echo no such table; exit 3", "size": "nano"},
        "alarm": {"command": "echo alarm at $LEEWARD_DEPLOY_STEP", "when": "after_failure", "size": "nano"},
    }
    tree = tree_of(tmp_path, jobs)
    change(tree, 'TEXT = "one"', 'TEXT = "two"')

    answer = platform.lee("deploy", tree, "--json")

    assert (answer.code, answer.json["status"], answer.json["step"]) == (1, "failed", "rollout")
    assert "migrate" in answer.json["error"]["message"]
    assert platform.ask(APP).json["text"] == "one"
    assert "alarm at rollout" in answer.err + log_of(platform, "v2")


def test_a_control_plane_that_is_killed_in_a_job_runs_only_that_one_again(platform: Platform, tmp_path: Path) -> None:
    jobs = {
        "whole": {"command": "echo the first has run", "size": "nano"},
        "cut": {"command": "echo the second begins; sleep 6; echo the second ends", "size": "nano"},
    }
    tree = tree_of(tmp_path, jobs)
    change(tree, 'TEXT = "one"', 'TEXT = "three"')
    started = platform.ok("deploy", tree, "--detach")
    until(lambda: "the second begins" in log_of(platform, started["deploy"]).splitlines(), 60, "the job never began")

    os.kill(platform.control_pid(), signal.SIGKILL)
    platform.wait_for_control()
    ended = platform.ended(started["deploy"])

    assert ended["status"] == "live", ended["error"]
    lines = log_of(platform, started["deploy"]).splitlines()
    assert lines.count("the first has run") == 1
    assert lines.count("the second begins") == 2
    assert lines.count("the second ends") == 1
    assert platform.ask(APP).json["text"] == "three"
    # What was cut leaves no container behind.
    assert docker("ps", "-aq", "--filter", f"label=leeward.app={APP}", "--filter", "status=exited") == ""


def test_an_app_of_heroku_is_deployed_as_it_is(platform: Platform, tmp_path: Path) -> None:
    platform.gone("moved")
    tree = copied("probe", tmp_path)
    (tree / "leeward.yaml").unlink()
    (tree / "Procfile").write_text("web: python main.py\nclock: python clock.py\nrelease: echo upgraded\n")
    app = {
        "env": {"COLOUR": "blue", "SECRET_KEY": {"generator": "secret"}},
        "formation": {"web": {"quantity": 2, "size": "basic"}},
        "scripts": {"postdeploy": "echo seeded for $LEEWARD_JOB"},
    }
    (tree / "app.json").write_text(json.dumps(app))

    first = platform.ok("deploy", tree, "--app", "moved")
    env = platform.ask("moved", "/env").json
    second = platform.ok("deploy", change_of(tree), "--app", "moved")

    assert (first["status"], second["status"]) == ("live", "live")
    assert env["COLOUR"] == "blue"
    assert len(env["SECRET_KEY"]) == 64
    assert platform.ask("moved", "/env").json["SECRET_KEY"] == env["SECRET_KEY"]
    processes = {p["name"]: (p["min"], p["size"]) for p in platform.ok("apps", "show", "moved")["processes"]}
    assert processes == {"web": (2, "micro"), "clock": (0, "small")}
    logs = [{line["text"] for line in platform.ok("logs", "moved", "--build", version)} for version in ("v1", "v2")]
    assert ["seeded for first deploy" in log for log in logs] == [True, False]
    assert ["upgraded" in log for log in logs] == [True, True]


def change_of(tree: Path) -> Path:
    change(tree, 'TEXT = "one"', 'TEXT = "two"')
    return tree
