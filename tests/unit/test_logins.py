"""Which registry an image's name means."""

import base64
import json

import pytest

from leeward.model.login import DEFAULT_HOST, Login, client_config, host_of, plain_host
from leeward.model.secret import Secret


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("nginx", "docker.io"),
        ("team/app:1", "docker.io"),
        ("ghcr.io/team/app@sha256:00", "ghcr.io"),
        ("localhost/app", "localhost"),
        ("registry.example.com:5000/app:1", "registry.example.com:5000"),
        ("app:1", "docker.io"),
        (f"index.{DEFAULT_HOST}/team/app", DEFAULT_HOST),
    ],
)
def test_the_registry_of_an_image_is_read_as_docker_reads_it(image: str, host: str) -> None:
    assert host_of(image) == host


def test_a_host_is_kept_without_what_people_paste_around_it() -> None:
    assert plain_host(" https://GHCR.io/team/ ") == "ghcr.io"


def test_a_login_prints_no_password() -> None:
    assert "swordfish" not in repr(Login("ghcr.io", "ada", Secret("swordfish")))


def test_the_docker_client_is_signed_in_by_host_and_the_usual_one_has_its_own_name() -> None:
    logins = [Login("ghcr.io", "ada", Secret("pw")), Login(DEFAULT_HOST, "bob", Secret("x"))]

    auths = json.loads(client_config(logins))["auths"]

    assert list(auths) == ["ghcr.io", f"https://index.{DEFAULT_HOST}/v1/"]
    assert base64.b64decode(auths["ghcr.io"]["auth"]) == b"ada:pw"
