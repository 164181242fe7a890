"""Processes with a schedule run by the clock, once for each time, whatever dies meanwhile."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import Platform, change, copied, docker, until

APP = "clocked"
PROCESSES = {
    "web": {"command": "python main.py", "size": "nano"},
    # Begins soon enough for a test, and lasts long enough to be looked at.
    "often": {
        "command": "echo begins for $GREETING; sleep 6; echo ends",
        "size": "nano",
        "schedule": "* * * * *",
        "timezone": "Europe/Berlin",
    },
    "greedy": {
        "command": "python -c 'x = bytearray(10**9)'",
        "size": "nano",
        "schedule": "0 0 29 2 *",
    },
    "slow": {"command": "echo waits; sleep 100", "size": "nano", "schedule": "0 0 29 2 *", "timeout_s": 2},
}


@pytest.fixture(scope="module", autouse=True)
def app(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    platform.gone(APP)
    tree = copied("probe", tmp_path_factory.mktemp("clocked"))
    more = f"name: {APP}\nenv: {{GREETING: hello}}\nprocesses: {json.dumps(PROCESSES)}"
    (tree / "leeward.yaml").write_text(f"{more}\n")
    assert platform.ok("deploy", tree)["status"] == "live"
    return tree


def runs(platform: Platform, process: str) -> list[dict[str, Any]]:
    return list(platform.ok("runs", APP, "--process", process))


def lines(platform: Platform, instance: str) -> list[str]:
    found = platform.api("GET", f"/v1/apps/{APP}/logs?source={instance}").json["items"]
    return [line["text"] for line in found]


def test_a_run_by_hand_shows_what_it_prints_and_how_it_ended(platform: Platform) -> None:
    answer = platform.lee("run", APP, "slow")

    assert answer.code == 1
    assert answer.out.split() == ["waits"]
    assert "took longer than 2 s" in answer.err
    (run,) = runs(platform, "slow")
    assert (run["state"], run["trigger"], run["tail"]) == ("failed", "manual", ["waits"])
    assert "run.failed" in [event["kind"] for event in platform.ok("events", APP)]


def test_a_run_that_needs_too_much_memory_says_so(platform: Platform) -> None:
    answer = platform.lee("run", APP, "greedy", "--json")

    assert (answer.code, answer.json["state"]) == (1, "failed")
    assert answer.json["reason"] == "was killed for using more than 256 MiB of memory"


def test_a_run_goes_on_while_the_control_plane_is_killed_and_is_taken_over(platform: Platform) -> None:
    found = platform.lee("run", APP, "often", "--detach", "--json")
    if found.code:
        # The clock was faster: its own run serves as well.
        assert "goes on" in found.err + found.out
    run = until(lambda: next((r for r in runs(platform, "often") if r["instance"]), None), 30, "no run began")
    until(lambda: "begins for hello" in lines(platform, run["instance"]), 30, "it printed nothing")

    os.kill(platform.control_pid(), signal.SIGKILL)
    platform.wait_for_control()

    def ended() -> Any:
        return next((r for r in runs(platform, "often") if r["id"] == run["id"] and r["ended_at"]), None)

    over = until(ended, 40, "the run never ended")
    assert (over["state"], over["exit_code"], over["attempts"]) == ("succeeded", 0, 1), over
    assert over["tail"] == ["begins for hello", "ends"]
    assert lines(platform, run["instance"]) == ["begins for hello", "ends"]


def test_the_clock_begins_a_run_in_each_minute(platform: Platform) -> None:
    def by_the_clock() -> Any:
        return next((r for r in runs(platform, "often") if r["trigger"] == "schedule" and r["ended_at"]), None)

    run = until(by_the_clock, 90, "the clock began nothing", pause_s=0.5)

    assert (run["state"], run["release"]) == ("succeeded", "v1")
    assert run["scheduled_at"][-3:] == "00Z" or run["scheduled_at"].endswith(":00+00:00"), run["scheduled_at"]
    ids = [r["id"] for r in runs(platform, "often")]
    assert len(ids) == len(set(ids))
    shown = platform.ok("apps", "show", APP)["processes"]
    often = next(process for process in shown if process["name"] == "often")
    assert (often["schedule"], often["timezone"]) == ("* * * * *", "Europe/Berlin")
    assert often["last_run"] is not None
    assert often["next_run_at"] is not None


def test_what_is_suspended_begins_nothing_and_a_bad_schedule_is_refused(platform: Platform, app: Path) -> None:
    assert platform.ok("scale", APP, "often=0")["status"] == "live"
    often = next(p for p in platform.ok("apps", "show", APP)["processes"] if p["name"] == "often")
    assert (often["suspended"], often["next_run_at"]) == (True, None)

    change(app, '"* * * * *"', '"0 25 * * *"', "leeward.yaml")
    answer = platform.lee("deploy", app)

    assert answer.code == 2
    assert "has the hour '25': it goes from 0 to 23" in answer.err


def test_nothing_is_left_of_an_app_that_is_deleted(platform: Platform) -> None:
    platform.lee("run", APP, "often", "--detach")

    platform.ok("apps", "delete", APP, "--yes")

    assert docker("ps", "-aq", "--filter", f"label=leeward.app={APP}", "--filter", f"label={platform.label}") == ""
