"""Keep the parts of a cluster alive: the first process of its namespaces, so that all of them end with it.

    python supervisor.py HOME RUN      (started by `unshare --pid --mount --fork`)

`RUN/parts.json` says what should run; it is read again on SIGHUP. `RUN/pids.json` says what does, with process ids
as this namespace counts them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

_PAUSE_S = 0.05
_AGAIN_S = 0.3
_SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}


class Supervisor:
    """One loop: what should run and does not is started, what should not is ended."""

    def __init__(self, home: Path, run: Path) -> None:
        self.home, self.run = home, run
        self.wanted: dict[str, dict[str, Any]] = {}
        self.running: dict[str, int] = {}
        self.not_before: dict[str, float] = {}
        self.read_again = True
        self.ending = False

    def signalled(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.read_again = True
        else:
            self.ending = True

    def loop(self) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.signalled)
        while not self.ending:
            if self.read_again:
                self.read_again = False
                self.wanted = {part["name"]: part for part in json.loads((self.run / "parts.json").read_text())}
            self.reap()
            self.step()
            time.sleep(_PAUSE_S)

    def reap(self) -> None:
        """Also what containers left behind: here it is ours."""
        changed = False
        names = {pid: name for name, pid in self.running.items()}
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            name = names.get(pid)
            if name is not None and self.running.get(name) == pid:
                del self.running[name]
                self.not_before[name] = time.monotonic() + _AGAIN_S
                changed = True
        if changed:
            self.tell()

    def step(self) -> None:
        changed = False
        for name in list(self.running):
            if name not in self.wanted:
                os.kill(self.running[name], signal.SIGKILL)
        for name, part in self.wanted.items():
            if name not in self.running and time.monotonic() >= self.not_before.get(name, 0):
                self.running[name] = self.start(part)
                changed = True
        if changed:
            self.tell()

    def start(self, part: dict[str, Any]) -> int:
        argv = [*(["/usr/bin/nsenter", f"--net={part['net']}", "--"] if part["net"] else []), *part["argv"]]
        with open(self.home / "log" / f"{part['name']}.log", "ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={
                    "PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
                    "HOME": "/root",
                    **part["env"],
                },
                start_new_session=True,
            )
        process.returncode = 0  # it is reaped by `reap`, not by this object
        return process.pid

    def tell(self) -> None:
        file = self.run / "pids.json"
        file.with_suffix(".new").write_text(json.dumps(self.running))
        file.with_suffix(".new").replace(file)


def mounts(home: Path, run: Path) -> None:
    """What the parts would otherwise change of this machine is theirs alone."""

    def mount(*argv: str) -> None:
        subprocess.run(("mount", *argv), check=True)

    mount("-t", "proc", "proc", "/proc")
    for name, value in _SYSCTLS.items():
        file = run / name.replace("/", ".")
        file.write_text(f"{value}\n")
        mount("--bind", str(file), f"/proc/sys/{name}")
    # Names that are fixed in the programs: sockets of container shims, links to logs.
    mount("-t", "tmpfs", "tmpfs", "/run/containerd")
    (home / "varlog").mkdir(exist_ok=True)
    mount("--bind", str(home / "varlog"), "/var/log")
    mount("--make-rshared", "/")


def main() -> None:
    home, run = Path(sys.argv[1]), Path(sys.argv[2])
    mounts(home, run)
    Supervisor(home, run).loop()


if __name__ == "__main__":
    main()
