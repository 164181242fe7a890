"""Keep the platform's processes running, by supervisor or by systemd."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil
from supervisor.xmlrpc import SupervisorTransport

from leeward.errors import Unavailable
from leeward.host.command import run
from leeward.host.facts import listens, listens_below, opened_below
from leeward.host.units import MARK, Program, fingerprint, inherited, log_file, supervisor_conf, systemd_unit, unit_name
from leeward.settings import Settings

SYSTEMD = Path("/etc/systemd/system")


class Supervision(Protocol):
    """What keeps programs running. Every method may be called again at any time."""

    async def apply(self, programs: Sequence[Program]) -> frozenset[str]:
        """Have exactly these programs run; the names of those that were started, changed or removed."""
        ...

    async def states(self) -> Mapping[str, str]:
        """Program to `RUNNING`, `STARTING`, `BACKOFF`, `STOPPED` …; empty when nothing is supervised."""
        ...

    async def stop(self, name: str) -> None:
        """Stop one program and keep it stopped until the next `apply`."""
        ...

    async def end(self) -> None:
        """Stop what is left, and the supervision itself."""
        ...

    def log(self, name: str) -> str:
        """How to read a program's own output."""
        ...


class Supervisor:
    """supervisord with a configuration of ours; needs nothing of the machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._conf = settings.home / "supervisor" / "supervisord.conf"
        self._socket = settings.run_dir / "supervisor.sock"

    async def apply(self, programs: Sequence[Program]) -> frozenset[str]:
        """Write the configuration, and start or update supervisord."""
        text = supervisor_conf(self._settings, programs)
        self._conf.parent.mkdir(parents=True, exist_ok=True)
        new = self._conf.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.replace(self._conf)
        if not await self._alive():
            await self._end_orphans(programs)
            await self._start()
            return frozenset(program.name for program in programs)
        return await asyncio.to_thread(self._update)

    async def states(self) -> Mapping[str, str]:
        """The state of every program."""
        if not await self._alive():
            return {}
        found: Any = await self._call("supervisor.getAllProcessInfo")
        return {item["name"]: item["statename"] for item in found}

    async def stop(self, name: str) -> None:
        """Stop one program, waiting for its end."""
        if name in await self.states():
            with contextlib.suppress(xmlrpc.client.Fault):
                await self._call("supervisor.stopProcess", name)

    async def end(self) -> None:
        """Shut supervisord down; it stops its programs in order."""
        pid = _pid_in(self._settings.run_dir / "supervisord.pid")
        if await self._alive():
            await self._call("supervisor.shutdown")
        if pid and await _gone(pid, 60):
            return
        await self._end_orphans(())

    def log(self, name: str) -> str:
        """Its file."""
        return f"see '{log_file(self._settings, name)}'"

    async def _alive(self) -> bool:
        return await asyncio.to_thread(listens, f"unix:{self._socket}")

    async def _start(self) -> None:
        outcome = await run(
            (str(Path(sys.executable).parent / "supervisord"), "-c", str(self._conf)),
            env=inherited(os.environ),
            clean=True,
        )
        if outcome.code:
            raise Unavailable(
                f"supervisord did not start: {outcome.last}",
                hint=f"see '{self._settings.home}/logs/host/supervisord.log'",
            )
        until = time.monotonic() + 10
        while not await self._alive():
            if time.monotonic() > until:
                raise Unavailable(
                    "supervisord did not open its socket in 10 seconds",
                    hint=f"see '{self._settings.home}/logs/host/supervisord.log'",
                )
            await asyncio.sleep(0.05)

    def _update(self) -> frozenset[str]:
        """As `supervisorctl update`: only programs whose configuration changed are restarted."""
        try:
            return self._reload()
        except (OSError, http.client.HTTPException, xmlrpc.client.Fault) as error:
            raise Unavailable(
                f"supervisord did not take its new configuration: {error}", hint="run: lee down"
            ) from error

    def _reload(self) -> frozenset[str]:
        with self._door() as door:
            reloaded: Any = door.supervisor.reloadConfig()
            added, changed, removed = reloaded[0]
            for name in (*changed, *removed):
                door.supervisor.stopProcessGroup(name)
                door.supervisor.removeProcessGroup(name)
            for name in (*added, *changed):
                door.supervisor.addProcessGroup(name)
            fresh = {*added, *changed}
            listed: Any = door.supervisor.getAllProcessInfo()
            for item in listed:
                if item["name"] not in fresh and item["statename"] in ("STOPPED", "EXITED", "FATAL"):
                    door.supervisor.startProcess(item["name"], False)
                    fresh.add(item["name"])
        return frozenset({*fresh, *removed})

    async def _end_orphans(self, programs: Sequence[Program]) -> None:
        """End what a supervisord that was killed has left behind: it would hold ports and locks."""
        for pid, program in orphans(self._settings, programs):
            if program and program.hands_over:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await _gone(pid, 5)
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.Signals[f"SIG{program.stop_signal if program else 'TERM'}"])
            if not await _gone(pid, program.stop_s if program else 10):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await _gone(pid, 5)

    def _door(self) -> xmlrpc.client.ServerProxy:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    async def _call(self, method: str, *arguments: Any) -> Any:
        def call() -> Any:
            with self._door() as door:
                return getattr(door, method)(*arguments)

        try:
            return await asyncio.to_thread(call)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("supervisord did not answer", hint="run: lee up") from error


class Systemd:
    """systemd units; only for the machine's default home, for unit names are machine-wide."""

    def __init__(self, settings: Settings, folder: Path = SYSTEMD) -> None:
        self._settings = settings
        self._folder = folder
        self._seen = settings.home / "supervisor" / "units.json"

    async def apply(self, programs: Sequence[Program]) -> frozenset[str]:
        """Write, enable and start the units; restart those that changed."""
        before: dict[str, str] = json.loads(self._seen.read_text()) if self._seen.is_file() else {}
        texts = {program.name: systemd_unit(program) for program in programs}
        now = {name: fingerprint(text) for name, text in texts.items()}
        for program in programs:
            (self._folder / unit_name(program)).write_text(texts[program.name])
        for name in before.keys() - now.keys():
            await self._systemctl("disable", "--now", f"leeward-{name}.service", check=False)
            (self._folder / f"leeward-{name}.service").unlink(missing_ok=True)
        await self._systemctl("daemon-reload")
        units = [unit_name(program) for program in sorted(programs, key=lambda program: program.priority)]
        await self._systemctl("enable", *units)
        changed = [f"leeward-{name}.service" for name in now if name in before and before[name] != now[name]]
        if changed:
            await self._systemctl("restart", *changed)
        await self._systemctl("start", *units)
        self._seen.parent.mkdir(parents=True, exist_ok=True)
        self._seen.write_text(json.dumps(now))
        return frozenset(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    async def states(self) -> Mapping[str, str]:
        """The state of every unit of ours."""
        names = json.loads(self._seen.read_text()) if self._seen.is_file() else {}
        found = {}
        for name in names:
            outcome = await run(("systemctl", "is-active", f"leeward-{name}.service"))
            found[name] = {"active": "RUNNING", "activating": "BACKOFF"}.get(outcome.out.strip(), "STOPPED")
        return found

    async def stop(self, name: str) -> None:
        """Stop one unit."""
        await self._systemctl("stop", f"leeward-{name}.service", check=False)

    async def end(self) -> None:
        """Stop and disable all units of ours."""
        names = json.loads(self._seen.read_text()) if self._seen.is_file() else {}
        for name in names:
            await self._systemctl("disable", "--now", f"leeward-{name}.service", check=False)
            (self._folder / f"leeward-{name}.service").unlink(missing_ok=True)
        self._seen.unlink(missing_ok=True)
        await self._systemctl("daemon-reload", check=False)

    def log(self, name: str) -> str:
        """The journal."""
        return f"see: journalctl -u leeward-{name} -n 50"

    async def _systemctl(self, *words: str, check: bool = True) -> None:
        outcome = await run(("systemctl", *words), timeout_s=120)
        if check and outcome.code:
            raise Unavailable(
                f"'systemctl {words[0]}' failed: {outcome.last}", hint="see: journalctl -u 'leeward-*' -n 50"
            )


def choose(settings: Settings) -> Supervision:
    """systemd where it is PID 1 and the home is the machine's own, else supervisor."""
    machine_wide = settings.home == Settings().home and Path("/run/systemd/system").is_dir()
    return Systemd(settings) if machine_wide else Supervisor(settings)


def orphans(settings: Settings, programs: Sequence[Program]) -> list[tuple[int, Program | None]]:
    """Processes of this home that no supervisord looks after; the engine is not one of them: it may go on. Nor are the
    children of a program that hands over to its successor, when that is among `programs`."""
    by_name = {program.name: program for program in programs}
    found: list[tuple[int, Program | None]] = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        home, _, name = mark.rpartition("/")
        if home != str(settings.home):
            # nginx writes its title over its environment; the title holds the arguments.
            name = next((p.name for p in programs if words and " ".join(p.argv) in words and "master" in words), "")
        if name and name != "dockerd" and process.pid != os.getpid() and _is_leader(process, mark):
            found.append((process.pid, by_name.get(name)))
    if any(program.hands_over for program in programs):
        return found
    known = {pid for pid, _ in found}
    return [*found, *((pid, None) for pid in _masterless(settings.home) if pid not in known)]


def _masterless(home: Path) -> list[int]:
    """What is left of a killed nginx: it goes on, has neither mark nor arguments, but a socket or a file of this home
    open, or the process group of one that does."""
    every = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "nginx"]
    mine = {process.pid for process in every if listens_below(home, process) or opened_below(home, process)}
    groups = {_group(pid) for pid in mine} - {0}
    return [process.pid for process in every if process.pid in mine or _group(process.pid) in groups]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _is_leader(process: psutil.Process, mark: str) -> bool:
    """Children inherit the mark; their parent takes them along."""
    try:
        parent = process.parent()
        return parent is None or parent.environ().get(MARK, "") != mark or not mark
    except psutil.Error:
        return True


def _pid_in(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


async def _gone(pid: int, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            # Where PID 1 does not reap, the dead stay as zombies.
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        await asyncio.sleep(0.05)
    return False
