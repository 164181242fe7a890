"""What an instance gets, what it may not do, and what happens when it fails."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import DOCKER, HTTPS_PORT, REGISTRY_PORT, Platform, change, copied, docker, until
from tests.e2e.test_drop_free import load

APPS = ("probe", "neighbour", "stranger", "starter", "looper", "toiler")


@pytest.fixture(scope="module")
def probe(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app that does what it is asked, live at size nano; its tree."""
    platform.gone(*APPS)
    tree = copied("probe", tmp_path_factory.mktemp("runtime"))
    platform.ok("deploy", tree)
    return tree


def renamed(folder: Path, name: str) -> Path:
    """The probe under another name."""
    tree = copied("probe", folder)
    change(tree, "name: probe", f"name: {name}", "leeward.yaml")
    return tree


def do(platform: Platform, deed: str, app: str = "probe") -> Any:
    return platform.ask(app, f"/{deed}").json


def ready(platform: Platform, app: str, count: int = 1, timeout_s: float = 60) -> list[Any]:
    return until(
        lambda: found if len(found := platform.instances(app, "ready")) == count else [],
        timeout_s,
        f"'{app}' has no {count} ready instances",
    )


def usage(platform: Platform, app: str) -> Any:
    """What the one ready instance uses."""
    [instance] = ready(platform, app)
    used = platform.api("GET", f"/v1/apps/{app}/metrics").json["usage"]
    return next(one for one in used if one["instance"] == instance["id"])


# --- what it gets -----------------------------------------------------------------------------------------


def test_a_process_gets_its_port_its_name_and_the_apps_variables(platform: Platform, probe: Path) -> None:
    platform.ok("env", "set", "probe", "COLOUR=blue", "SPACED=a b  c'\"$X")
    done = platform.lee("env", "set", "probe", "PASSWORD", "--secret", "--json", stdin="pa55 word\n").json

    env = do(platform, "env")

    assert env["PORT"] == "8080"
    assert (env["LEEWARD_APP"], env["LEEWARD_PROCESS"]) == ("probe", "web")
    assert env["LEEWARD_RELEASE"] == done["deploy"]["release"]
    assert (env["COLOUR"], env["SPACED"], env["PASSWORD"]) == ("blue", "a b  c'\"$X", "pa55 word")
    shown = {variable["key"]: variable["value"] for variable in platform.ok("env", "list", "probe")}
    assert shown["COLOUR"] == "blue" and "pa55" not in shown["PASSWORD"]


def test_only_tmp_can_be_written_and_it_is_empty_after_a_restart(platform: Platform, probe: Path) -> None:
    assert "Read-only" in do(platform, "write?path=/app/new")["error"]
    assert "Read-only" in do(platform, "write?path=/etc/new")["error"]
    assert do(platform, "write?path=/tmp/new") == {}
    assert do(platform, "there?path=/tmp/new") == {"there": True}

    platform.ok("restart", "probe")

    assert do(platform, "there?path=/tmp/new") == {"there": False}


def test_a_command_runs_in_an_instance_and_its_exit_code_is_told(platform: Platform, probe: Path) -> None:
    good = platform.lee("exec", "probe", "--", "sh", "-c", "echo $LEEWARD_APP; id -u")
    bad = platform.lee("exec", "--json", "probe", "--", "sh", "-c", "echo oh no; exit 3")

    assert (good.code, good.out) == (0, "probe\n1000\n")
    assert (bad.code, bad.json["exit_code"], bad.json["output"]) == (1, 3, "oh no\n")


def test_what_it_prints_can_be_read_searched_and_followed(platform: Platform, probe: Path) -> None:
    do(platform, "say?text=needle-in-hay&times=3")

    lines = until(
        lambda: [line["text"] for line in platform.ok("logs", "probe", "--search", "NEEDLE-in")],
        10,
        "the printed line is not in the log",
    )
    plain = platform.lee("logs", "probe", "--search", "needle-in-hay 2")
    build = platform.lee("logs", "probe", "--build", "v1")

    assert lines[-3:] == ["needle-in-hay 0", "needle-in-hay 1", "needle-in-hay 2"]
    assert plain.out.count("needle-in-hay 2") == 1
    assert "plan: provider: python" in build.out and "v1 is live" in build.out
    assert "needle" not in build.out


# --- sizes ------------------------------------------------------------------------------------------------


def test_a_busy_nano_gets_a_tenth_of_a_core(platform: Platform, probe: Path) -> None:
    [instance] = ready(platform, "probe")
    until(lambda: nano_cpus(instance["id"]) == 100_000_000, 10, "its boost is not over")
    do(platform, "burn?seconds=8")
    time.sleep(1)
    before, began = usage(platform, "probe"), time.monotonic()
    time.sleep(4)
    after, spent = usage(platform, "probe"), time.monotonic() - began

    cores = (after["cpu_s"] - before["cpu_s"]) / spent
    print(f"{cores:.3f} cores")
    assert 0.05 < cores <= 0.15
    assert after["throttled_s"] > before["throttled_s"]
    assert after["limit_millicpu"] == 100


