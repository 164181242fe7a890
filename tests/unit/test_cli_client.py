"""How `lee` reaches a platform, and what it says when it cannot."""

import datetime
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.cli_stage import PROBLEM, Answer, Stage, staged

from leeward.cli import config
from leeward.cli.client import events
from leeward.cli.config import Config
from leeward.cli.main import main
from leeward.errors import Invalid


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("LEEWARD_URL", "LEEWARD_TOKEN", "LEEWARD_CA", "LEEWARD_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def stage(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged() as stage:
        monkeypatch.setenv("LEEWARD_URL", stage.url)
        monkeypatch.setenv("LEEWARD_TOKEN", "lee_1")
        yield stage


def only_numbers(host: str | bytes, *more: Any, **named: Any) -> Any:
    """A resolver that knows no name at all."""
    if str(host) != "127.0.0.1":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", more[0]))]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_platform_that_is_not_there_exits_3_with_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("LEEWARD_URL", url)

    code = main(["apps", "list", "--json"])

    error = json.loads(capsys.readouterr().out)["error"]
    assert code == 3
    assert error["message"] == f"the platform at '{url}' could not be reached"
    assert "`lee doctor`" in error["hint"]
    assert "`lee up`" in error["hint"]


def test_people_read_errors_on_stderr_and_nothing_on_stdout(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEEWARD_URL", f"http://127.0.0.1:{free_port()}")

    main(["apps", "list"])

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: the platform at ")
    assert "\n  hint: " in err


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "invalid", 2),
        (401, "unauthorized", 2),
        (403, "forbidden", 2),
        (404, "not-found", 2),
        (409, "conflict", 1),
        (413, "too-large", 2),
        (422, "invalid", 2),
        (429, "too-many", 1),
        (500, "error", 1),
        (503, "unavailable", 3),
    ],
)
def test_every_failure_of_the_api_has_its_exit_code(
    stage: Stage, capsys: pytest.CaptureFixture[str], status: int, code: str, exit_code: int
) -> None:
    problem = {"code": code, "title": "T", "detail": "it is 'so'", "hint": "do that", "problems": []}
    stage.on("GET", "/v1/apps", problem, status)

    assert main(["apps", "list", "--json"]) == exit_code

    assert json.loads(capsys.readouterr().out) == {"error": {"code": code, "message": "it is 'so'", "hint": "do that"}}


def test_every_problem_of_a_request_is_shown_with_its_hint(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    problems = [
        {"path": "processes/webb", "message": "there is no process 'webb'", "hint": "did you mean 'web'?"},
        {"path": "size", "message": "must be one of nano, micro", "hint": ""},
    ]
    stage.on("PUT", "/v1/apps/shop/scale", {"code": "invalid", "detail": "two", "problems": problems}, 422)

    assert main(["scale", "shop", "webb=1", "--size", "huge"]) == 2

    assert capsys.readouterr().err.splitlines() == [
        "Error: processes/webb: there is no process 'webb'",
        "  hint: did you mean 'web'?",
        "Error: size: must be one of nano, micro",
    ]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_edge_without_a_control_plane_behind_it_is_a_platform_out_of_reach(stage: Stage, status: int) -> None:
    stage.routes["GET", "/v1/apps"] = lambda _talk, _asked: Answer(status, "<html></html>", "text/html")

    assert main(["apps", "list"]) == 3


def test_a_broken_connection_exits_3(stage: Stage) -> None:
    stage.routes["GET", "/v1/apps"] = lambda talk, _asked: talk.drop()

    assert main(["apps", "list"]) == 3


def test_another_web_site_is_told_from_a_platform(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.routes["GET", "/v1/apps"] = lambda _talk, _asked: Answer(200, "<html></html>", "text/html")

    assert main(["apps", "list"]) == 2

    assert "does not answer like a platform" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["deplyo"], "deplyo"),
        (["apps", "lst"], "lst"),
        (["deploy", "--nope"], "--nope"),
        (["releases"], "APP is missing"),
        (["logs", "shop", "-n", "many"], "many"),
        (["completion", "tcsh"], "tcsh"),
        (["scale", "shop"], "nothing to change"),
        (["scale", "shop", "web"], "'web' is not"),
        (["rollback", "shop", "latest"], "'latest'"),
        (["env", "set", "shop", "1X=2", "Y"], "'1X'"),
        (["exec", "shop"], "no command"),
    ],
)
def test_a_request_that_is_wrong_exits_2_before_anything_is_sent(
    stage: Stage, capsys: pytest.CaptureFixture[str], argv: list[str], word: str
) -> None:
    assert main([*argv, "--json"]) == 2

    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert word in error["message"]
    assert error["hint"]
    assert err == ""
    assert stage.asked == []


