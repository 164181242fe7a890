"""Processes of the platform as text for supervisor and systemd, and what else the host decides."""

import configparser
import os
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import dict_of_key_value_pairs

from leeward.errors import Invalid
from leeward.host.engine import rule_removals
from leeward.host.packages import Decision, System, decide, services_kept_down, wanted
from leeward.host.units import (
    Program,
    dockerd,
    dockerd_config,
    environment,
    inherited,
    marked,
    supervisor_conf,
    systemd_unit,
    unit_name,
)
from leeward.settings import Settings, load

GOLDEN = Path(__file__).parents[1] / "golden"
SETTINGS = Settings(domain="example.com")
PROGRAMS = (
    Program(
        name="registry",
        argv=("/usr/bin/docker-registry", "serve", "/var/lib/leeward/registry/config.yml"),
        ready="tcp:127.0.0.1:5010",
        priority=200,
    ),
    Program(
        name="edge",
        argv=("/usr/sbin/nginx", "-c", "/var/lib/leeward/edge/nginx.conf", "-g", "daemon off;"),
        ready="unix:/var/lib/leeward/run/edge.sock",
        priority=300,
        stop_signal="QUIT",
        stop_group=False,
    ),
    Program(
        name="control",
        argv=("/opt/leeward/.venv/bin/lee", "daemon"),
        env=environment(SETTINGS),
        ready="unix:/var/lib/leeward/run/api.sock",
        priority=400,
        stamp="4f2a",
    ),
)


