"""Whatever is killed, at whatever moment: apps serve, deploys go on, and nothing is left over."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.platform import DOCKER, Platform, change, copied, docker, until
from tests.e2e.test_drop_free import load


@pytest.fixture(scope="module")
def survivor(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with variables, a secret and two instances; its tree."""
    platform.gone("survivor")
    tree = copied("echo", tmp_path_factory.mktemp("crash"))
    change(tree, "name: echo", "name: survivor", "leeward.yaml")
    change(tree, "size: medium", "size: small", "leeward.yaml")
    platform.ok("deploy", tree)
    platform.ok("env", "set", "survivor", "GREETING=still here")
    assert platform.lee("env", "set", "survivor", "KEY", "--secret", stdin="a secret\n").code == 0
    platform.ok("scale", "survivor", "web=2")
    return tree


def say(tree: Path, words: str, rebuild: bool = False) -> None:
    """Have the app say something else; `rebuild` makes its dependencies be installed anew."""
    main = tree / "main.py"
    main.write_text(re.sub(r'^TEXT = ".*"$', f'TEXT = "{words}"', main.read_text(), flags=re.MULTILINE))
    if rebuild:
        requirements = tree / "requirements.txt"
        requirements.write_text(requirements.read_text() + f"# {time.time()}\n")


def text(platform: Platform) -> str:
    return str(platform.ask("survivor").json["text"])


def assert_nothing_orphaned(platform: Platform) -> None:
    """Every container belongs to an app, and every app's instances are all there is."""

    def left() -> set[str]:
        names = {app["name"] for app in platform.ok("apps", "list")}
        shown = {instance["id"] for name in names for instance in platform.instances(name)}
        here = docker("ps", "-a", "--format", "{{.Names}}", "--filter", f"label={platform.label}").split()
        return set(here) - shown

    until(lambda: not left(), 30, f"nobody's: {left()}", pause_s=1)


# --- dockerd ----------------------------------------------------------------------------------------------


def _dockerds() -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == "dockerd"]


def dockerd() -> psutil.Process:
    return next(process for process in _dockerds() if process.status() != psutil.STATUS_ZOMBIE)


