"""What each command asks of the API, and what it answers."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli_stage import LIVE, PROBLEM, Answer, Asked, Stage, Talk, deploy, staged

from leeward import daemon
from leeward.cli import follow
from leeward.cli.main import main
from leeward.cli.metrics import bars, named
from leeward.cli.output import moment, safe
from leeward.host.doctor import Finding
from leeward.model.build import BuildPlan, Decision, Evidence

EVENTS = ("GET", "/v1/deploys/d1/events")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    with staged() as stage:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("LEEWARD_URL", stage.url)
        monkeypatch.setenv("LEEWARD_TOKEN", "lee_secret")
        monkeypatch.setattr(follow, "PATIENCE_S", 5.0)
        yield stage


def ends(stage: Stage, **changes: Any) -> None:
    def say(talk: Talk, asked: Asked) -> None:
        talk.stream()
        talk.event("deploy", deploy(**changes))
        talk.end()

    stage.play(*EVENTS, say)


def answered(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def listing(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next": ""}


@pytest.mark.parametrize(
    ("argv", "method", "path", "body"),
    [
        (["rollback", "shop", "v3"], "POST", "/v1/apps/shop/rollback", {"release": 3}),
        (["rollback", "shop"], "POST", "/v1/apps/shop/rollback", {}),
        (["restart", "shop"], "POST", "/v1/apps/shop/restart", {}),
        (
            ["scale", "shop", "web=3", "worker=1-4", "--size", "medium"],
            "PUT",
            "/v1/apps/shop/scale",
            {"processes": {"web": {"min": 3, "max": 3}, "worker": {"min": 1, "max": 4}}, "size": "medium"},
        ),
        (
            ["scale", "shop", "web=1-5", "--cpu-percent", "60"],
            "PUT",
            "/v1/apps/shop/scale",
            {"processes": {"web": {"min": 1, "max": 5, "cpu_percent": 60}}},
        ),
    ],
)
def test_what_changes_an_app_waits_until_it_is_true(
    stage: Stage, capsys: Capture, argv: list[str], method: str, path: str, body: Any
) -> None:
    stage.on(method, path, deploy(), 202)
    ends(stage, status="live")

    assert main([*argv, "--json"]) == 0

    assert answered(capsys) == LIVE
    assert stage.of(method, path)[0].json == body


def test_what_changes_an_app_does_not_wait_when_detached(stage: Stage, capsys: Capture) -> None:
    stage.on("POST", "/v1/apps/shop/restart", deploy(), 202)

    assert main(["restart", "shop", "--detach"]) == 0

    assert capsys.readouterr().out == "d1\n"


def test_variables_are_set_and_deployed(stage: Stage, capsys: Capture) -> None:
    env = [{"key": "B", "value": "x=y", "secret": False}, {"key": "A", "value": "1", "secret": False}]
    stage.on("PATCH", "/v1/apps/shop/env", {"env": env, "deploy": deploy()}, 202)
    ends(stage, status="live")

    assert main(["env", "set", "shop", "A=1", "B=x=y", "--json"]) == 0

    assert answered(capsys) == {"app": "shop", "env": env[::-1], "deploy": LIVE}
    assert stage.asked[0].json == {"set": {"A": "1", "B": "x=y"}}


def test_a_deploy_of_variables_that_fails_exits_1(stage: Stage, capsys: Capture) -> None:
    stage.on("PATCH", "/v1/apps/shop/env", {"env": [], "deploy": deploy()}, 202)
    ends(stage, status="failed", step="rollout", error={"code": "rollout-failed", "message": "no", "hint": ""})

    assert main(["env", "unset", "shop", "A", "--json"]) == 1

    assert answered(capsys)["deploy"]["error"]["code"] == "rollout-failed"


def test_variables_of_an_app_that_is_not_live_make_no_deploy(stage: Stage, capsys: Capture) -> None:
    stage.on("PATCH", "/v1/apps/shop/env", {"env": [], "deploy": None}, 202)

    assert main(["env", "unset", "shop", "A"]) == 0

    assert "the next deploy uses them" in capsys.readouterr().out


def test_a_secret_comes_from_standard_input_and_not_from_the_arguments(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.on("PATCH", "/v1/apps/shop/env", {"env": [], "deploy": None}, 202)
    monkeypatch.setattr(sys, "stdin", io.StringIO("-----BEGIN\nline 2\n"))

    assert main(["env", "set", "shop", "KEY", "--secret"]) == 0

    assert stage.asked[0].json == {"secrets": {"KEY": "-----BEGIN\nline 2"}}


def test_two_secrets_cannot_share_standard_input(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("x"))

    assert main(["env", "set", "shop", "A", "B", "--secret"]) == 2

    assert stage.asked == []


def test_exec_gives_the_output_and_1_for_a_command_that_failed(stage: Stage, capsys: Capture) -> None:
    stage.on("POST", "/v1/apps/shop/exec", {"exit_code": 3, "output": "no such table\n"})

    code = main(["exec", "shop", "--process", "worker", "--", "python", "-c", "x", "--json"])

    out, err = capsys.readouterr()
    assert (code, out) == (1, "no such table\n")
    assert "exit code 3" in err
    assert stage.asked[0].json == {"command": ["python", "-c", "x", "--json"], "process": "worker"}


def test_an_app_is_shown_with_its_processes_and_why_it_is_not_well(stage: Stage, capsys: Capture) -> None:
    process = {"name": "web", "size": "small", "ready": 0, "min": 1, "max": 4, "cpu_percent": 80, "command": "run"}
    app = {"name": "shop", "status": "crashed", "reason": "was killed", "release": "v1", "processes": [process]}
    stage.on("GET", "/v1/apps/shop", app)

    assert main(["apps", "show", "shop"]) == 0

    out = capsys.readouterr().out
    assert "why      was killed" in out
    assert "web      small  0      1-4 at 80 % CPU  run" in out


def test_a_deleted_app_is_gone_before_the_command_ends(stage: Stage, capsys: Capture) -> None:
    stage.on("DELETE", "/v1/apps/shop", None, 202)
    stage.play(
        "GET",
        "/v1/apps/shop",
        lambda _talk, _asked: Answer(200, {"name": "shop"}),
        lambda _talk, _asked: Answer(200, {"name": "shop"}),
        lambda _talk, _asked: Answer(404, {"code": "not-found", "detail": "gone"}, PROBLEM),
    )

    assert main(["apps", "delete", "shop", "--json"]) == 0

    assert answered(capsys) == {"app": "shop", "deleted": True}
    assert len(stage.of("GET", "/v1/apps/shop")) == 3


def test_the_deploy_of_an_app_is_cancelled_by_the_apps_name(stage: Stage, capsys: Capture) -> None:
    stage.on("GET", "/v1/apps/shop", {"name": "shop", "deploy": deploy("running")})
    stage.on("POST", "/v1/deploys/d1/cancel", deploy("running"), 202)
    ends(stage, status="cancelled")

    assert main(["cancel", "shop", "--json"]) == 0

    assert answered(capsys)["status"] == "cancelled"


def test_a_deploy_that_was_live_before_it_could_be_cancelled_is_no_success(stage: Stage) -> None:
    stage.on("GET", "/v1/deploys/d1", deploy("running"))
    stage.on("POST", "/v1/deploys/d1/cancel", deploy("running"), 202)
    ends(stage, status="live")

    assert main(["cancel", "d1"]) == 1


def line(at: float, text: str) -> dict[str, Any]:
    return {"at": at, "source": "i1", "stream": "stdout", "text": text, "process": "web"}


def test_logs_are_searched_by_the_platform(stage: Stage, capsys: Capture) -> None:
    stage.on("GET", "/v1/apps/shop/logs", listing(line(0.0, "boom \x1b[2Jbang")))

    assert main(["logs", "shop", "--search", "boom", "-n", "7"]) == 0

    assert capsys.readouterr().out == f"{moment(0.0)} web/i1  boom bang\n"
    assert stage.asked[0].query == {"limit": "7", "search": "boom"}


def test_the_log_of_a_build_is_found_by_its_release(stage: Stage, capsys: Capture) -> None:
    stage.on("GET", "/v1/apps/shop/releases", listing({"release": "v2", "deploy": "d9"}))
    stage.on("GET", "/v1/apps/shop/logs", listing(line(1.0, "Step 1")))

    assert main(["logs", "shop", "--build", "v2"]) == 0
    assert capsys.readouterr().out == "Step 1\n"
    assert stage.asked[-1].query["source"] == "build/d9"
    assert main(["logs", "shop", "--build", "v3"]) == 2


def test_followed_logs_survive_a_dropped_stream_and_end_well_with_ctrl_c(stage: Stage) -> None:
    last, end = threading.Event(), threading.Event()

    def first(talk: Talk, asked: Asked) -> None:
        talk.stream()
        talk.event("log", line(2.0, "two"))
        talk.drop()

    def second(talk: Talk, asked: Asked) -> None:
        talk.stream()
        talk.event("log", line(4.0, "four"))
        last.set()
        end.wait(10)

    stage.play("GET", "/v1/apps/shop/logs/stream", first, second)
    stage.play(
        "GET",
        "/v1/apps/shop/logs",
        lambda _talk, _asked: Answer(200, listing(line(1.0, "one"))),
        lambda _talk, _asked: Answer(200, listing(line(1.0, "one"), line(2.0, "two"), line(3.0, "three"))),
    )
    argv = [sys.executable, "-m", "leeward", "logs", "shop", "-f", "--json"]
    lee = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ), text=True)
    last.wait(10)
    time.sleep(0.2)
    lee.send_signal(signal.SIGINT)
    out, err = lee.communicate(timeout=10)
    end.set()

    assert [json.loads(text)["text"] for text in out.splitlines()] == ["one", "two", "three", "four"]
    assert lee.returncode == 0
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "method", "path", "answer", "shown"),
    [
        (["apps", "list"], "GET", "/v1/apps", listing({"name": "shop", "status": "live", "release": "v2"}), "shop"),
        (["apps", "create", "shop"], "POST", "/v1/apps", {"name": "shop", "url": "https://shop.x"}, "https://shop.x"),
        (["releases", "shop"], "GET", "/v1/apps/shop/releases", listing({"release": "v2", "live": True}), "v2"),
        (["ps", "shop"], "GET", "/v1/apps/shop/instances", [{"id": "i1", "state": "ready"}], "ready"),
        (["env", "list", "shop"], "GET", "/v1/apps/shop/env", {"env": [{"key": "K", "value": "v"}]}, "K"),
        (["domains", "list", "shop"], "GET", "/v1/apps/shop/domains", listing({"host": "a.example.com"}), "a.example"),
        (["domains", "add", "shop", "a.b"], "POST", "/v1/apps/shop/domains", {"host": "a.b"}, "a.b now leads to shop"),
        (["domains", "remove", "shop", "a.b"], "DELETE", "/v1/apps/shop/domains/a.b", None, "no longer"),
        (["cache", "purge", "shop"], "POST", "/v1/apps/shop/cache/purge", None, "empty"),
        (["hooks", "shop"], "POST", "/v1/apps/shop/hook", {"deploy_url": "https://c/h"}, "https://c/h"),
        (["events"], "GET", "/v1/events", listing({"kind": "app.created", "text": "made"}), "made"),
        (["events", "shop"], "GET", "/v1/events", listing({"kind": "app.created", "text": "made"}), "made"),
        (["tokens", "list"], "GET", "/v1/tokens", listing({"id": "t1", "name": "ci"}), "ci"),
        (["tokens", "create", "ci"], "POST", "/v1/tokens", {"id": "t1", "token": "lee_x"}, "lee_x"),
        (["tokens", "revoke", "t1"], "DELETE", "/v1/tokens/t1", None, "revoked"),
        (["whoami"], "GET", "/v1/whoami", {"name": "ada", "scope": "admin"}, "ada"),
        (["status"], "GET", "/v1/status", {"version": "0.1", "parts": [{"name": "edge", "ok": True}]}, "edge"),
        (["metrics", "shop"], "GET", "/v1/apps/shop/metrics", {"series": {"web/cpu": [[0, 1.5]]}}, "web/cpu"),
    ],
)
def test_every_other_command_asks_its_route_and_answers_people_and_programs(
    stage: Stage, capsys: Capture, argv: list[str], method: str, path: str, answer: Any, shown: str
) -> None:
    stage.on("GET", "/v1/apps/shop", {"processes": []})
    stage.on(method, path, answer, 204 if answer is None else 200)

    assert main(argv) == 0
    assert shown in capsys.readouterr().out
    assert main([*argv, "--json"]) == 0
    answered(capsys)

    assert len(stage.of(method, path)) == 2


def test_a_part_of_the_platform_that_does_not_answer_makes_status_exit_1(stage: Stage) -> None:
    stage.on("GET", "/v1/status", {"parts": [{"name": "edge", "ok": False, "detail": "gone"}]})

    assert main(["status"]) == 1


def test_a_plan_is_printed_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    seen: list[Any] = []
    reason = Decision("provider", "python", (Evidence("main.py", 3, "import flask"),), ("node",))
    made = BuildPlan("auto", ("python",), "pip", {"python": "3.12"}, "run", {"web": "run"}, (reason,), "FROM x\n")

    def plan_here(*given: Any) -> BuildPlan:
        seen.append(given)
        return made

    monkeypatch.setattr(daemon, "plan_here", plan_here)
    where = str(tmp_path)

    assert main(["plan", where, "--env", "A=1", "--env", "B=x=y", "--app", "back", "--json"]) == 0
    assert answered(capsys) == made.as_dict()
    assert main(["plan", where, "--dockerfile"]) == 0
    assert capsys.readouterr().out == "FROM x\n"
    assert main(["plan", where, "--explain"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "provider: python",
        "  because of main.py:3 import flask",
        "  instead of node",
    ]
    assert seen[0] == (tmp_path, "back", {"A": "1", "B": "x=y"})
    assert main(["plan", where, "--env", "A"]) == 2


def test_the_machine_is_brought_up_down_and_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LEEWARD_HOME", str(tmp_path))
    purges: list[bool] = []

    class Up:
        url = "https://console.lee.localhost"
        dashboard = "https://console.lee.localhost/"
        token_file = tmp_path / "admin.token"

    def up(_settings: Any, say: Any) -> Up:
        say("starting")
        return Up()

    monkeypatch.setattr(daemon, "machine_up", up)
    monkeypatch.setattr(daemon, "machine_down", lambda _settings, purge, _say: purges.append(purge))
    monkeypatch.setattr(daemon, "machine_doctor", lambda _settings: [Finding("disk", False, "is full", "make room")])

    assert main(["up", "--json"]) == 0
    assert answered(capsys) == {
        "url": Up.url,
        "dashboard": Up.dashboard,
        "token_file": str(Up.token_file),
    }
    assert main(["down", "--purge"]) == 0
    assert main(["down"]) == 0
    capsys.readouterr()
    assert purges == [True, False]
    assert main(["doctor", "--json"]) == 1
    assert answered(capsys)[0]["hint"] == "make room"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_learn_the_commands(capsys: Capture, shell: str) -> None:
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    assert "rollback" in script
    assert "purge" in script


def test_what_an_app_prints_cannot_talk_to_the_terminal() -> None:
    assert safe("a\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[2Jb\r\tc\x9b") == "a\x1b[31mred\x1b[0m b\tc\x1b[0m"
    assert safe("\x1b[?1049h\x1b]52;c;c2VjcmV0\x1b\\plain") == "plain"


def test_times_are_read_in_every_form_of_the_api() -> None:
    assert moment("2026-11-24T06:00:00Z").startswith("2026-11-24")
    assert moment(1_800_000_000.5).startswith("2027-01")
    assert moment(None) == ""


def test_a_picture_of_numbers_has_its_newest_at_the_right_and_fits() -> None:
    assert bars([0, 1, 2, 4]) == "▁▃▅█"
    assert len(bars([float(i) for i in range(1000)])) <= 40
    assert bars([0.0, 0.0]) == "▁▁"


def test_the_log_of_a_deploy_that_is_none_or_of_another_app_is_an_error(stage: Stage, capsys: Capture) -> None:
    stage.on("GET", "/v1/apps/shop/logs", {"items": []})
    stage.on("GET", "/v1/deploys/d2", {"id": "d2", "app": "other"})

    assert main(["logs", "shop", "--build", "d2"]) == 2
    assert "'d2' is not a deploy of 'shop'" in capsys.readouterr().err
    assert main(["logs", "shop", "--build", "nope"]) == 2


def test_where_there_is_nothing_to_show_a_word_says_so(stage: Stage, capsys: Capture) -> None:
    stage.on("GET", "/v1/apps/shop/logs", {"items": []})
    stage.on("GET", "/v1/events", listing())

    assert (main(["logs", "shop"]), capsys.readouterr().err) == (0, "no lines of 'shop' yet\n")
    assert (main(["logs", "shop", "--search", "x"]), capsys.readouterr().err) == (0, "no lines of 'shop' that match\n")
    assert (main(["events", "shpo"]), capsys.readouterr().err) == (0, "nothing is known of an app 'shpo'\n")


def test_the_numbers_of_an_instance_have_its_short_name() -> None:
    assert named("web/lee-shop-web-g1795541854847-df3745/cpu_cores") == "web/df3745/cpu_cores"
    assert named("edge/all/p50_ms") == "edge/all/p50_ms"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["ps", "shop", "now"], "too many words: 'now'"),
        (["logs", "shop", "-n", "many"], "invalid value for -n: 'many' is not a whole number"),
        (["deploy", "--git", ""], "--git is empty"),
        (["deploy", "--image="], "--image is empty"),
    ],
)
def test_a_command_that_cannot_be_meant_is_answered_in_plain_words(
    stage: Stage, capsys: Capture, argv: list[str], said: str
) -> None:
    assert main(argv) == 2
    assert said in capsys.readouterr().err
    assert not stage.asked
