"""The pure parts of the local engine: commands, containers, networks, verdicts, reasons."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from leeward.engines.local.cgroup import Cgroups, paths
from leeward.engines.local.container import Container, labels_of, name_of, parse, render, seconds
from leeward.engines.local.listeners import Listener, listeners, nobody_answers
from leeward.engines.local.network import (
    aliases,
    another,
    firewall_holds,
    firewall_script,
    free_subnet,
    metadata_missing,
    names_name,
    network_body,
    network_name,
    routes_of,
    subnets_of,
)
from leeward.engines.local.verdict import (
    Outcome,
    Verdict,
    checked,
    exited,
    first,
    lives,
    must_restart,
    next_check_s,
)
from leeward.errors import Unavailable
from leeward.model.app import Health
from leeward.model.runtime import InstanceState, Workload
from leeward.model.secret import Secret, Variable
from leeward.plan.command import arguments

WANT = Workload(
    app="shop",
    process="web",
    project="default",
    release=42,
    generation=42001,
    image="registry/shop@sha256:1",
    command="uvicorn main:app",
    env=(Variable("TOKEN", Secret("s3cret"), secret=True), Variable("PORT", Secret("1"))),
    instances=1,
    millicpu=100,
    memory_mib=256,
    port=8080,
    health=Health(path="/health"),
)
GOOD = Outcome(True)
BAD = Outcome(False, "answered GET / with 500", "its log says more")
HEALTH = Health(successes=3, failures=3, deadline=300)


# --- commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (None, None),
        ("  ", None),
        ("python -m http.server 8080", ["python", "-m", "http.server", "8080"]),
        ("python 'a b.py'", ["python", "a b.py"]),
        ("uvicorn main:app --port $PORT", ["/bin/sh", "-c", "exec uvicorn main:app --port $PORT"]),
        ("migrate && serve", ["/bin/sh", "-c", "migrate && serve"]),
        ("a; b", ["/bin/sh", "-c", "a; b"]),
        ("a | b", ["/bin/sh", "-c", "a | b"]),
        ("a & b", ["/bin/sh", "-c", "a & b"]),
        ("serve 2>&1", ["/bin/sh", "-c", "exec serve 2>&1"]),
        ("cd app", ["/bin/sh", "-c", "cd app"]),
        ("DEBUG=1 python app.py", ["/bin/sh", "-c", "DEBUG=1 python app.py"]),
        ("exec serve $PORT", ["/bin/sh", "-c", "exec serve $PORT"]),
        ("node -e 'a(); b()'", ["/bin/sh", "-c", "exec node -e 'a(); b()'"]),
        ("echo it's", ["/bin/sh", "-c", "echo it's"]),
        ("echo $(date)", ["/bin/sh", "-c", "echo $(date)"]),
        ("serve *.txt", ["/bin/sh", "-c", "exec serve *.txt"]),
    ],
)
def test_a_command_gets_a_shell_only_where_it_needs_one(command: str | None, found: list[str] | None) -> None:
    assert arguments(command) == found


# --- containers -----------------------------------------------------------------------------------------------


def body(want: Workload = WANT, millicpu: int = 1000) -> dict[str, object]:
    return render(want, home="h0", network="net", suffix="ab12", millicpu=millicpu, parent="/leeward")


def test_a_container_has_the_bounds_of_its_size_and_no_rights() -> None:
    host = body()["HostConfig"]

    assert host == {
        "NetworkMode": "net",
        "Memory": 256 * 1024 * 1024,
        "MemorySwap": 256 * 1024 * 1024,
        "NanoCpus": 1_000_000_000,
        "PidsLimit": 512,
        "Ulimits": [{"Name": "nofile", "Soft": 16384, "Hard": 16384}],
        "Init": True,
        "CapDrop": ["ALL"],
        "CapAdd": [],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        "RestartPolicy": {"Name": "unless-stopped"},
        "Tmpfs": {"/tmp": "rw,exec,nosuid,nodev,mode=1777,size=128m"},
        "CgroupParent": "/leeward",
    }


def test_an_image_of_the_users_own_may_write_and_become_another_user() -> None:
    host = body(replace(WANT, read_only=False))["HostConfig"]

    assert isinstance(host, dict)
    assert not host["ReadonlyRootfs"]
    assert "Tmpfs" not in host
    assert host["CapAdd"] == ["CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER", "NET_BIND_SERVICE", "KILL"]


def test_the_platforms_variables_win_over_the_apps() -> None:
    env = body()["Env"]

    assert env == [
        "HOME=/tmp",
        "TOKEN=s3cret",
        "PORT=8080",
        "LEEWARD_APP=shop",
        "LEEWARD_PROCESS=web",
        "LEEWARD_RELEASE=v42",
    ]


def test_no_secret_is_in_the_labels() -> None:
    assert "s3cret" not in json.dumps(labels_of(WANT, "h0"))


def test_a_label_of_the_workload_cannot_change_who_owns_it() -> None:
    labels = labels_of(replace(WANT, labels={"leeward.home": "other", "team": "a"}), "h0")

    assert (labels["leeward.home"], labels["team"]) == ("h0", "a")


def shown(**state: object) -> dict[str, object]:
    return {
        "Id": "f" * 64,
        "Name": "/" + name_of(WANT, "ab12"),
        "Created": "2026-01-01T00:00:00.5Z",
        "RestartCount": 2,
        "State": {"Status": "running", "Pid": 7, "StartedAt": "2026-01-01T00:00:01.25Z", **state},
        "Config": {"Labels": labels_of(WANT, "h0")},
        "HostConfig": {"NanoCpus": 1_000_000_000},
        "NetworkSettings": {"Networks": {"net": {"IPAddress": "10.0.0.2"}, "net.names": {"IPAddress": "10.0.1.2"}}},
    }


def test_all_is_known_again_from_the_labels() -> None:
    seen = parse(shown(), "net", "net.names")

    assert (seen.app, seen.process, seen.project) == ("shop", "web", "default")
    assert (seen.release, seen.generation, seen.port) == (42, 42001, 8080)
    assert (seen.millicpu, seen.memory_mib, seen.health) == (100, 256, WANT.health)
    assert (seen.host, seen.named, seen.boosted, seen.running) == ("10.0.0.2", True, True, True)
    assert seen.started_at == seconds("2026-01-01T00:00:00Z") + 1.25
    assert seen.name == "lee-shop-web-g42001-ab12"


@pytest.mark.parametrize(("text", "found"), [("", 0.0), ("0001-01-01T00:00:00Z", 0.0), ("1970-01-01T00:00:01.5Z", 1.5)])
def test_times_are_read_as_docker_writes_them(text: str, found: float) -> None:
    assert seconds(text) == found


# --- networks -------------------------------------------------------------------------------------------------


def test_a_network_takes_the_first_free_range() -> None:
    taken = ("10.211.0.0/24", "10.211.1.0/25", "172.17.0.0/16", "fd00::/64")

    assert free_subnet("10.211.0.0/16", taken) == "10.211.2.0/24"


def test_a_full_pool_says_which_setting_helps() -> None:
    with pytest.raises(Unavailable) as caught:
        free_subnet("10.211.0.0/23", ("10.211.0.0/16",))

    assert "LEEWARD_NETWORK_POOL" in caught.value.hint


def test_a_bridge_has_a_name_that_the_kernel_takes_and_the_firewall_knows() -> None:
    names = {
        network_body(name, home, "p", "10.0.0.0/24", internal=False)["Options"]["com.docker.network.bridge.name"]
        for home in ("h0", "h1")
        for name in (network_name(home, "p" * 40), names_name(home, "p" * 40))
    }

    assert len(names) == 4
    assert all(name.startswith("lwd") and len(name) <= 15 for name in names)


def test_ranges_are_read_from_dockers_networks_and_the_machines_routes() -> None:
    networks = [{"IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}, {"IPAM": {"Config": None}}]
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
        "eth0\t00000000\t0101A8C0\t3\t0\t0\t0\t00000000\t0\n"
        "eth0\t0001A8C0\t00000000\t1\t0\t0\t0\t00FFFFFF\t0\n"
    )

    assert subnets_of(networks) == ("172.17.0.0/16",)
    assert routes_of(table) == ("192.168.1.0/255.255.255.0",)
    assert free_subnet("192.168.0.0/16", ("192.168.0.0/24", *routes_of(table))) == "192.168.2.0/24"


def test_ready_instances_are_found_by_app_and_by_process() -> None:
    assert aliases("shop", "web") == ["shop", "web.shop"]
    assert aliases("shop", "worker") == ["worker.shop"]


def test_the_rules_against_metadata_are_known_again_as_iptables_prints_them() -> None:
    missing = metadata_missing("-P PREROUTING ACCEPT\n")
    printed = [" ".join(("-A", *rule)) for rule in missing]

    assert printed[0] == (
        "-A PREROUTING -d 169.254.0.0/16 -i lwd+ -p tcp -m tcp ! --dport 53"
        " -m comment --comment LEEWARD-METADATA -j DROP"
    )
    assert any("-d 100.100.100.200/32 " in line for line in printed)
    assert metadata_missing("\n".join(("-P PREROUTING ACCEPT", *printed))) == ()
    assert metadata_missing("\n".join(printed[1:])) == missing[:1]


RIGHT = """-P INPUT ACCEPT
-A INPUT -i lwd+ -j LEEWARD-INPUT
-A INPUT -p tcp -j ACCEPT
-A LEEWARD-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LEEWARD-INPUT -j DROP
"""


@pytest.mark.parametrize(
    ("saved", "holds"),
    [
        (RIGHT, True),
        ("-P INPUT ACCEPT\n", False),
        (RIGHT.replace("-A LEEWARD-INPUT -j DROP\n", ""), False),
        (RIGHT.replace("-A INPUT -i lwd+ -j LEEWARD-INPUT\n", ""), False),
        (RIGHT.replace("-P INPUT ACCEPT\n", "-A INPUT -j ACCEPT\n"), False),
        (RIGHT + "-A LEEWARD-INPUT -j ACCEPT\n", False),
    ],
)
def test_the_firewall_holds_only_when_its_jump_is_first_and_its_chain_exact(saved: str, holds: bool) -> None:
    assert firewall_holds(saved) is holds


def test_the_firewall_is_made_right_in_one_step() -> None:
    assert firewall_script(1).splitlines() == [
        "*filter",
        ":LEEWARD-INPUT - [0:0]",
        "-A LEEWARD-INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-A LEEWARD-INPUT -j DROP",
        "-D INPUT -i lwd+ -j LEEWARD-INPUT",
        "-I INPUT 1 -i lwd+ -j LEEWARD-INPUT",
        "COMMIT",
    ]


# --- verdicts -------------------------------------------------------------------------------------------------


def after(verdict: Verdict, *outcomes: Outcome, age_s: float = 1) -> Verdict:
    for outcome in outcomes:
        verdict = checked(verdict, outcome, HEALTH, age_s)
    return verdict


def test_three_good_answers_in_a_row_make_it_ready() -> None:
    assert after(Verdict(), GOOD, GOOD).state is InstanceState.STARTING
    assert after(Verdict(), GOOD, GOOD, BAD, GOOD, GOOD).state is InstanceState.STARTING
    assert after(Verdict(), BAD, GOOD, GOOD, GOOD) == Verdict(InstanceState.READY, successes=3)


def test_three_bad_answers_in_a_row_make_it_unhealthy_with_the_reason() -> None:
    ready = Verdict(InstanceState.READY)

    assert after(ready, BAD, BAD).state is InstanceState.READY
    assert after(ready, BAD, BAD, GOOD, BAD, BAD).state is InstanceState.READY
    ill = after(ready, BAD, BAD, BAD)
    assert (ill.state, ill.reason, ill.hint) == (InstanceState.UNHEALTHY, BAD.reason, BAD.hint)


def test_an_unhealthy_instance_is_ready_again_after_three_good_answers() -> None:
    ill = after(Verdict(InstanceState.READY), BAD, BAD, BAD)

    assert after(ill, GOOD, GOOD).state is InstanceState.UNHEALTHY
    assert after(ill, GOOD, GOOD, GOOD).state is InstanceState.READY


def test_after_three_more_failures_it_is_started_anew() -> None:
    assert not must_restart(after(Verdict(InstanceState.READY), *[BAD] * 5), HEALTH)
    assert must_restart(after(Verdict(InstanceState.READY), *[BAD] * 6), HEALTH)


def test_a_starting_instance_has_its_deadline_before_it_counts_as_unhealthy() -> None:
    young = after(Verdict(), *[BAD] * 50)
    late = after(young, *[BAD] * 3, age_s=301)

    assert (young.state, young.reason) == (InstanceState.STARTING, BAD.reason)
    assert late.state is InstanceState.UNHEALTHY


def test_a_crash_is_told_until_the_instance_is_ready() -> None:
    crash = Verdict(InstanceState.CRASHED, reason="exited with code 1")

    assert after(crash, BAD, GOOD, GOOD).reason == "exited with code 1"
    assert after(crash, GOOD, GOOD, GOOD) == Verdict(InstanceState.READY, successes=3)


def test_a_worker_is_ready_after_two_seconds() -> None:
    assert lives(Verdict(), 1.9).state is InstanceState.STARTING
    assert lives(Verdict(InstanceState.CRASHED), 2.0).state is InstanceState.READY


@pytest.mark.parametrize(
    ("verdict", "outcome", "age_s", "pause"),
    [
        (Verdict(InstanceState.READY), GOOD, 5, 10),
        (Verdict(), GOOD, 5, 1),
        (Verdict(), BAD, 5, 1),
        (Verdict(), Outcome(False, silent=True), 5, 0.1),
        (Verdict(), Outcome(False, silent=True), 21, 1),
    ],
)
def test_the_next_check_comes_soon_only_while_that_is_cheap(
    verdict: Verdict, outcome: Outcome, age_s: float, pause: float
) -> None:
    assert next_check_s(verdict, outcome, HEALTH, age_s) == pause


CONTAINER = parse(shown(), "net", "net.names")


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (CONTAINER, InstanceState.READY),
        (replace(CONTAINER, named=False), InstanceState.STARTING),
        (replace(CONTAINER, status="exited"), InstanceState.STARTING),
    ],
)
def test_what_had_its_name_was_ready_before_the_control_plane_came_back(seen: Container, state: InstanceState) -> None:
    assert first(seen).state is state


@pytest.mark.parametrize(
    ("code", "oom", "ran_s", "lines", "reason"),
    [
        (137, True, 9, ["x"], "was killed for using more than 256 MiB of memory"),
        (3, False, 0.2, ["", "Traceback", "boom "], "exits at once with code 3: 'boom'"),
        (3, False, 60, [], "exited with code 3"),
        (0, False, 0.2, [], "exits at once with code 0"),
        (127, False, 0, ["sh: foo: not found"], "its command was not found: 'sh: foo: not found'"),
        (126, False, 0, [], "its command could not be executed"),
        (137, False, 9, [], "was ended by SIGKILL (code 137)"),
        (139, False, 9, [], "was ended by SIGSEGV (code 139)"),
    ],
)
def test_an_exit_says_why_in_one_sentence(code: int, oom: bool, ran_s: float, lines: list[str], reason: str) -> None:
    verdict = exited(CONTAINER, code=code, oom=oom, ran_s=ran_s, lines=lines)

    assert (verdict.state, verdict.reason) == (InstanceState.CRASHED, reason)
    assert verdict.hint


# --- listeners ------------------------------------------------------------------------------------------------

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:A0B1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0200D30A:1F90 0100D30A:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr
   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
"""


