"""`lee deploy`: what is sent, what is shown, and what happens when the platform goes away meanwhile."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli_stage import LIVE, PROBLEM, Answer, Asked, Stage, Talk, deploy, staged, step

from leeward.cli import follow
from leeward.cli.deploy import legal
from leeward.cli.main import main

EVENTS = ("GET", "/v1/deploys/d1/events")
POLL = ("GET", "/v1/deploys/d1")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    with staged() as stage:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("LEEWARD_URL", stage.url)
        monkeypatch.setenv("LEEWARD_TOKEN", "lee_secret")
        monkeypatch.setattr(follow, "PATIENCE_S", 5.0)
        stage.on("POST", "/v1/uploads", {"upload": "u1", "digest": "sha256:1"})
        stage.on("POST", "/v1/apps/shop/deploys", deploy(), 202)
        yield stage


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "main.py").write_text("print('hello')\n")
    return root


def says(*events: tuple[str, Any], drop: bool = False) -> Any:
    def say(talk: Talk, asked: Asked) -> None:
        talk.stream()
        for kind, data in events:
            talk.event(kind, data)
        if drop:
            talk.drop()
        else:
            talk.end()

    return say


def lives(stage: Stage) -> None:
    stage.play(*EVENTS, says(("deploy", deploy("running")), ("deploy", deploy("live"))))


def test_a_deploy_prints_one_object_when_it_is_live(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lives(stage)

    code = main(["deploy", str(tree), "--json"])

    out, err = capsys.readouterr()
    assert code == 0
    assert json.loads(out) == LIVE
    assert "fetch" in err


def test_a_deploy_tells_people_the_url_the_steps_and_the_receipt_in_a_line(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lives(stage)

    main(["deploy", str(tree)])

    assert capsys.readouterr().out.splitlines() == [
        "shop v2 is live: https://shop.lee.localhost",
        "fetch 0.10 s · plan 0.05 s · build 0.30 s · push 0.05 s · rollout 2.10 s · total 2.70 s",
        "receipt: 48,213 requests, 0 failed, p50 2.1 ms, p99 9.0 ms, 112 sockets kept, 0 dropped",
    ]


def test_the_tree_and_the_spec_are_sent_with_the_token(stage: Stage, tree: Path) -> None:
    lives(stage)
    (tree / "leeward.yaml").write_text("name: shop\nprocesses: {web: {size: nano}}\n")

    main(["deploy", str(tree), "-m", "first"])

    (upload,) = stage.of("POST", "/v1/uploads")
    (wish,) = stage.of("POST", "/v1/apps/shop/deploys")
    with tarfile.open(fileobj=io.BytesIO(upload.body), mode="r:gz") as archive:
        assert archive.getnames() == ["leeward.yaml", "main.py"]
    assert upload.query == {"app": "shop"}
    assert upload.headers["authorization"] == "Bearer lee_secret"
    assert wish.json == {"upload": "u1", "message": "first", "spec": {"processes": {"web": {"size": "nano"}}}}
    assert len(wish.headers["idempotency-key"]) >= 16


def test_a_failed_deploy_says_step_and_error_and_exits_1(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"code": "build-failed", "message": "pip said no", "hint": "look at line 3"}
    stage.play(*EVENTS, says(("deploy", deploy("failed", step="build", error=error))))

    code = main(["deploy", str(tree), "--json"])

    assert code == 1
    assert json.loads(capsys.readouterr().out) == {
        "app": "shop",
        "status": "failed",
        "step": "build",
        "error": error,
    }


def test_a_superseded_deploy_is_not_called_live(stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage.play(*EVENTS, says(("deploy", deploy("superseded"))))

    code = main(["deploy", str(tree)])

    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert "Error: fetch: the deploy was superseded" in err


def test_a_dropped_stream_is_taken_up_again_and_no_line_is_shown_twice(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = ("log", {"at": 1.0, "text": "Step 1"}), ("log", {"at": 2.0, "text": "Step 2"})
    stage.play(
        *EVENTS,
        says(("deploy", deploy("running")), first, drop=True),
        lambda _talk, _asked: Answer(502, "<html>bad gateway</html>", "text/html"),
        says(first, second, ("deploy", deploy("live"))),
    )
    stage.play(
        *POLL,
        lambda _talk, _asked: Answer(503, {"code": "unavailable", "detail": "starting"}, PROBLEM),
        lambda _talk, _asked: Answer(200, deploy("running")),
    )

    code = main(["deploy", str(tree), "--json"])

    out, err = capsys.readouterr()
    assert code == 0
    assert json.loads(out) == LIVE
    assert err.count("  | Step 1") == 1
    assert err.count("  | Step 2") == 1


def test_a_deploy_that_ended_while_the_stream_was_gone_is_found_by_looking(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.play(*EVENTS, says(("deploy", deploy("running")), drop=True), says(drop=True))
    stage.on(*POLL, deploy("live"))

    assert main(["deploy", str(tree), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == LIVE


def test_the_platform_may_restart_in_the_middle_of_a_deploy(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, back = threading.Event(), threading.Event()

    def restart() -> None:
        gone.wait(10)
        first.shutdown()
        first.server_close()
        time.sleep(0.3)
        with staged(port) as second:
            second.play(*EVENTS, says(("deploy", deploy("live"))))
            back.wait(10)

    def until_gone(talk: Talk, asked: Asked) -> None:
        talk.stream()
        talk.event("deploy", deploy("running"))
        gone.set()
        talk.drop()

    first = Stage()
    port = first.port
    monkeypatch.setenv("LEEWARD_URL", first.url)
    first.on("POST", "/v1/uploads", {"upload": "u1", "digest": ""})
    first.on("POST", "/v1/apps/shop/deploys", deploy(), 202)
    first.play(*EVENTS, until_gone)
    threading.Thread(target=restart, daemon=True).start()

    code = main(["deploy", str(tree), "--json"])
    back.set()

    out, err = capsys.readouterr()
    assert code == 0
    assert json.loads(out) == LIVE
    assert "The platform does not answer." in err


def test_a_deploy_is_not_asked_for_twice_when_its_answer_was_lost(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lives(stage)
    where = ("POST", "/v1/apps/shop/deploys")
    stage.play(*where, lambda talk, _asked: talk.drop(), lambda _talk, _asked: Answer(202, deploy()))

    assert main(["deploy", str(tree)]) == 0

    keys = [asked.headers["idempotency-key"] for asked in stage.of(*where)]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_silence_for_too_long_ends_the_waiting_with_3(
    stage: Stage, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "PATIENCE_S", 0.2)
    stage.play(*EVENTS, says(("deploy", deploy("running")), drop=True), lambda talk, _asked: talk.drop())
    stage.play(*POLL, lambda talk, _asked: talk.drop())

    code = main(["deploy", str(tree), "--json"])

    assert code == 3
    assert "lee apps show shop" in json.loads(capsys.readouterr().out)["error"]["hint"]


def test_a_platform_that_never_answered_is_not_waited_for(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with staged() as gone:
        monkeypatch.setenv("LEEWARD_URL", gone.url)
    monkeypatch.setattr(follow, "PATIENCE_S", 5.0)
    started = time.monotonic()

    code = main(["deploy", str(tree), "--json"])

    assert code == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unreachable"
    assert time.monotonic() - started < 4


def test_detach_returns_before_the_deploy_ends(stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["deploy", str(tree), "--detach", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == {"app": "shop", "deploy": "d1", "status": "queued"}
    assert stage.of(*EVENTS) == []


def test_a_wrong_manifest_is_refused_with_all_its_problems_before_anything_is_sent(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "leeward.yaml").write_text("proceses: {}\nprocesses: {web: {size: huge}}\n")

    code = main(["deploy", str(tree), "--json"])

    error = json.loads(capsys.readouterr().out)["error"]
    assert code == 2
    assert {problem["path"] for problem in error["problems"]} == {"proceses", "processes/web/size"}
    assert "did you mean 'processes'?" in [problem["hint"] for problem in error["problems"]]
    assert stage.asked == []


def test_several_apps_and_no_choice_are_refused_with_their_names(
    stage: Stage, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "leeward.yaml").write_text("apps: {front: {path: web}, back: {path: api}}\n")

    code = main(["deploy", str(tree)])

    assert code == 2
    err = capsys.readouterr().err
    assert "'front', 'back'" in err
    assert "--app" in err


def test_one_of_several_apps_is_deployed_with_its_path(stage: Stage, tree: Path) -> None:
    (tree / "leeward.yaml").write_text("apps: {front: {path: web}, shop: {path: api}}\n")
    lives(stage)

    assert main(["deploy", str(tree), "--app", "shop"]) == 0

    (wish,) = stage.of("POST", "/v1/apps/shop/deploys")
    assert wish.json["path"] == "api"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My Shop", "my-shop"),
        ("/srv/3d_printer", "app-3d-printer"),
        ("https://example.com/team/api.v2", "api-v2"),
        ("git@example.com:team/shop", "shop"),
        ("console", "console-app"),
        ("---", "app"),
        ("x" * 60, "x" * 40),
    ],
)
def test_any_directory_gives_a_legal_name(text: str, name: str) -> None:
    assert legal(text) == name


def test_the_name_made_of_the_directory_is_said(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Shop!").mkdir()
    lives(stage)

    main(["deploy", str(tmp_path / "Shop!")])

    assert "The app is called 'shop'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["--git", "https://git.example.com/team/shop.git", "--ref", "main"], {"git": {"ref": "main"}}),
        (["--image", "registry.example.com:5000/team/shop:1.2"], {"image": "registry.example.com:5000/team/shop:1.2"}),
    ],
)
def test_git_and_images_need_no_directory(stage: Stage, arguments: list[str], body: dict[str, Any]) -> None:
    lives(stage)
    if "git" in body:
        body["git"]["url"] = arguments[1]

    assert main(["deploy", *arguments]) == 0

    (wish,) = stage.of("POST", "/v1/apps/shop/deploys")
    assert wish.json == body
    assert stage.of("POST", "/v1/uploads") == []


@pytest.mark.parametrize("arguments", [["--ref", "main"], ["--git", "https://a/b", "--image", "c"], ["/no/such/place"]])
def test_what_cannot_be_meant_exits_2(stage: Stage, arguments: list[str]) -> None:
    assert main(["deploy", *arguments]) == 2
    assert stage.asked == []


def test_ctrl_c_leaves_the_deploy_running_and_says_so(stage: Stage, tree: Path) -> None:
    watched, end = threading.Event(), threading.Event()

    def goes_on(talk: Talk, asked: Asked) -> None:
        talk.stream()
        talk.event("deploy", deploy("running", steps=[step("fetch", None)]))
        watched.set()
        end.wait(10)

    stage.play(*EVENTS, goes_on)
    lee = subprocess.Popen(
        [sys.executable, "-m", "leeward", "deploy", str(tree)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
    )
    watched.wait(10)
    time.sleep(0.1)
    lee.send_signal(signal.SIGINT)
    out, err = lee.communicate(timeout=10)
    end.set()

    assert lee.returncode == 130
    assert out == ""
    assert "The deploy of 'shop' goes on" in err
    assert "Traceback" not in err
    assert not [asked for asked in stage.asked if asked.path.endswith("cancel")]