@contextmanager
def supervised_dockerd() -> Iterator[Callable[[], None]]:
    """A dockerd that is started again after its end: by `make test`, by the platform itself, or by what is yielded,
    with the command in LEEWARD_E2E_DOCKERD."""
    parents = [" ".join(parent.cmdline()) for parent in dockerd().parents()]
    command = os.environ.get("LEEWARD_E2E_DOCKERD", "")
    if any("with-docker" in line or "supervisord" in line for line in parents):
        command = ""
    elif not command:
        pytest.skip("nobody here starts dockerd again: run it by `make e2e`, or set LEEWARD_E2E_DOCKERD to its command")

    def start_again() -> None:
        """Until it answers: right after a kill its pid file still names a process that is not yet gone."""
        deadline = time.monotonic() + 90
        while command and not docker_answers():
            assert time.monotonic() < deadline, "dockerd could not be started again"
            if not [process for process in _dockerds() if process.status() != psutil.STATUS_ZOMBIE]:
                with open("/tmp/leeward-e2e-dockerd.log", "ab") as log:
                    subprocess.Popen(
                        shlex.split(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                    )
            time.sleep(1)

    try:
        yield start_again
    finally:
        # Others may use it: it comes back whatever became of the test.
        start_again()


def docker_answers() -> bool:
    return subprocess.run([DOCKER, "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("phase", ["build", "rollout"])
def test_a_dockerd_that_is_killed_costs_no_request_and_no_deploy(
    platform: Platform, survivor: Path, phase: str
) -> None:
    was = text(platform)
    say(survivor, f"killed dockerd at {phase}", rebuild=phase == "build")
    with supervised_dockerd() as start_again, load(platform, "survivor") as counted:
        started = platform.ok("deploy", survivor, "--detach")
        until(
            lambda: platform.api("GET", f"/v1/deploys/{started['deploy']}").json["phase"] == phase,
            60,
            f"the deploy never came to {phase}",
            pause_s=0.02,
        )
        os.kill(dockerd().pid, signal.SIGKILL)
        start_again()
        until(docker_answers, 60, "dockerd did not come back")
        ended = platform.ended(started["deploy"])
        if ended["status"] == "failed":
            print(json.dumps(ended["error"]))
            assert ended["error"]["message"] and ended["error"]["hint"]
            assert text(platform) == was
            assert platform.ok("deploy", survivor)["status"] == "live"

    assert counted["failed"] == 0, counted["failures"]
    assert counted["websockets"] > 0 and counted["streams"] > 0
    assert text(platform) == f"killed dockerd at {phase}"
    assert_nothing_orphaned(platform)


# --- the registry -----------------------------------------------------------------------------------------


def test_a_registry_that_is_killed_is_back_for_the_next_deploy(platform: Platform, survivor: Path) -> None:
    say(survivor, "killed registry")
    before = platform.pid("registry")

    os.kill(before, signal.SIGKILL)
    done = platform.ok("deploy", survivor)

    assert done["status"] == "live"
    assert text(platform) == "killed registry"
    assert platform.pid("registry") != before


# --- what starts them all ---------------------------------------------------------------------------------


def test_a_supervisor_that_is_killed_is_followed_by_one_and_nobody_is_refused(
    platform: Platform, survivor: Path
) -> None:
    before = [platform.pid(name) for name in ("control", "edge", "registry")]
    with load(platform, "survivor") as counted:
        os.kill(int((platform.home / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
        platform.ok("up")

    # The old workers close connections that are idle, and a client may just then ask for more on one; and what stands
    # in the queue of a listener that closes is reset by the kernel (as long as net.ipv4.tcp_migrate_req is off).
    known = ("keep-alive: IncompleteReadError 0 bytes read", "ConnectionResetError")
    assert [failure for failure in counted["failures"] if not any(each in failure for each in known)] == []
    assert counted["failed"] < counted["fresh"] / 10
    assert counted["fresh"] > 0 and counted["uploads"] > 0 and counted["websockets"] > 0
    assert not set(before) & {platform.pid(name) for name in ("control", "edge", "registry")}
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in before)


# --- the whole machine ------------------------------------------------------------------------------------


def power_cut(platform: Platform) -> None:
    """Nothing of this home runs any more, and nothing was told."""
    supervisor = int((platform.home / "run" / "supervisord.pid").read_text())
    tree = [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(tree, timeout=10)
    if containers := platform.containers():
        docker("kill", *containers)
    assert platform.containers() == []


def state(platform: Platform) -> dict[str, Any]:
    """What each app is, as its owner sees it."""
    found = {}
    for app in platform.ok("apps", "list"):
        if app["release"]:
            shown = platform.ok("apps", "show", app["name"])
            web = any(process["name"] == "web" for process in shown["processes"])
            found[app["name"]] = (
                app["release"],
                shown["image"],
                {process["name"]: (process["size"], process["ready"]) for process in shown["processes"]},
                platform.ask(app["name"]).status if web else 0,
            )
    return found


def calm(platform: Platform) -> dict[str, Any] | None:
    """The state, once every web app answers."""
    found = state(platform)
    return found if all(status in (0, 200) for *_, status in found.values()) else None


@pytest.mark.timeout(600)
def test_after_a_reboot_every_app_is_back_with_its_release_and_variables(platform: Platform, survivor: Path) -> None:
    before = until(lambda: calm(platform), 60, f"not all is well before: {state(platform)}")
    env = json.loads(platform.lee("exec", "--json", "survivor", "--", "env").out)["output"].splitlines()
    ids = set(platform.containers())

    power_cut(platform)
    began = time.monotonic()
    platform.up()
    until(lambda: state(platform) == before, 120, "not all apps came back as they were", pause_s=1)
    print(json.dumps({"apps": len(before), "seconds": round(time.monotonic() - began, 1)}))

    after = json.loads(platform.lee("exec", "--json", "survivor", "--", "env").out)["output"].splitlines()
    # An instance that was there before a release of another count says the number that it was made with.
    hidden = ("HOSTNAME=", "LEEWARD_RELEASE=")
    assert [line for line in after if not line.startswith(hidden)] == [
        line for line in env if not line.startswith(hidden)
    ]
    assert "GREETING=still here" in after and "KEY=a secret" in after
    assert not ids & set(platform.containers())
    assert_nothing_orphaned(platform)
    assert platform.pid("edge") and platform.pid("registry") and platform.pid("control")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", ["build", "rollout"])
def test_a_deploy_that_a_power_cut_interrupted_ends_after_it(platform: Platform, survivor: Path, phase: str) -> None:
    say(survivor, f"power cut at {phase}", rebuild=phase == "build")
    started = platform.ok("deploy", survivor, "--detach")
    until(
        lambda: platform.api("GET", f"/v1/deploys/{started['deploy']}").json["phase"] == phase,
        60,
        f"the deploy never came to {phase}",
        pause_s=0.02,
    )

    power_cut(platform)
    platform.up()
    ended = platform.ended(started["deploy"])

    assert ended["status"] == "live", ended["error"]
    until(lambda: text(platform) == f"power cut at {phase}", 30, "it is not served")
    assert len([i for i in platform.instances("survivor") if i["state"] == "ready"]) == 2
    assert_nothing_orphaned(platform)
