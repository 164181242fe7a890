"""Bring the platform up on this machine, down, and away."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import psutil

from leeward.errors import Conflict, Invalid, Unavailable
from leeward.host import packages, trust
from leeward.host.command import run
from leeward.host.engine import Leftovers, labels_of, remove_rules
from leeward.host.facts import docker_answers, holder, listens, runs_below
from leeward.host.supervision import Supervision, Systemd, choose
from leeward.host.units import DOCKERD, Program, dockerd, dockerd_config, log_file, marked
from leeward.settings import Settings

Say = Callable[[str], None]
LINK = Path("/usr/local/bin/lee")
ETC = Path("/etc/leeward")
FOLDERS = ("run", "logs", "logs/host", "supervisor", "docker", "edge", "registry", "sources", "git", "bases")


class Machine:
    """The platform as processes of this machine. Every method may be called again at any time.

    Everything lies below `settings.home`; only the machine's default home also has `/usr/local/bin/lee` and
    `/etc/leeward/cli.toml`, so that several homes do not collide.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._supervision: Supervision = choose(settings)
        self._leftovers = Leftovers(settings, labels_of(settings))

    @property
    def machine_wide(self) -> bool:
        """Whether this is the machine's own platform, and not one beside it."""
        return self._settings.home == Settings().home

    async def install(self, say: Say) -> tuple[str, ...]:
        """Have the Debian packages; call it before the adapters prepare their files."""
        answers = await asyncio.to_thread(docker_answers, self._settings.docker_socket)
        return await packages.install(say, docker_answers=answers)

    async def up(self, programs: Sequence[Program], say: Say) -> None:
        """Packages, folders, processes; returns when each one answers. Raises Unavailable, Conflict."""
        _as_root()
        self.folders()
        async with self._alone():
            await self.install(say)
            await self._check_ports()
            engine = await self._engine(say)
            everything = [marked(program, self._settings) for program in (*engine, *programs)]
            changed = await self._supervision.apply(everything)
            for program in sorted(everything, key=lambda program: program.priority):
                await self._wait(program, say, loud=program.name in changed)

    async def down(self, say: Say) -> None:
        """Stop the control plane, the apps' containers, the edge, the registry, and dockerd where it is ours.

        The wishes stay: the next `up` starts the apps again.
        """
        _as_root()
        if not self._settings.run_dir.is_dir():
            say(f"there is no platform in '{self._settings.home}'")
            return
        async with self._alone():
            await self._supervision.stop("control")
            if await asyncio.to_thread(docker_answers, self._settings.docker_socket):
                count = await self._leftovers.stop()
                say(f"stopped {count} containers")
            await self._end(say)

    async def purge(self, say: Say) -> None:
        """Down, and remove all that the platform ever made on this machine; packages stay."""
        _as_root()
        alone = True
        if self._settings.run_dir.is_dir():
            async with self._alone():
                await self._supervision.stop("control")
                if await self._engine_for_purge(say):
                    await self._leftovers.remove()
                    alone = not await self._leftovers.others()
                    say("removed containers, networks, volumes and images")
                await self._end(say)
        await trust.remove(self._anchor)
        if alone:
            await remove_rules()
        if self.machine_wide:
            if LINK.is_symlink():
                LINK.unlink()
            (ETC / "cli.toml").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                ETC.rmdir()
        await self._remove_home()
        say(f"removed '{self._settings.home}'")

    async def states(self) -> dict[str, str]:
        """Program to `RUNNING`, `STARTING`, `BACKOFF`, `STOPPED`."""
        return dict(await self._supervision.states())

    async def restart(self, program: Program) -> None:
        """Stop one program; the next `up` starts it."""
        await self._supervision.stop(program.name)

    async def trust_ca(self, pem: str, say: Say) -> None:
        """Have this machine's programs trust the local certificate authority, where the settings allow it."""
        if self._settings.trust_ca and os.geteuid() == 0 and await trust.add(pem, self._anchor):
            say("this machine trusts the platform's certificates now")

    def link(self) -> Path | None:
        """Put `lee` on the PATH; None where another home's platform is meant."""
        if not self.machine_wide:
            return None
        target = Path(sys.executable).parent / "lee"
        if LINK.exists() and not LINK.is_symlink():
            raise Conflict(f"'{LINK}' is a file that is not ours", hint="move it away")
        if not LINK.is_symlink() or LINK.readlink() != target:
            new = LINK.with_name(f".lee.{os.getpid()}")
            new.symlink_to(target)
            new.replace(LINK)
        return LINK

    def write_cli(self, url: str, token: str, ca: Path | None) -> Path:
        """Sign root of this machine in: `/etc/leeward/cli.toml`, or `<home>/cli.toml` for another home."""
        file = ETC / "cli.toml" if self.machine_wide else self._settings.home / "cli.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = {"url": url, "token": token, **({"ca": str(ca)} if ca else {})}
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
        new = file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(text)
        new.replace(file)
        return file

    def folders(self) -> None:
        """Make the home. Raises Invalid where it cannot be."""
        home = self._settings.home
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o755)
            for name in FOLDERS:
                (home / name).mkdir(exist_ok=True)
            (home / "keys").mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            what = f"the home '{home}' could not be made: {(error.strerror or '').lower()}"
            raise Invalid(what, hint="set LEEWARD_HOME to a folder on a disk of this machine") from error

    @property
    def _anchor(self) -> str:
        return self._settings.domain.replace("/", "-")

    async def _engine(self, say: Say) -> tuple[Program, ...]:
        """dockerd as a program of ours, where nobody else runs it."""
        answers = await asyncio.to_thread(docker_answers, self._settings.docker_socket)
        if answers and "dockerd" not in await self._supervision.states():
            return ()
        if not self._settings.manage_docker:
            raise Unavailable(
                f"no container engine answers at '{self._settings.docker_socket}'",
                hint="start dockerd, or unset LEEWARD_MANAGE_DOCKER",
            )
        if isinstance(self._supervision, Systemd):
            say("starting docker")
            outcome = await run(("systemctl", "enable", "--now", "docker"), timeout_s=120)
            if outcome.code:
                raise Unavailable(f"docker did not start: {outcome.last}", hint="see: journalctl -u docker -n 50")
            return ()
        file = self._settings.home / "docker" / "daemon.json"
        file.write_text(json.dumps(dockerd_config(self._settings), indent=2) + "\n")
        return (dockerd(self._settings, _dockerd() or DOCKERD[0]),)

    async def _engine_for_purge(self, say: Say) -> bool:
        """Images can be removed by their engine only: one that is down is started once more."""
        socket = self._settings.docker_socket
        if await asyncio.to_thread(docker_answers, socket):
            return True
        if not (self._settings.manage_docker and _dockerd()):
            return False
        await self._supervision.apply([marked(program, self._settings) for program in await self._engine(say)])
        return await self._until(lambda: docker_answers(socket), 30)

    async def _check_ports(self) -> None:
        ports = {
            "LEEWARD_HTTP_PORT": self._settings.http_port,
            "LEEWARD_HTTPS_PORT": self._settings.https_port,
        }
        registry = self._settings.registry.rpartition(":")[2]
        if self._settings.registry_embedded and registry.isdigit():
            ports["LEEWARD_REGISTRY"] = int(registry)
        for setting, port in ports.items():
            who = await asyncio.to_thread(holder, port)
            pid = who.rpartition("pid ")[2].rstrip(")")
            if who and not (pid.isdigit() and runs_below(self._settings.home, int(pid))):
                raise Conflict(
                    f"port {port} is held by '{who}'",
                    hint=f"stop it, or choose another one with {setting}",
                )

    async def _wait(self, program: Program, say: Say, *, loud: bool) -> None:
        started = time.monotonic()

        def answers() -> bool:
            return listens(program.ready) if program.ready else True

        if not await self._until(answers, program.ready_s):
            for line in self._tail(program.name):
                say(f"  {line}")
            raise Unavailable(
                f"'{program.name}' did not come up in {program.ready_s:.0f} seconds",
                hint=self._supervision.log(program.name),
            )
        if loud:
            say(f"{program.name} is up ({time.monotonic() - started:.1f} s)")

    async def _until(self, true: Callable[[], bool], timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while not await asyncio.to_thread(true):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.1)
        return True

    def _tail(self, name: str, lines: int = 15) -> list[str]:
        try:
            with log_file(self._settings, name).open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - 8192))
                return stream.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    async def _end(self, say: Say) -> None:
        await self._supervision.end()
        await self._end_engine()
        say("the platform is down")

    async def _end_engine(self) -> None:
        """A dockerd of ours whose supervisor was killed goes too; anybody else's stays."""
        file = self._settings.run_dir / "docker.pid"
        try:
            process = psutil.Process(int(file.read_text()))
            if process.name() == "dockerd" and str(self._settings.home) in " ".join(process.cmdline()):
                process.send_signal(signal.SIGTERM)
                await self._until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 30)
        except (OSError, ValueError, psutil.Error):
            return

    async def _remove_home(self) -> None:
        home = self._settings.home
        if not (home / "run").is_dir() or len(home.parts) < 3:
            return
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{home}/")), reverse=True):
            await run(("umount", mount))
        if self.machine_wide or not home.is_mount():
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One `up`, `down` or `purge` at a time."""
        self._settings.run_dir.mkdir(parents=True, exist_ok=True)
        with (self._settings.run_dir / "machine.lock").open("w") as lock:
            until = time.monotonic() + 120
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > until:
                        raise Conflict("another 'lee up' or 'lee down' is at work", hint="wait for it") from error
                await asyncio.sleep(0.2)
            yield


def _dockerd() -> str | None:
    """Where this machine has it."""
    return next((path for path in DOCKERD if Path(path).exists()), None)


def _as_root() -> None:
    if os.geteuid() != 0:
        raise Invalid("only root can start, stop and remove the platform", hint="run it with sudo")
