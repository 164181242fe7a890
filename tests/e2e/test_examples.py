"""The examples are deployed as a stranger does it, and do what their READMEs say."""

import http.client
import json
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import EXAMPLES, HTTP_PORT, HTTPS_PORT, Platform, change, docker, until

ROOT = EXAMPLES.parent


def test_up_prints_the_url_the_dashboard_and_a_token_file_that_only_root_can_read(platform: Platform) -> None:
    answer = platform.up_answer

    assert set(answer) == {"url", "dashboard", "token_file"}
    assert answer["url"] == f"https://finrag-backend.{platform.domain}:{HTTPS_PORT}"
    assert answer["dashboard"] == f"https://console.{platform.domain}:{HTTPS_PORT}"
    assert stat.S_IMODE(Path(answer["token_file"]).stat().st_mode) == 0o600
    assert platform.ask("finrag-backend").status == 200
    assert platform.api("GET", "/v1/whoami", token=Path(answer["token_file"]).read_text().strip()).status == 200


def test_a_host_that_no_app_has_is_answered_with_404_right_after_up(platform: Platform) -> None:
    until(lambda: platform.ask("no-such-app").status == 404, 15, "the edge does not know that its table is whole")


def test_a_second_up_changes_nothing_and_takes_seconds(platform: Platform) -> None:
    def state() -> tuple[Any, ...]:
        pids = {program: platform.pid(program) for program in ("registry", "edge", "control")}
        releases = {app["name"]: app["release"] for app in platform.ok("apps", "list")}
        # Other apps of this run may still drain what earlier tests replaced.
        examples = [platform.containers(name) for name in ("finrag-backend", "finrag-frontend")]
        return pids, examples, releases

    # Code that changed since the fixture's `up` would rightly be restarted.
    platform.ok("up")
    before, began = state(), time.monotonic()

    answer = platform.ok("up")

    assert time.monotonic() - began < 10
    assert answer == platform.up_answer
    assert state() == before


@pytest.mark.parametrize("name", ["finrag-backend", "finrag-frontend"])
def test_an_example_was_deployed_from_this_repository_by_commit(platform: Platform, name: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no Git repository, so its examples are uploaded")
    first = platform.ok("releases", name, "--lines", "200")[-1]
    deploy = platform.api("GET", f"/v1/deploys/{first['deploy']}").json

    assert first["release"] == "v1"
    assert deploy["source"]["kind"] == "git"
    assert deploy["source"]["path"] == f"examples/{name}"
    assert len(first["commit"]) == 40
    command = [
        "git",
        "-c",
        f"safe.directory={ROOT}",
        "-C",
        str(ROOT),
        "cat-file",
        "-e",
        f"{first['commit']}^{{commit}}",
    ]
    assert subprocess.run(command, check=False).returncode == 0
    assert f"/{name}@sha256:" in first["image"]
    assert not (EXAMPLES / name / "Dockerfile").exists()


def test_the_backend_answers_health_and_data_over_tls_that_verifies(platform: Platform) -> None:
    health = platform.ask("finrag-backend", "/health")
    summary = platform.ask("finrag-backend", "/summary")
    last = platform.ask("finrag-backend", "/prices/ACME?last=30")

    assert (health.status, health.json) == (200, {"status": "ok"})
    assert {row["symbol"] for row in summary.json} == {"ACME", "GLOBEX", "INITECH", "UMBRELLA"}
    assert len(last.json) == 30


def test_plain_http_is_redirected_to_https(platform: Platform) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=10)
    connection.request("GET", "/summary?x=1", headers={"Host": f"finrag-backend.{platform.domain}"})
    answer = connection.getresponse()
    connection.close()

    assert answer.status in (301, 308)
    assert answer.getheader("Location") == f"https://finrag-backend.{platform.domain}:{HTTPS_PORT}/summary?x=1"


def test_the_frontend_shows_what_the_backend_knows_by_its_internal_name(platform: Platform) -> None:
    script = (
        "from streamlit.testing.v1 import AppTest; t = AppTest.from_file('app.py', default_timeout=60).run();"
        "print(len(t.exception), len(t.error), t.selectbox[0].options)"
    )

    answer = platform.lee("exec", "--json", "finrag-frontend", "--", "python", "-c", script).json

    assert answer["exit_code"] == 0, answer["output"][-2000:]
    assert answer["output"].strip().endswith("0 0 ['ACME', 'GLOBEX', 'INITECH', 'UMBRELLA']"), answer["output"][-500:]
    assert platform.ask("finrag-frontend", "/_stcore/health").text == "ok"
    assert "Streamlit" in platform.ask("finrag-frontend").text


def test_a_changed_line_of_an_example_is_live_after_lee_deploy(platform: Platform, tmp_path: Path) -> None:
    platform.gone("finrag-mine")
    tree = tmp_path / "finrag"
    shutil.copytree(EXAMPLES / "finrag-backend", tree)
    change(tree, "name: finrag-backend", "name: finrag-mine", "leeward.yaml")
    first = platform.ok("deploy", tree)
    change(tree, '"app": "finrag-backend"', '"app": "changed by a stranger"')

    second = platform.ok("deploy", tree)

    assert (first["release"], second["release"], second["status"]) == ("v1", "v2", "live")
    assert platform.ask("finrag-mine").json["app"] == "changed by a stranger"
    assert set(second["timings_s"]) == {"fetch", "plan", "build", "push", "rollout", "total"}
    assert second["image"] != first["image"]
    assert second["receipt"]["failed"] == 0
    print(json.dumps(second["timings_s"]))
    platform.gone("finrag-mine")


EXAMPLE_WORDS = {
    "node-express": "hello from express",
    "static-site": "A static site",
    "flask-hello": "hello from flask",
    "dockerfile-app": "hello from a Dockerfile",
}


@pytest.mark.parametrize("name", EXAMPLE_WORDS)
def test_an_example_is_built_runs_and_answers(platform: Platform, name: str) -> None:
    done = platform.ok("deploy", EXAMPLES / name)

    answer = platform.ask(name)

    assert done["status"] == "live"
    assert answer.status == 200
    assert EXAMPLE_WORDS[name] in answer.text
    print(json.dumps(done["timings_s"]))


def test_the_static_site_serves_its_style_and_names_its_type(platform: Platform) -> None:
    style = platform.ask("static-site", "/style.css")

    assert style.status == 200
    assert style.headers["content-type"].startswith("text/css")


def test_two_apps_of_the_monorepo_are_live_and_the_worker_calls_the_web_app(platform: Platform) -> None:
    web = platform.ok("deploy", EXAMPLES / "monorepo", "--app", "shop-api")
    worker = platform.ok("deploy", EXAMPLES / "monorepo", "--app", "shop-jobs")

    assert (web["status"], worker["status"]) == ("live", "live")
    assert platform.ask("shop-api", "/orders", "POST", b"").json["number"] >= 1
    until(
        lambda: [line for line in platform.ok("logs", "shop-jobs") if line["text"].startswith("order ")],
        40,
        "the worker ordered nothing",
        pause_s=1,
    )
    assert platform.ask("shop-jobs").status == 503


def test_no_example_runs_as_root_or_has_more_rights_than_it_needs(platform: Platform) -> None:
    for id in platform.containers("finrag-backend"):
        shown = json.loads(docker("inspect", id))[0]
        assert shown["Config"]["User"] not in ("", "0", "root")
        host = shown["HostConfig"]
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
        assert "no-new-privileges" in host["SecurityOpt"] and host["ReadonlyRootfs"] and host["Init"]
