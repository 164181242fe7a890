"""Strangers get nothing, readers change nothing, secrets stay secret, and archives stay inside."""

import gzip
import io
import json
import re
import secrets
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import DOCKER, Platform, change, copied, docker, until

SECRET = "hunter2-of-the-end-to-end-tests"
OTHER_SECRET = "correct-horse-of-the-end-to-end-tests"
# These have keys of their own, or tell nothing.
OPEN = ("/healthz", "/v1/sessions", "/hooks/")


@pytest.fixture(scope="module")
def vault(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with secrets of both kinds, built from a Dockerfile that uses one; its tree."""
    platform.gone("vault", "archived")
    tree = copied("probe", tmp_path_factory.mktemp("vault"))
    change(tree, "name: probe", "name: vault", "leeward.yaml")
    platform.ok("apps", "create", "vault")
    for key, value in (("API_KEY", SECRET), ("BUILD_KEY", OTHER_SECRET)):
        assert platform.lee("env", "set", "vault", key, "--secret", stdin=value + "\n").code == 0
    (tree / "Dockerfile").write_text(
        "FROM python:3.11-slim\n"
        'RUN --mount=type=secret,id=BUILD_KEY test -n "$(cat /run/secrets/BUILD_KEY)" && cat /run/secrets/BUILD_KEY'
        f" # {secrets.token_hex(6)}, so that no earlier run has this step in the cache\n"
        "COPY main.py /app/main.py\n"
        'USER 1000\nCMD ["python3", "/app/main.py"]\n'
    )
    platform.ok("deploy", tree)
    return tree


def operations(platform: Platform) -> Iterator[tuple[str, str]]:
    """Every method and path of the API, filled in."""
    paths = platform.api("GET", "/openapi.json").json["paths"]
    for path, methods in paths.items():
        if not path.startswith(OPEN):
            for method in methods:
                filled = path.replace("{app}", "vault").replace("{number}", "1")
                yield method.upper(), re.sub(r"\{\w+\}", "0" * 21, filled)


# --- who may ask ------------------------------------------------------------------------------------------


def test_nothing_is_answered_without_a_token_or_with_a_wrong_one(platform: Platform, vault: Path) -> None:
    asked = list(operations(platform))

    wrong = [
        (method, path, token, answer.status)
        for method, path in asked
        for token in ("", "lee_wrong", "x" * 300)
        if (answer := platform.api(method, path, {} if method != "GET" else None, token)).status != 401
        and path != "/openapi.json"
    ]

    assert len(asked) > 25
    assert wrong == []


def test_a_token_that_may_only_read_changes_nothing(platform: Platform, vault: Path) -> None:
    made = platform.ok("tokens", "create", "looker", "--scope", "read")
    before = platform.ok("apps", "list")

    changing = [operation for operation in operations(platform) if operation[0] != "GET"]
    allowed = [
        (method, path, answer.status)
        for method, path in changing
        if (answer := platform.api(method, path, {}, made["token"])).status < 400
    ]
    refused = {
        (method, path): platform.api(method, path, body, made["token"]).status
        for method, path, body in (
            ("POST", "/v1/apps/vault/deploys", {}),
            ("POST", "/v1/apps/vault/rollback", {}),
            ("POST", "/v1/apps/vault/restart", {}),
            ("PUT", "/v1/apps/vault/scale", {"processes": {"web": 3}}),
            ("PATCH", "/v1/apps/vault/env", {"set": {"A": "b"}}),
            ("POST", "/v1/apps/vault/exec", {"command": ["id"]}),
            ("DELETE", "/v1/apps/vault", None),
            ("POST", "/v1/apps", {"name": "other"}),
            ("POST", "/v1/apps/vault/hook", {}),
            ("POST", "/v1/tokens", {"name": "more", "scope": "admin"}),
            ("POST", "/v1/uploads?app=vault", b"x"),
        )
    }
    reading = platform.api("GET", "/v1/apps/vault", token=made["token"]).status

    assert allowed == []
    assert set(refused.values()) == {403}, refused
    assert reading == 200
    assert platform.ok("apps", "list") == before
    platform.ok("tokens", "revoke", made["id"])
    assert platform.api("GET", "/v1/apps/vault", token=made["token"]).status == 401


def test_a_token_that_may_deploy_makes_no_admin_and_deletes_nothing(platform: Platform, vault: Path) -> None:
    made = platform.ok("tokens", "create", "deployer", "--scope", "deploy")

    answers = (
        platform.api("POST", "/v1/tokens", {"name": "more", "scope": "admin"}, made["token"]),
        platform.api("DELETE", "/v1/apps/vault", None, made["token"]),
        platform.api("POST", "/v1/apps/vault/hook", {}, made["token"]),
    )

    assert [answer.status for answer in answers] == [403, 403, 403]
    platform.ok("tokens", "revoke", made["id"])


def test_a_page_of_another_site_changes_nothing_with_a_session(platform: Platform) -> None:
    name = json.loads(platform.lee("whoami", "--json").out)["name"]
    password = (platform.home / "admin.password").read_text().strip()

    def signed_in() -> str:
        answer = platform.api("POST", "/v1/sessions", {"name": name, "password": password}, "")
        return answer.headers["set-cookie"].split(";")[0] if answer.status == 201 else ""

    # The wrong sign-ins of the test before may cost this address a while.
    cookie = until(signed_in, 60, "the admin cannot sign in", pause_s=2)
    with_site = {"Cookie": cookie, "Sec_Fetch_Site": "cross-site"}

    assert platform.api("GET", "/v1/whoami", token="", Cookie=cookie).status == 200
    assert platform.api("POST", "/v1/apps", {"name": "forged"}, "", **with_site).status == 403
    assert (
        platform.api("POST", "/v1/apps", {"name": "forged"}, "", Cookie=cookie, Origin="https://evil.example").status
        == 403
    )
    assert platform.api("GET", "/v1/apps/forged").status == 404


def test_wrong_sign_ins_have_to_wait_longer_and_longer(platform: Platform) -> None:
    def attempt() -> Any:
        return platform.api("POST", "/v1/sessions", {"name": "nobody-here", "password": "wrong"}, "")

    answers = [attempt() for _ in range(7)]

    assert {answer.status for answer in answers[:5]} == {401}
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


# --- secrets ----------------------------------------------------------------------------------------------


def test_a_secret_is_in_no_image_log_event_answer_or_file(platform: Platform, vault: Path) -> None:
    env = platform.ask("vault", "/env").json
    image = platform.ok("apps", "show", "vault")["image"]
    deploy = platform.ok("releases", "vault")[0]["deploy"]

    seen = {
        "image": docker("inspect", image),
        "history": docker("history", "--no-trunc", image),
        "build log": platform.lee("logs", "vault", "--build", deploy).out,
        "log": platform.lee("logs", "vault").out,
        "events": platform.lee("events", "vault", "--json").out,
        "env": platform.lee("env", "list", "vault", "--json").out,
        **{
            path: platform.api("GET", path).text
            for method, path in operations(platform)
            if method == "GET" and not path.endswith(("/stream", "/events", "/exec"))
        },
    }

    assert env["API_KEY"] == SECRET
    assert "********" in seen["build log"]
    for secret in (SECRET, OTHER_SECRET):
        assert [place for place, text in seen.items() if secret in text] == []
        found = subprocess.run(
            ["grep", "-rlF", "--devices=skip", secret, str(platform.home)], capture_output=True, text=True, check=False
        )
        assert found.stdout == ""


def test_a_secret_is_in_no_layer_of_the_image(platform: Platform, vault: Path) -> None:
    image = platform.ok("apps", "show", "vault")["image"]
    saved = subprocess.run([DOCKER, "save", image], capture_output=True, check=True).stdout

    with tarfile.open(fileobj=io.BytesIO(saved)) as whole:
        parts = [whole.extractfile(member) for member in whole if member.isfile()]
        bodies = [part.read() for part in parts if part is not None]

    assert bodies
    assert not any(secret.encode() in body for body in bodies for secret in (SECRET, OTHER_SECRET))


def test_a_secret_is_in_no_argument_and_no_environment_of_the_platform(platform: Platform, vault: Path) -> None:
    places = []
    for pid in {platform.pid(program) for program in ("control", "edge", "registry")}:
        for file in ("cmdline", "environ"):
            content = Path(f"/proc/{pid}/{file}").read_bytes()
            places += [(pid, file) for secret in (SECRET, platform.token) if secret.encode() in content]

    assert places == []


def test_keys_and_tokens_are_files_of_root_only(platform: Platform) -> None:
    for name in ("admin.token", "admin.password", "cli.toml", "leeward.db"):
        assert stat.S_IMODE((platform.home / name).stat().st_mode) & 0o077 == 0, name
    assert stat.S_IMODE((platform.home / "keys").stat().st_mode) == 0o700
    assert platform.token.encode() not in (platform.home / "leeward.db").read_bytes()


# --- archives ---------------------------------------------------------------------------------------------


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return out.getvalue()


def member(name: str, content: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


MAIN = member("main.py", b"print('hello')\n")
ATTACKS = {
    "a path with '..'": packed(MAIN, member("../../../../../../tmp/leeward-e2e-escaped", b"x")),
    "an absolute path": packed(MAIN, member("/tmp/leeward-e2e-escaped", b"x")),
    "a link out": packed(MAIN, member("out", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a file through a link": packed(
        member("out", type=tarfile.SYMTYPE, linkname="/tmp"), member("out/leeward-e2e-escaped", b"x"), MAIN
    ),
    "a hard link out": packed(MAIN, member("out", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
    "a device": packed(MAIN, member("disk", type=tarfile.BLKTYPE, devmajor=254, devminor=0)),
    "a fifo": packed(MAIN, member("pipe", type=tarfile.FIFOTYPE)),
    "a bomb": packed(MAIN, member("zeros", bytes(80 * 1024 * 1024))),
    "too many files": packed(MAIN, *(member(f"f{number}") for number in range(5100))),
    "no archive": gzip.compress(b"not a tar file" * 100),
    "half an archive": packed(MAIN, member("data", bytes(range(256)) * 4000))[:-300],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_archive_is_refused_and_touches_nothing(platform: Platform, vault: Path, attack: str) -> None:
    sent = platform.api("POST", "/v1/uploads?app=archived", ATTACKS[attack])
    told = sent.json
    if sent.status == 201:
        started = platform.api("POST", "/v1/apps/archived/deploys", {"upload": told["upload"]})
        ended = platform.ended(started.json["id"])
        assert (ended["status"], ended["step"]) == ("failed", "fetch"), (attack, ended["error"])
        told = ended["error"]

    assert sent.status < 500
    assert told["hint"] and "Traceback" not in json.dumps(told)
    assert not Path("/tmp/leeward-e2e-escaped").exists()
    assert platform.api("GET", "/v1/whoami").status == 200


def test_an_upload_that_is_too_large_is_cut_off(platform: Platform) -> None:
    # Random enough that it stays as large when packed.
    body = gzip.compress(bytes(1024), 1) + bytes(70 * 1024 * 1024)

    try:
        status = platform.api("POST", "/v1/uploads?app=archived", body).status
    except (BrokenPipeError, ConnectionResetError):
        status = 413

    assert status == 413
    assert list((platform.home / "sources" / "uploads").glob("*.part")) == []
