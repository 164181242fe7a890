"""What builds may reach, as rules of the packet filter."""

import ipaddress

import pytest

from leeward.builders.failures import explain
from leeward.builders.reach import CHAIN, Allowed, holds, hooks, jump, mark, places, rules, script
from leeward.errors import Invalid
from leeward.host.engine import rule_removals
from leeward.settings import load

PROXY: Allowed = (ipaddress.ip_network("10.0.0.5"), 3128)
RANGE: Allowed = (ipaddress.ip_network("10.1.0.0/16"), None)
SIX: Allowed = (ipaddress.ip_network("fd12::/16"), None)


def saved(version: int = 4, allowed: tuple[Allowed, ...] = (), user: bool = True) -> str:
    """What `iptables -S` prints when all is right."""
    forward = "DOCKER-USER" if user else "FORWARD"
    chains = ["-N DOCKER-USER"] if user else []
    return "\n".join(
        [
            *("-P INPUT ACCEPT", "-P FORWARD DROP", *chains, f"-N {CHAIN}"),
            "-A INPUT -i lwd+ -j LEEWARD-INPUT",
            f"-A INPUT {jump('docker0')}",
            "-A INPUT -p tcp -j ACCEPT",
            f"-A {forward} {jump('docker0')}",
            f"-A {forward} -j RETURN",
            *(f"-A {CHAIN} {rule}" for rule in (mark(version, allowed), *rules(version, allowed))),
        ]
    )


def place(listed: tuple[str, ...], part: str) -> int:
    return next(number for number, rule in enumerate(listed) if part in rule)


@pytest.mark.parametrize("version", [4, 6])
def test_names_are_asked_for_and_metadata_is_refused_before_anything_is_allowed(version: int) -> None:
    allowed = ((ipaddress.ip_network("0.0.0.0/0"), None), (ipaddress.ip_network("::/0"), None))

    listed = rules(version, allowed)

    metadata = place(listed, "169.254.0.0/16" if version == 4 else "fd00:ec2::/32")
    assert place(listed, "--dport 53") < metadata < place(listed, "/0 -j RETURN") < place(listed, "LOCAL -j REJECT")
    assert "RELATED,ESTABLISHED" in listed[0]


def test_what_is_allowed_is_allowed_in_its_own_version_and_with_its_port() -> None:
    four, six = rules(4, (RANGE, PROXY, SIX)), rules(6, (RANGE, PROXY, SIX))

    assert "-d 10.0.0.5/32 -p tcp -m tcp --dport 3128 -j RETURN" in four
    assert "-d 10.1.0.0/16 -j RETURN" in four
    assert place(four, "10.1.0.0/16") < place(four, "-d 10.0.0.0/8 -j REJECT")
    assert [rule for rule in six if "fd12::" in rule] == ["-d fd12::/16 -j RETURN"]
    assert not any("10." in rule for rule in six)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (saved(), True),
        (saved(user=False), True),
        (saved(allowed=(PROXY,)), False),
        ("-P INPUT ACCEPT\n", False),
        (saved().replace("-A INPUT -i docker0", "-A INPUT -i docker1"), False),
        (saved().replace("-A DOCKER-USER -i docker0", "-A FORWARD -i docker0"), False),
        (saved().replace("-A DOCKER-USER -i", "-A DOCKER-USER -j ACCEPT\n-A DOCKER-USER -i"), False),
        (saved().replace("LOCAL -j REJECT", "LOCAL -j REJECT\n-A LEEWARD-BUILDS -j RETURN"), False),
        (saved().rpartition("\n")[0], False),
    ],
)
def test_the_rules_hold_only_when_all_are_there_and_lead(text: str, good: bool) -> None:
    assert holds(text, "docker0", 4, ()) is good


def test_all_is_made_right_in_one_step_that_leaves_no_jump_of_before() -> None:
    before = saved().replace("-A INPUT -i docker0", "-A INPUT -p udp -j ACCEPT\n-A INPUT -i br9")

    lines = script(before, "docker0", 4, ()).splitlines()

    assert lines[:2] == ["*filter", f":{CHAIN} - [0:0]"]
    assert [line for line in lines if line.startswith("-D")] == [
        f"-D INPUT -i br9 -j {CHAIN}",
        f"-D DOCKER-USER -i docker0 -j {CHAIN}",
    ]
    assert lines[-3:] == [f"-I INPUT 1 {jump('docker0')}", f"-I DOCKER-USER 1 {jump('docker0')}", "COMMIT"]


def test_an_engine_without_a_chain_for_others_gets_the_rules_in_its_own() -> None:
    assert hooks("-P FORWARD ACCEPT\n") == ("INPUT", "FORWARD")


def test_a_purge_takes_the_rules_away() -> None:
    removals = rule_removals(saved())

    assert ("-D", "DOCKER-USER", "-i", "docker0", "-j", CHAIN) in removals
    assert removals[-2:] == (("-F", CHAIN), ("-X", CHAIN))


def test_hosts_and_ports_of_proxies_and_indexes_are_read() -> None:
    urls = (
        "http://u:p@10.0.0.5:3128",
        "https://pypi.example.com/simple",
        "proxy:8080",
        "http://[fd12::1]:81/",
        "x://a",
    )

    assert places((*urls, "http://a:99999")) == (
        ("10.0.0.5", 3128),
        ("pypi.example.com", 443),
        ("proxy", 8080),
        ("fd12::1", 81),
    )


def test_the_setting_is_read_as_networks_with_and_without_ports() -> None:
    settings = load({"LEEWARD_BUILD_NETWORKS": "10.0.0.5:3128, 10.1.2.3/16,[fd12::1]:81, fd12::/16"})

    six = (ipaddress.ip_network("fd12::1"), 81)
    assert settings.reachable == (PROXY, RANGE, six, SIX)


@pytest.mark.parametrize(
    "value", ["mirror.example.com", "10.0.0.0/33", "10.0.0.5:0", "10.0.0.5:99999", "10.0.0.5:http"]
)
def test_what_is_no_network_is_refused_by_its_own_words(value: str) -> None:
    with pytest.raises(Invalid, match=value.partition("/")[0]):
        load({"LEEWARD_BUILD_NETWORKS": value})


def test_a_build_that_was_refused_by_a_rule_is_told_of_the_setting() -> None:
    said = ("WARNING: Retrying ... Failed to establish a new connection: [Errno 113] No route to host",)

    message, hint = explain("pip install", said, "exit code: 1")

    assert message == "the build may not reach a private network or this machine"
    assert "LEEWARD_BUILD_NETWORKS" in hint