def test_too_much_memory_is_a_kill_that_says_how_much_it_was(platform: Platform, probe: Path) -> None:
    [before] = ready(platform, "probe")

    assert platform.ask("probe", "/allocate").status in (502, 504)

    def reported() -> list[str]:
        return [event["text"] for event in platform.ok("events", "probe") if event["kind"] == "instance.crashed"]

    until(lambda: "web of 'probe' was killed for using more than 256 MiB of memory" in reported(), 20, "no such event")
    assert all(len(text) > len("web of 'probe' ") for text in reported())
    [after] = ready(platform, "probe")
    assert after["restarts"] >= 1 or after["id"] != before["id"]
    assert do(platform, "about")["text"] == "one"


def test_a_larger_size_is_a_release_with_larger_limits(platform: Platform, probe: Path) -> None:
    done = platform.ok("scale", "probe", "--size", "micro")

    assert done["status"] == "live"
    [instance] = ready(platform, "probe")
    until(lambda: nano_cpus(instance["id"]) == 250_000_000, 10, "its boost is not over")
    shown = usage(platform, "probe")
    assert (shown["limit_millicpu"], shown["limit_memory_bytes"]) == (250, 512 * 1024 * 1024)
    platform.ok("rollback", "probe")
    assert usage(platform, "probe")["limit_memory_bytes"] == 256 * 1024 * 1024


def nano_cpus(instance: str) -> int:
    return int(docker("inspect", "-f", "{{.HostConfig.NanoCpus}}", instance))


def test_a_start_is_boosted_until_it_is_ready(platform: Platform, probe: Path, tmp_path: Path) -> None:
    tree = renamed(tmp_path, "starter")
    (tree / "leeward.yaml").write_text((tree / "leeward.yaml").read_text() + 'env: {SLOW_START: "3"}\n')
    started = platform.ok("deploy", tree, "--detach")
    [starting] = until(lambda: platform.instances("starter", "starting"), 60, "nothing starts", pause_s=0.05)
    boosted = nano_cpus(starting["id"])

    platform.ended(started["deploy"])

    assert boosted == 1_000_000_000
    until(lambda: nano_cpus(starting["id"]) == 100_000_000, 5, "it keeps its boost")
    platform.gone("starter")


# --- several of them --------------------------------------------------------------------------------------


def test_requests_go_round_robin_to_several_instances(platform: Platform, probe: Path) -> None:
    platform.ok("scale", "probe", "web=3")

    hosts = [do(platform, "about")["host"] for _ in range(30)]

    assert len(set(hosts)) == 3
    assert all(hosts.count(host) >= 5 for host in set(hosts)), hosts


@pytest.mark.timeout(300)
def test_an_instance_that_is_killed_under_load_costs_no_request(platform: Platform, probe: Path) -> None:
    platform.ok("scale", "probe", "web=3")

    with load(platform, "probe", "keep_alive", "fresh") as counted:
        for _ in range(2):
            victim = ready(platform, "probe", 3)[0]
            docker("kill", victim["id"])
            time.sleep(2)
            until(
                lambda dead=victim["id"]: dead not in {i["id"] for i in ready(platform, "probe", 3)},  # type: ignore[misc]
                30,
                "what was killed is not replaced",
            )

    assert counted["failed"] == 0, counted["failures"]
    assert counted["keep_alive"] > 200
    platform.ok("scale", "probe", "web=1")


def test_a_worker_runs_without_a_port_beside_its_web_process(platform: Platform, probe: Path, tmp_path: Path) -> None:
    tree = renamed(tmp_path, "toiler")
    manifest = tree / "leeward.yaml"
    manifest.write_text(manifest.read_text() + "  worker: {command: python main.py work, size: nano, instances: 2}\n")

    done = platform.ok("deploy", tree)

    assert done["status"] == "live"
    kinds = sorted(instance["process"] for instance in ready(platform, "toiler", 3))
    assert kinds == ["web", "worker", "worker"]
    assert platform.ask("toiler").status == 200
    until(lambda: platform.ok("logs", "toiler", "--process", "worker"), 10, "the worker printed nothing")
    assert {line["text"] for line in platform.ok("logs", "toiler", "--process", "worker")} == {"worked"}
    platform.ok("scale", "toiler", "worker=0")
    assert [i["process"] for i in ready(platform, "toiler", 1)] == ["web"]
    platform.gone("toiler")


# --- failing ----------------------------------------------------------------------------------------------


