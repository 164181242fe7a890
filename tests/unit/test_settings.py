"""What an operator sets, and what is said when it is wrong."""

from pathlib import Path

import pytest

from leeward.errors import Invalid
from leeward.host.machine import Machine
from leeward.settings import Settings, load

NOWHERE = Path("/nonexistent/config.toml")


def problems(env: dict[str, str], file: Path = NOWHERE) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(env, file)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEEWARD_HOME", "here/it/is", "'here/it/is' is not an absolute path: write it like '/var/lib/leeward'"),
        ("LEEWARD_DOMAIN", "bad domain!", "'bad domain!' is not a domain: write it like 'apps.example.com'"),
        ("LEEWARD_DOMAIN", "Example.com", "'Example.com' is not a domain"),
        ("LEEWARD_BIND", "everywhere", "'everywhere' is not an address of a machine: write it like '0.0.0.0'"),
        ("LEEWARD_NETWORK_POOL", "bogus", "'bogus' is not a network of /23 or larger: write it like '10.211.0.0/16'"),
        ("LEEWARD_NETWORK_POOL", "10.211.0.0/29", "'10.211.0.0/29' is not a network of /23 or larger"),
        ("LEEWARD_REGISTRY", "zzz", "'zzz' has no port: write it like '127.0.0.1:5010'"),
        ("LEEWARD_BUILD_NETWORKS", "x", "'x' is no network: write '10.1.0.0/16' or '10.0.0.5:3128'"),
        ("LEEWARD_BUILDS", "99", "input should be less than or equal to 16, not '99'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_to_write(name: str, value: str, said: str) -> None:
    (found,) = problems({name: value})

    assert found.startswith(f"{name}: {said}")


def test_all_wrong_settings_are_named_at_once() -> None:
    assert len(problems({"LEEWARD_HTTP_PORT": "abc", "LEEWARD_BIND": "x", "LEEWARD_BUILDS": "0"})) == 3


def test_a_key_of_the_file_that_is_no_setting_gets_a_guess(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("http_prot = 80\n")

    with pytest.raises(Invalid) as caught:
        load({}, file)

    assert caught.value.problems[0].hint == "did you mean 'http_port'?"


@pytest.mark.parametrize("domain", ["lee.localhost", "localhost", "apps.example.com", "10.0.0.1.nip.io"])
def test_every_domain_that_can_be_served_may_be_set(domain: str) -> None:
    assert load({"LEEWARD_DOMAIN": domain}, NOWHERE).domain == domain


def test_a_registry_of_somebody_else_needs_no_port() -> None:
    env = {"LEEWARD_REGISTRY": "registry.example.com/team", "LEEWARD_REGISTRY_EMBEDDED": "false"}

    assert load(env, NOWHERE).registry == "registry.example.com/team"


def test_a_home_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Invalid, match=r"the home '.+/file/home' could not be made: not a directory"):
        Machine(Settings(home=tmp_path / "file" / "home")).folders()