def test_listening_sockets_are_read_from_the_kernel_without_dockers_resolver() -> None:
    assert listeners(TCP) == (Listener("127.0.0.1", 8000),)
    assert listeners(TCP6) == (Listener("127.0.0.1", 8081), Listener("::", 3000))


@pytest.mark.parametrize(
    ("found", "reason", "hint"),
    [
        ((), "nothing listens on port 8080", "PORT"),
        (listeners(TCP), "listens on 127.0.0.1:8000 only, where nothing outside can reach it", "listen on 0.0.0.0"),
        ((Listener("::1", 8080),), "listens on [::1]:8080 only, where nothing outside can reach it", "port 8080"),
        ((Listener("::", 3000),), "listens on port 3000, but PORT is 8080", "port: 3000"),
        ((Listener("0.0.0.0", 8080),), "refused a connection on port 8080", "busy"),
    ],
)
def test_a_refused_connection_is_explained(found: tuple[Listener, ...], reason: str, hint: str) -> None:
    said = nobody_answers(8080, found)

    assert said[0] == reason
    assert hint in said[1]


# --- control groups -------------------------------------------------------------------------------------------


def test_paths_are_found_for_both_versions_of_control_groups() -> None:
    root = Path("/cg")
    one = paths(root, "4:memory:/leeward/x\n3:cpu,cpuacct:/leeward/x\n1:name=systemd:/\n0::/leeward/x\n")
    two = paths(root, "0::/leeward/x\n")

    assert one["memory"] == root / "memory/leeward/x"
    assert one["cpuacct"] == root / "cpu,cpuacct/leeward/x"
    assert two == {"": root / "leeward/x"}


def test_usage_is_read_from_version_two(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("0::/leeward/x\n")
    group = tmp_path / "cg/leeward/x"
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\nthrottled_usec 250000\n")
    (group / "memory.current").write_text("5000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 1000\n")

    used = Cgroups(tmp_path / "cg", tmp_path / "proc").used("id", 7)

    assert used is not None
    assert (used.cpu_s, used.memory_bytes, used.throttled_s) == (1.5, 4000, 0.25)


def test_what_has_just_ended_has_no_usage(tmp_path: Path) -> None:
    assert Cgroups(tmp_path, tmp_path).used("id", 7) is None


def test_another_address_is_a_free_one_of_the_same_network_from_the_top() -> None:
    assert another("10.1.2.3", ["10.1.2.3", "10.1.2.254"]) == "10.1.2.253"
