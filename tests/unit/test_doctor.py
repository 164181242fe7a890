"""What the doctor says of a machine."""

from dataclasses import replace

import pytest

from leeward.host.doctor import judge
from leeward.host.facts import Docker, Facts
from leeward.host.packages import Decision
from leeward.settings import misspelt

WELL = Facts(
    docker=Docker("20.10", "2", "systemd", "overlay2", True),
    ports={80: "", 443: ""},
    memory_mib=4096,
    memory_free_mib=3000,
    disk_free_mib=50_000,
    disk_percent=40.0,
    addresses=("127.0.0.1",),
    features={"cgroups": True},
    forward_policy="DROP",
    parts={"registry": True, "edge": True, "control": True},
    platform_up=True,
    home="/var/lib/leeward",
)


def test_a_healthy_machine_has_no_complaint_and_no_hint() -> None:
    findings = judge(WELL)

    assert [finding for finding in findings if not finding.ok] == []
    assert {finding.hint for finding in findings} == {""}


@pytest.mark.parametrize(
    ("facts", "name", "text"),
    [
        (replace(WELL, root=False), "root", "does not run as root"),
        (replace(WELL, os="alpine", os_version="3"), "system", "alpine 3"),
        (replace(WELL, arch="riscv64"), "processor", "riscv64"),
        (replace(WELL, memory_mib=512), "memory", "512 MiB"),
        (replace(WELL, disk_free_mib=1024), "disk", "1 GiB free"),
        (replace(WELL, disk_percent=97.0), "disk", "97 % used"),
        (replace(WELL, year=1970), "clock", "1970"),
        (replace(WELL, packages=Decision(install=("nginx",))), "packages", "missing: nginx"),
        (replace(WELL, docker=Docker(problem="no such file")), "docker", "no such file"),
        (replace(WELL, docker=replace(WELL.docker, live_restore=False)), "live-restore", "apps stop"),
        (replace(WELL, features={"cgroups": False}), "kernel", "lacks: cgroups"),
        (replace(WELL, ports={80: "apache2 (pid 7)"}), "port 80", "held by 'apache2 (pid 7)'"),
        (replace(WELL, addresses=()), "names", "'*.lee.localhost' does not resolve"),
        (replace(WELL, parts={"edge": False}), "edge", "does not answer"),
        (replace(WELL, home_writable=False), "home", "/var/lib/leeward"),
        (
            replace(WELL, misspelt={"LEEWARD_HTPS_PORT": "LEEWARD_HTTPS_PORT"}),
            "settings",
            "no setting: 'LEEWARD_HTPS_PORT' (did you mean LEEWARD_HTTPS_PORT?)",
        ),
    ],
)
def test_each_trouble_is_one_finding_with_a_next_step(facts: Facts, name: str, text: str) -> None:
    [finding] = [finding for finding in judge(facts) if not finding.ok]

    assert finding.name == name
    assert text in finding.text
    assert finding.hint


def test_ports_that_our_own_edge_holds_are_fine() -> None:
    facts = replace(WELL, ports={80: "nginx (pid 7)"}, ports_ours=frozenset({80}))

    assert all(finding.ok for finding in judge(facts))


def test_only_what_is_nearly_a_setting_is_taken_for_a_misspelt_one() -> None:
    others = ["LEEWARD_HTTPS_PORT", "LEEWARD_TOKEN", "LEEWARD_URL", "LEEWARD_DEBUG", "PATH", "LEEWARD_"]

    assert misspelt([*others, "LEEWARD_HTPS_PORT"]) == {"LEEWARD_HTPS_PORT": "LEEWARD_HTTPS_PORT"}