def test_hosts_below_localhost_are_this_machine_and_keep_their_name(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEEWARD_URL", f"http://console.nobody-knows-this.localhost:{stage.port}")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
    stage.on("GET", "/v1/apps", {"items": [], "next": ""})

    assert main(["apps", "list"]) == 0

    assert stage.asked[0].headers["host"] == f"console.nobody-knows-this.localhost:{stage.port}"


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context for a certificate that only its own file vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem


def test_tls_is_checked_against_the_given_ca_and_the_servers_own_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context, ca = certificate(home, "console.lee.localhost")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with staged(tls=context) as stage:
        stage.on("GET", "/v1/apps", {"items": [], "next": ""})
        monkeypatch.setenv("LEEWARD_URL", f"https://console.lee.localhost:{stage.port}")

        untrusted = main(["apps", "list"])
        said = capsys.readouterr().err
        monkeypatch.setenv("LEEWARD_CA", str(ca))
        trusted = main(["apps", "list"])
        monkeypatch.setenv("LEEWARD_URL", f"https://other.lee.localhost:{stage.port}")
        misnamed = main(["apps", "list"])

    assert (untrusted, trusted, misnamed) == (3, 0, 3)
    assert "not trusted" in said
    assert "LEEWARD_CA" in said
    assert names == ["console.lee.localhost", "console.lee.localhost", "other.lee.localhost"]


def test_a_ca_file_that_is_none_exits_2(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("LEEWARD_URL", "https://console.lee.localhost:1")
    monkeypatch.setenv("LEEWARD_CA", str(home / "ca.pem"))

    assert main(["apps", "list"]) == 2


def test_variables_win_over_the_users_file_which_wins_over_the_machines(home: Path) -> None:
    machine = home / "machine.toml"
    config.save(Config("https://machine.example.com", "m"), machine)
    env = {"HOME": str(home)}

    of_machine = config.load(env, machine)
    config.save(Config("https://user.example.com", "u", Path("/ca.pem")), config.user_file(env))
    of_user = config.load(env, machine)
    of_both = config.load({**env, "LEEWARD_TOKEN": "e", "LEEWARD_CA": "/other.pem"}, machine)

    assert of_machine == Config("https://machine.example.com", "m")
    assert of_user == Config("https://user.example.com", "u", Path("/ca.pem"))
    assert of_both == Config("https://user.example.com", "e", Path("/other.pem"))


def test_a_platform_in_another_home_comes_before_the_files(home: Path) -> None:
    config.save(Config("https://user.example.com", "u"), config.user_file({"HOME": str(home)}))
    config.save(Config("https://here.lee.localhost", "h"), home / "lw" / "cli.toml")

    assert config.load({"HOME": str(home), "LEEWARD_HOME": str(home / "lw")}, home / "no").token == "h"


def test_a_token_from_a_file_is_shown_to_its_own_platform_only(home: Path) -> None:
    env = {"HOME": str(home)}
    config.save(Config("https://mine.example.com", "secret"), config.user_file(env))

    same = config.load({**env, "LEEWARD_URL": "https://mine.example.com:443/"}, home / "no")
    other = config.load({**env, "LEEWARD_URL": "https://evil.example.com"}, home / "no")

    assert same.token == "secret"
    assert other.token == ""


def test_without_any_configuration_the_platform_of_this_machine_is_meant(home: Path) -> None:
    (home / "lw").mkdir()
    (home / "lw" / "admin.token").write_text("lee_admin\n")
    env = {"HOME": str(home), "LEEWARD_HOME": str(home / "lw"), "LEEWARD_HTTPS_PORT": "8443"}

    found = config.load(env, home / "no")

    assert found == Config("https://console.lee.localhost:8443", "lee_admin")


@pytest.mark.parametrize(
    "url", ["https://x:abc", "https://[::1", "example.com", "ftp://x", "http://console.example.com", "https://"]
)
def test_urls_that_are_none_or_would_show_the_token_to_all_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        config.checked(url)


def test_login_looks_at_the_token_and_keeps_it_where_only_its_owner_reads(
    stage: Stage, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.on("GET", "/v1/whoami", {"name": "ada", "scope": "admin", "token": "laptop"})
    monkeypatch.delenv("LEEWARD_URL")
    monkeypatch.delenv("LEEWARD_TOKEN")

    assert main(["login", stage.url + "/", "--token", "lee_new", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "ada"
    assert main(["whoami"]) == 0

    file = home / ".config" / "leeward" / "cli.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert stage.asked[-1].headers["authorization"] == "Bearer lee_new"
    assert "ada" in capsys.readouterr().out


def test_a_wrong_token_is_not_kept(stage: Stage, home: Path) -> None:
    stage.on("GET", "/v1/whoami", {"code": "wrong-token", "detail": "the token is wrong"}, 401)

    assert main(["login", stage.url, "--token", "lee_bad"]) == 2

    assert not (home / ".config" / "leeward" / "cli.toml").exists()


def test_lists_are_read_page_by_page(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    pages = {"": ([{"name": "a"}], "a"), "a": ([{"name": "b"}], "")}

    def page(_talk: object, asked: object) -> Answer:
        items, after = pages[asked.query.get("after", "")]  # type: ignore[attr-defined]
        return Answer(200, {"items": items, "next": after})

    stage.routes["GET", "/v1/apps"] = page

    main(["apps", "list", "--json"])

    assert [app["name"] for app in json.loads(capsys.readouterr().out)] == ["a", "b"]


def test_names_cannot_leave_their_place_in_the_url(stage: Stage) -> None:
    main(["apps", "show", "../tokens?x=#"])

    assert stage.asked[0].path == "/v1/apps/..%2Ftokens%3Fx%3D%23"


def test_events_are_read_with_comments_and_several_lines_of_data() -> None:
    lines = [
        ": still here",
        "",
        "event: log",
        'data: {"text":',
        'data: "x"}',
        "id: 7",
        "",
        "data: plain",
        "",
        "data: cut",
    ]

    assert [tuple(event) for event in events(lines)] == [("log", {"text": "x"}, "7"), ("message", "plain", "7")]


def test_a_problem_that_is_no_json_is_still_a_failure(stage: Stage) -> None:
    stage.routes["GET", "/v1/apps"] = lambda _talk, _asked: Answer(500, "oh", PROBLEM)

    assert main(["apps", "list"]) == 1


def test_json_of_another_service_is_told_from_a_platform(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.on("GET", "/v1/apps", {"detail": "Not Found"}, 404)

    assert main(["apps", "list"]) == 2
    assert "does not answer like a platform (status 404)" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["lee_a\nb", "l\u00fcee", "lee x"])
def test_a_token_that_no_header_can_hold_is_wrong_and_is_not_shown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    monkeypatch.setenv("LEEWARD_TOKEN", token)

    assert main(["apps", "list"]) == 2

    said = capsys.readouterr().err
    assert "the token holds characters that no token has" in said and token not in said
    assert not stage.asked
