"""A whole platform of its own for the end-to-end tests, beside any other on this machine."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEE = Path(sys.executable).parent / "lee"
APPS = Path(__file__).parent / "apps"
HTTP_PORT, HTTPS_PORT, REGISTRY_PORT = 18080, 18443, 15010


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
            "LEEWARD_NETWORK_POOL": "10.213.0.0/16",
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
        assert answer.code == 0, f"lee up: {answer.code}\n{answer.out}\n{answer.err[-5000:]}"
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
