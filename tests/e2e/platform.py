"""A whole platform of its own for the end-to-end tests, beside any other on this machine."""

import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

LEE = Path(sys.executable).parent / "lee"
DOCKER = "/usr/bin/docker"
APPS = Path(__file__).parent / "apps"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# A second run beside the first takes another number: its ports, addresses and home differ.
NUMBER = int(os.environ.get("LEEWARD_E2E_NUMBER", "0"))
HTTP_PORT, HTTPS_PORT, REGISTRY_PORT = 18080 + NUMBER, 18443 + NUMBER, 15020 + NUMBER
FINAL = ("live", "failed", "cancelled", "superseded")

T = TypeVar("T")


@dataclass
class Answer:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


@dataclass
class Reply:
    """What the edge answered."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The body's one object."""
        return json.loads(self.body)


class _Tls(http.client.HTTPSConnection):
    """HTTPS to this machine, whatever the name resolves to; the certificate must be of that name."""

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


@dataclass
class Platform:
    """One home, its ports, and the commands against it."""

    home: Path
    domain: str = "lee.localhost"
    more: dict[str, str] = field(default_factory=dict)
    up_answer: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            **os.environ,
            "LEEWARD_HOME": str(self.home),
            "LEEWARD_HTTP_PORT": str(HTTP_PORT),
            "LEEWARD_HTTPS_PORT": str(HTTPS_PORT),
            "LEEWARD_REGISTRY": f"127.0.0.1:{REGISTRY_PORT}",
            "LEEWARD_BIND": "127.0.0.1",
            "LEEWARD_TRUST_CA": "false",
            # Small bounds, so that going over them takes seconds.
            "LEEWARD_UPLOAD_MAX_MIB": "64",
            "LEEWARD_UPLOAD_MAX_FILES": "5000",
            "LEEWARD_BUILD_MEMORY_MIB": "2048",
            "LEEWARD_BUILD_PIDS": "768",
            "LEEWARD_BUILD_DISK_MIB": "2048",
            "LEEWARD_LOGS_MIB": "8",
            # What takes minutes for people takes seconds here.
            "LEEWARD_SCALE_S": "2",
            "LEEWARD_SCALE_DOWN_S": "6",
            "LEEWARD_NETWORK_POOL": f"10.{213 + NUMBER}.0.0/16",
            **self.more,
        }

    def lee(self, *arguments: str | Path, timeout_s: float = 600, cwd: Path | None = None, stdin: str = "") -> Answer:
        """Run `lee`."""
        done = subprocess.run(
            [str(LEE), *map(str, arguments)],
            env=self.env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            input=stdin,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str | Path, cwd: Path | None = None, timeout_s: float = 600) -> Any:
        """Run `lee … --json` that must end well; its object."""
        answer = self.lee(*arguments, "--json", cwd=cwd, timeout_s=timeout_s)
        assert answer.code == 0, (
            f"lee {' '.join(map(str, arguments))}: {answer.code}\n{answer.out}\n{answer.err[-3000:]}"
        )
        return answer.json

    def up(self) -> None:
        """Start everything; the examples are deployed too."""
        answer = self.lee("up", "--json", timeout_s=1500)
        assert answer.code == 0, f"lee up: {answer.code}\n{answer.out}\n{answer.err[-2000:]}"
        self.up_answer = answer.json

    def purge(self) -> None:
        """Remove everything."""
        self.lee("down", "--purge", timeout_s=300)
        shutil.rmtree(self.home, ignore_errors=True)

    def get(self, app: str, path: str = "/", *, headers: Sequence[str] = ()) -> tuple[int, str]:
        """Status and body of a request through the edge."""
        host = f"{app}.{self.domain}"
        more = [part for header in headers for part in ("-H", header)]
        done = subprocess.run(
            [
                "curl",
                "-sk",
                "--max-time",
                "20",
                "--resolve",
                f"{host}:{HTTPS_PORT}:127.0.0.1",
                *more,
                "-w",
                "\n%{http_code}",
                f"https://{host}:{HTTPS_PORT}{path}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    @property
    def ca(self) -> Path:
        """The root certificate of this home."""
        return self.home / "keys" / "root.pem"

    @property
    def token(self) -> str:
        """The first admin's token."""
        return (self.home / "admin.token").read_text().strip()

    @property
    def label(self) -> str:
        """What every container and network of this home is labelled with."""
        return f"leeward.home={hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:8]}"

    def ask(
        self,
        app: str,
        path: str = "/",
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Reply:
        """One request through the edge over TLS that verifies."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = _Tls(f"{app}.{self.domain}", HTTPS_PORT, timeout=timeout_s, context=context)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def api(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Reply:
        """One request of the API through the edge; `token` is the admin's unless another, or '', is given."""
        token = self.token if token is None else token
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if body is not None and not isinstance(body, bytes):
            sent["Content-Type"] = "application/json"
        return self.ask("console", path, method, data, sent)

    def ended(self, deploy: str, timeout_s: float = 180) -> Any:
        """A deploy, once it is final."""
        return until(
            lambda: next(
                (d for d in [self.api("GET", f"/v1/deploys/{deploy}").json] if d.get("status") in FINAL), None
            ),
            timeout_s,
            f"deploy {deploy} did not end",
        )

    def gone(self, *apps: str) -> None:
        """Have no app of these names, whatever an earlier run left."""
        for app in apps:
            if self.api("DELETE", f"/v1/apps/{app}").status != 404:
                until(partial(self._absent, app), 60, f"'{app}' is still there")

    def _absent(self, app: str) -> bool:
        return self.api("GET", f"/v1/apps/{app}").status == 404

    def instances(self, app: str, state: str = "") -> list[Any]:
        """What runs of an app; only what is in one state."""
        return [i for i in self.ok("ps", app) if not state or i["state"] == state]

    def containers(self, app: str = "") -> list[str]:
        """Ids of the running containers of this home, or of one app of it."""
        mine = ["--filter", f"label=leeward.app={app}"] if app else []
        return docker("ps", "-q", "--no-trunc", "--filter", f"label={self.label}", *mine).split()

    def control_pid(self) -> int:
        """The control plane's process."""
        return self.pid("control")

    def pid(self, program: str) -> int:
        """The process of one of the platform's programs: edge, registry, control, dockerd."""
        config = self.home / "supervisor" / "supervisord.conf"
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(config), "pid", program]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def wait_for_control(self, timeout_s: float = 30) -> None:
        """Until the API answers again."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.lee("whoami", "--json").code == 0:
                return
            time.sleep(0.2)
        raise AssertionError("the control plane does not answer")


def docker(*arguments: str, timeout_s: float = 60) -> str:
    """What the docker client prints."""
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True, timeout=timeout_s, check=True)
    return done.stdout


def until(ask: Callable[[], T | None], timeout_s: float, otherwise: str, pause_s: float = 0.1) -> T:
    """The first answer that is not empty."""
    deadline = time.monotonic() + timeout_s
    while True:
        if answer := ask():
            return answer
        assert time.monotonic() < deadline, otherwise
        time.sleep(pause_s)


def copied(app: str, into: Path) -> Path:
    """A copy of one of the test apps, to be changed."""
    target = into / app
    shutil.copytree(APPS / app, target, dirs_exist_ok=True)
    return target


def change(tree: Path, old: str, new: str, file: str = "main.py") -> None:
    """Replace a text in a file of a tree, where it must stand."""
    path = tree / file
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))
