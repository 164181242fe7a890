"""What is wrong with an app or its source is said in one sentence, and the release that was live stays live."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import Answer, Platform

GOOD = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"good " + os.environ.get("WORD", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
"""
MANIFEST = """
name: {name}
processes:
  web:
    size: nano
    health: {{path: /, rollout_interval: 0.2, deadline: {deadline}, drain: 1}}
"""


def app(folder: Path, name: str, main: str, deadline: int = 8, **files: str) -> Path:
    """A tree of a plain Python app."""
    tree = folder / name
    tree.mkdir(exist_ok=True)
    (tree / "leeward.yaml").write_text(MANIFEST.format(name=name, deadline=deadline))
    (tree / "main.py").write_text(main)
    for file, text in files.items():
        (tree / file.replace("__", ".")).write_text(text)
    return tree


@pytest.fixture(scope="module")
def good(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app that is live, and whose next deploys go wrong."""
    tree = app(tmp_path_factory.mktemp("bad"), "wobbly", GOOD)
    assert platform.ok("deploy", tree)["status"] == "live"
    return tree


def failure(answer: Answer) -> dict[str, Any]:
    assert answer.code == 1, (answer.out, answer.err[-2000:])
    told = answer.json
    assert told["status"] == "failed"
    assert told["error"]["code"] and told["error"]["message"] and told["error"]["hint"], told
    assert "Traceback" not in answer.out + answer.err or "main.py" in answer.err
    return {**told["error"], "step": told["step"]}


WRONG_APPS = {
    "never listens": ("import time\nwhile True: time.sleep(1)\n", "8080"),
    "listens on 127.0.0.1 only": (GOOD.replace("0.0.0.0", "127.0.0.1"), "127.0.0.1"),
    "listens on another port": (GOOD.replace('int(os.environ["PORT"])', "3999"), "3999"),
    "exits at once": ("import sys\nprint('no config found')\nsys.exit(3)\n", "3"),
    "answers 500 on health": (GOOD.replace("send_response(200)", "send_response(500)"), "500"),
    "needs more memory than its size": ("data = []\nwhile True: data.append(b'x' * 10_000_000)\n", "256 MiB"),
}


@pytest.mark.parametrize("case", WRONG_APPS)
def test_a_release_that_does_not_work_fails_with_the_reason_and_the_old_one_serves(
    platform: Platform, good: Path, case: str
) -> None:
    source, word = WRONG_APPS[case]
    (good / "main.py").write_text(source)

    told = failure(platform.lee("deploy", good, "--json"))

    assert told["step"] == "rollout"
    assert word in told["message"] + told["hint"], told
    assert platform.get("wobbly") == (200, "good ")
    (good / "main.py").write_text(GOOD)


def test_an_app_that_ignores_sigterm_is_replaced_all_the_same(platform: Platform, good: Path) -> None:
    (good / "main.py").write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + GOOD)
    platform.ok("deploy", good)
    (good / "main.py").write_text(GOOD)

    assert platform.ok("deploy", good)["status"] == "live"
    assert platform.get("wobbly")[0] == 200


def git(*arguments: str, cwd: Path) -> str:
    command = ["git", "-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run([*command, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    git("init", "-q", cwd=folder)
    (folder / "main.py").write_text(GOOD)
    (folder / "leeward.yaml").write_text(MANIFEST.format(name="cloned", deadline=20))
    git("add", ".", cwd=folder)
    git("commit", "-qm", "first", cwd=folder)
    return folder


@pytest.mark.parametrize(
    ("url", "ref", "word"),
    [
        ("file:///nowhere/at-all", "main", "nowhere/at-all"),
        ("{repository}", "no-such-branch", "no-such-branch"),
        ("{repository}", "0123456789012345678901234567890123456789", "0123456789"),
        ("{empty}", "main", "no commits"),
    ],
)
def test_a_source_that_cannot_be_had_is_named(
    platform: Platform, repository: Path, tmp_path: Path, url: str, ref: str, word: str
) -> None:
    empty = tmp_path / "nothing"
    empty.mkdir()
    git("init", "-q", cwd=empty)
    url = url.format(repository=f"file://{repository}", empty=f"file://{empty}")

    told = failure(platform.lee("deploy", "--app", "unfetched", "--git", url, "--ref", ref, "--json"))

    assert told["step"] == "fetch"
    assert word in told["message"].lower() + told["hint"].lower(), told


def test_an_exact_commit_is_deployed_and_not_the_branch_of_today(platform: Platform, repository: Path) -> None:
    first = git("rev-parse", "HEAD", cwd=repository)
    (repository / "main.py").write_text(GOOD.replace('b"good "', 'b"newer "'))
    git("commit", "-qam", "second", cwd=repository)

    done = platform.ok("deploy", "--app", "cloned", "--git", f"file://{repository}", "--ref", first)

    assert done["commit"] == first
    assert platform.get("cloned") == (200, "good ")


def test_a_tree_with_no_app_says_which_files_were_looked_for(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to run")

    told = failure(platform.lee("deploy", tmp_path, "--app", "formless", "--json"))

    assert told["step"] == "plan"
    assert "requirements.txt" in told["message"] and "package.json" in told["message"]


def test_requirements_that_cannot_be_solved_name_the_requirement(platform: Platform, tmp_path: Path) -> None:
    tree = app(tmp_path, "unsolved", GOOD, requirements__txt="starlette==1.10.0\nstarlette==1.9.0\n")

    told = failure(platform.lee("deploy", tree, "--json"))

    assert told["step"] == "build"
    assert "starlette" in told["message"]


def test_a_wrong_manifest_is_refused_with_every_problem_before_anything_is_sent(
    platform: Platform, tmp_path: Path
) -> None:
    (tmp_path / "leeward.yaml").write_text("name: Bad Name\nproceses: {}\nprocesses: {web: {size: huge}}\n")

    answer = platform.lee("deploy", tmp_path, "--json")

    assert answer.code == 2
    assert {problem["path"] for problem in answer.json["error"]["problems"]} == {
        "name",
        "proceses",
        "processes/web/size",
    }


def test_a_secret_that_a_build_prints_is_masked_in_its_log(platform: Platform, tmp_path: Path) -> None:
    tree = app(tmp_path, "talkative", GOOD)
    platform.ok("deploy", tree)
    secret = "s3cr3t-value-that-must-not-leak"
    assert platform.lee("env", "set", "talkative", "PIP_TOKEN", "--secret", stdin=secret + "\n").code == 0
    (tree / "Dockerfile").write_text(
        "FROM python:3.11-slim\n"
        "RUN --mount=type=secret,id=PIP_TOKEN cat /run/secrets/PIP_TOKEN || true\n"
        'COPY main.py /app/main.py\nCMD ["python3", "/app/main.py"]\n'
    )

    done = platform.lee("deploy", tree, "--json")
    release = platform.ok("releases", "talkative")[0]["release"]
    log = platform.lee("logs", "talkative", "--build", release)

    assert secret not in done.out + done.err + log.out + log.err
    assert done.code == 0, done.err[-2000:]


def test_two_deploys_at_once_end_in_order_and_the_newest_is_live(
    platform: Platform, good: Path, tmp_path: Path
) -> None:
    answers: list[Answer] = []
    tree = app(tmp_path, "wobbly", GOOD.replace("good", "first"))
    threads = [
        threading.Thread(target=lambda: answers.append(platform.lee("deploy", tree, "--json"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    statuses = sorted(json.loads(answer.out)["status"] for answer in answers)

    assert set(statuses) <= {"live", "superseded", "failed"} and "live" in statuses, statuses
    assert platform.get("wobbly") == (200, "first ")