def test_an_app_that_crashes_again_and_again_is_backed_off_and_reported(
    platform: Platform, probe: Path, tmp_path: Path
) -> None:
    tree = renamed(tmp_path, "looper")
    breaks_at = time.time() + 15
    manifest = tree / "leeward.yaml"
    manifest.write_text(manifest.read_text() + f'env: {{BROKEN_FROM: "{breaks_at}"}}\n')
    platform.ok("deploy", tree)
    assert platform.ask("looper").status == 200
    time.sleep(max(0.0, breaks_at - time.time()))
    [before] = platform.instances("looper")

    platform.ask("looper", "/leave?code=7")

    def crashed() -> list[Any]:
        return [i for i in platform.instances("looper") if i["state"] == "crashed" and i["restarts"] >= 3]

    [instance] = until(crashed, 40, "the crash loop is not shown")
    assert "exits at once with code 1: 'the time is over'" in instance["reason"]
    assert platform.ask("looper").status == 503
    shown = platform.ok("apps", "show", "looper")
    assert shown["status"] != "live" and "code 1" in shown["reason"], shown
    texts = [event["text"] for event in platform.ok("events", "looper") if event["kind"] == "instance.crashed"]
    assert any("exits at once with code 1" in text for text in texts), texts
    first = platform.instances("looper")[0]["restarts"]
    time.sleep(6)
    # Docker doubles the pause each time: without it there would be dozens.
    assert platform.instances("looper")[0]["restarts"] - first <= 3
    assert instance["id"] == before["id"] or instance["restarts"] >= 3
    platform.gone("looper")


# --- apart from others ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(platform: Platform, probe: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same app in another project, and one more in the probe's own."""
    folder = tmp_path_factory.mktemp("projects")
    assert platform.api("POST", "/v1/apps", {"name": "stranger", "project": "elsewhere"}).status == 201
    platform.ok("deploy", renamed(folder / "one", "stranger"))
    platform.ok("deploy", renamed(folder / "two", "neighbour"))


def address(app: str, platform: Platform) -> list[str]:
    [id] = platform.containers(app)
    networks = json.loads(docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", id))
    return [network["IPAddress"] for network in networks.values()]


def test_apps_of_a_project_reach_each_other_by_name(platform: Platform, stranger: None) -> None:
    assert do(platform, "reach?host=neighbour&port=8080") == {}
    assert do(platform, "reach?host=web.neighbour&port=8080") == {}


def test_apps_of_another_project_are_reached_neither_by_name_nor_by_address(platform: Platform, stranger: None) -> None:
    assert "error" in do(platform, "reach?host=stranger&port=8080")
    for host in address("stranger", platform):
        assert "error" in do(platform, f"reach?host={host}&port=8080"), host
    for host in address("probe", platform):
        assert "error" in do(platform, f"reach?host={host}&port=8080", "stranger"), host


@pytest.fixture
def open_port() -> Iterator[int]:
    """Something that listens on every address of this machine."""
    with closing(socket.create_server(("0.0.0.0", 0))) as server:
        stop = threading.Event()

        def serve() -> None:
            server.settimeout(0.2)
            while not stop.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        stop.set()
        thread.join()


def test_a_container_reaches_nothing_on_the_host(platform: Platform, stranger: None, open_port: int) -> None:
    [id] = platform.containers("probe")
    networks = json.loads(docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", id)).values()
    gateways = [network["Gateway"] for network in networks if network["Gateway"]]
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    hosts = {*gateways, *own[:1], "172.17.0.1"}
    tries = [(host, port) for host in hosts for port in (open_port, REGISTRY_PORT, HTTPS_PORT)]
    assert gateways

    with ThreadPoolExecutor(len(tries)) as pool:
        answers = pool.map(lambda to: do(platform, f"reach?host={to[0]}&port={to[1]}"), tries)
        reached = [to for to, answer in zip(tries, answers, strict=True) if "error" not in answer]

    assert reached == []
    for host in hosts:
        # It listens there: the host itself is answered.
        socket.create_connection((host, open_port), timeout=2).close()


def test_a_container_has_no_socket_of_the_platform_and_no_rights_over_it(platform: Platform, probe: Path) -> None:
    for path in ("/var/run/docker.sock", "/run/docker.sock", str(platform.home), str(platform.home / "run")):
        assert do(platform, f"there?path={path}") == {"there": False}, path
    shown = platform.lee("exec", "probe", "--", "cat", "/proc/1/status").out
    facts = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
    assert facts["CapEff"].strip("0") == "" and facts["CapBnd"].strip("0") == ""
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    refused = subprocess.run([DOCKER, "exec", platform.containers("probe")[0], "mount", "-t", "tmpfs", "x", "/mnt"])
    assert refused.returncode != 0