def same_as_golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def parsed(text: str) -> configparser.RawConfigParser:
    """As supervisor itself reads it."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    return parser


def test_the_supervisor_file_is_as_agreed() -> None:
    programs = [marked(program, SETTINGS) for program in (dockerd(SETTINGS), *PROGRAMS)]

    same_as_golden("host/supervisord.conf", supervisor_conf(SETTINGS, programs))


def test_the_systemd_units_are_as_agreed() -> None:
    units = [f"# {unit_name(p)}\n{systemd_unit(marked(p, SETTINGS))}" for p in PROGRAMS]

    same_as_golden("host/systemd.units", "\n".join(units))


word = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).filter(
    lambda text: not text.startswith((";", "#"))
)


@given(argv=st.lists(word, min_size=1, max_size=5), value=word.filter(lambda text: '"' not in text))
def test_supervisor_gets_the_words_and_variables_that_were_given(argv: list[str], value: str) -> None:
    program = Program(name="x", argv=tuple(argv), env={"KEY": value})

    section = parsed(supervisor_conf(SETTINGS, [program]))["program:x"]

    assert shlex.split(section["command"] % {}) == argv
    assert dict_of_key_value_pairs(section["environment"] % {}) == {"KEY": value.strip("'\"")}


def test_a_variable_that_supervisor_cannot_carry_is_refused() -> None:
    with pytest.raises(Invalid, match="'KEY'"):
        supervisor_conf(SETTINGS, [Program(name="x", argv=("x",), env={"KEY": 'a"b'})])


def test_a_home_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(Invalid, match="longer than"):
        supervisor_conf(Settings(home=Path("/tmp") / ("x" * 90)), PROGRAMS)


def test_stopping_the_engine_leaves_its_containers_alone() -> None:
    section = parsed(supervisor_conf(SETTINGS, [dockerd(SETTINGS)]))["program:dockerd"]

    assert (section["stopasgroup"], section["killasgroup"]) == ("false", "false")
    assert dockerd_config(SETTINGS)["live-restore"] is True
    assert "default-ulimits" not in dockerd_config(SETTINGS)


def test_the_engine_runs_from_where_the_machine_has_it() -> None:
    assert dockerd(SETTINGS, "/usr/bin/dockerd").argv[0] == "/usr/bin/dockerd"


def test_the_engine_keeps_layers_where_they_can_be_read() -> None:
    assert dockerd_config(SETTINGS)["features"] == {"buildkit": True, "containerd-snapshotter": False}


def test_every_program_starts_again_for_ever_and_its_log_is_bounded() -> None:
    parser = parsed(supervisor_conf(SETTINGS, PROGRAMS))

    for program in PROGRAMS:
        section = parser[f"program:{program.name}"]
        assert section["autorestart"] == "true"
        assert int(section["startretries"]) > 10**9
        assert section["stdout_logfile_maxbytes"] == "10MB"
    assert parser["unix_http_server"]["chmod"] == "0700"


def test_settings_reach_another_process_unchanged() -> None:
    settings = Settings(home=Path("/srv/lee"), https_port=8443, local_git=False, build_ca=Path("/etc/ca.pem"))

    assert load(environment(settings), Path("/nowhere")) == settings
    assert environment(Settings()) == {}


def test_the_platform_inherits_how_to_reach_registries_and_no_credentials() -> None:
    env = {"PATH": "/bin", "https_proxy": "p", "PIP_INDEX_URL": "i", "AWS_SECRET_ACCESS_KEY": "s", "LEEWARD_TOKEN": "t"}

    assert set(inherited(env)) == {"PATH", "https_proxy", "PIP_INDEX_URL"}


def test_a_new_stamp_changes_the_configuration() -> None:
    one, two = (marked(Program(name="x", argv=("x",), stamp=stamp), SETTINGS) for stamp in ("1", "2"))

    assert supervisor_conf(SETTINGS, [one]) != supervisor_conf(SETTINGS, [two])


FRESH = System(
    "debian",
    "12",
    available={p.name: "1" for p in wanted(System("debian", "12"))} | {"docker.io": "20.10.24+dfsg1-1"},
)


def test_a_fresh_debian_gets_everything() -> None:
    names = decide(FRESH).install

    assert {"docker.io", "nginx", "libnginx-mod-http-lua", "docker-registry", "mmdebstrap", "zstd"} <= set(names)
    assert "docker-buildx" not in names
    assert decide(FRESH).unavailable == ()


def test_nothing_is_installed_twice() -> None:
    system = System("debian", "12", frozenset(p.name for p in wanted(FRESH)), FRESH.available)

    assert decide(system) == Decision()


def test_an_engine_of_the_users_own_is_never_replaced() -> None:
    ce = System("debian", "12", frozenset({"docker-ce"}), FRESH.available)
    running = System("debian", "12", frozenset(), FRESH.available, docker_answers=True)

    assert "docker.io" not in decide(ce).install
    assert "docker.io" not in decide(running).install


def test_a_newer_docker_comes_with_its_build_plugin_and_client() -> None:
    available = {**FRESH.available, "docker.io": "26.1.5+dfsg1-9", "docker-buildx": "0.13", "docker-cli": "26.1.5"}

    assert {"docker-buildx", "docker-cli"} <= set(decide(System("debian", "13", available=available)).install)


def test_what_a_system_does_not_offer_is_named_or_done_without() -> None:
    available = {
        name: v
        for name, v in FRESH.available.items()
        if name not in ("libnginx-mod-http-brotli-filter", "libnginx-mod-http-lua")
    }

    decision = decide(System("ubuntu", "22.04", available=available))

    assert decision.unavailable == ("libnginx-mod-http-lua",)
    assert decision.skipped == ("libnginx-mod-http-brotli-filter",)


def test_the_policy_against_services_is_put_back_as_it_was(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    with services_kept_down(policy):
        assert "exit 101" in policy.read_text()
    assert not policy.exists()

    policy.write_text("mine")
    with pytest.raises(RuntimeError), services_kept_down(policy):
        raise RuntimeError
    assert policy.read_text() == "mine"


def test_only_our_own_chains_are_taken_out_of_the_packet_filter() -> None:
    listing = (
        "-P INPUT ACCEPT\n-N DOCKER\n-N LEEWARD-IN\n-A INPUT -i br-1 -j LEEWARD-IN\n"
        '-A INPUT -j DOCKER\n-A LEEWARD-IN -m comment --comment "a b" -j DROP\n'
    )

    assert rule_removals(listing) == (
        ("-D", "INPUT", "-i", "br-1", "-j", "LEEWARD-IN"),
        ("-F", "LEEWARD-IN"),
        ("-X", "LEEWARD-IN"),
    )
