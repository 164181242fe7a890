"""Machine against a real supervisord, in a home of its own."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from leeward.engines.local.container import home_id
from leeward.errors import Conflict, Unavailable
from leeward.host.command import run
from leeward.host.facts import docker_answers, listens
from leeward.host.machine import Machine
from leeward.host.packages import Decision, decide, look
from leeward.host.units import Program, dockerd, marked, systemd_unit, unit_name
from leeward.settings import Settings

DOCKER = Path("/var/run/docker.sock")
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not docker_answers(DOCKER), reason="no dockerd answers"),
]
SERVE = "import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(600)"


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lw-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
async def machine(home: Path) -> AsyncIterator[Machine]:
    settings = Settings(home=home, http_port=free_port(), https_port=free_port(), trust_ca=False)
    if decide(await look(docker_answers=True)) != Decision():
        pytest.skip("packages are missing: run 'make system'")
    machine = Machine(settings)
    yield machine
    await machine.down(lambda text: None)


def program(home: Path, name: str, version: str = "1") -> Program:
    door = home / "run" / f"{name}.sock"
    code = f"import os; os.path.exists({str(door)!r}) and os.unlink({str(door)!r}); " + SERVE
    return Program(name=name, argv=(sys.executable, "-c", code, str(door)), ready=f"unix:{door}", stamp=version)


def running(text: str) -> list[int]:
    """Processes with a text on their command line; zombies have none."""
    found = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def pid_of(home: Path, name: str) -> int:
    [pid] = running(str(home / "run" / f"{name}.sock"))
    return pid


async def test_up_starts_every_program_and_a_second_up_changes_nothing(machine: Machine, home: Path) -> None:
    said: list[str] = []
    await machine.up([program(home, "edge"), program(home, "control")], said.append)
    before = pid_of(home, "edge"), pid_of(home, "control")

    await machine.up([program(home, "edge"), program(home, "control")], said.append)

    assert (pid_of(home, "edge"), pid_of(home, "control")) == before
    states = await machine.states()
    assert set(states) == {"edge", "control"}
    assert set(states.values()) <= {"STARTING", "RUNNING"}
    assert sum("is up" in line for line in said) == 2


async def test_a_killed_program_comes_back_by_itself(machine: Machine, home: Path) -> None:
    await machine.up([program(home, "control")], lambda text: None)
    first = pid_of(home, "control")

    os.kill(first, signal.SIGKILL)

    for _ in range(100):
        await asyncio.sleep(0.1)
        if listens(f"unix:{home}/run/control.sock"):
            break
    assert pid_of(home, "control") != first


async def test_a_new_version_restarts_that_program_only(machine: Machine, home: Path) -> None:
    await machine.up([program(home, "edge"), program(home, "control")], lambda text: None)
    edge, control = pid_of(home, "edge"), pid_of(home, "control")

    await machine.up([program(home, "edge"), program(home, "control", version="2")], lambda text: None)

    assert pid_of(home, "edge") == edge
    assert pid_of(home, "control") != control


async def test_a_program_that_does_not_come_up_is_named_with_its_last_words(machine: Machine, home: Path) -> None:
    said: list[str] = []
    broken = Program(
        name="edge",
        argv=(sys.executable, "-c", "raise SystemExit('no such port: 99')"),
        ready="unix:/nowhere",
        ready_s=1.5,
    )

    with pytest.raises(Unavailable, match="'edge' did not come up"):
        await machine.up([broken], said.append)

    assert any("no such port: 99" in line for line in said)


async def test_after_its_supervisor_was_killed_up_takes_over_again(machine: Machine, home: Path) -> None:
    await machine.up([program(home, "control")], lambda text: None)
    orphan = pid_of(home, "control")
    os.kill(int((home / "run" / "supervisord.pid").read_text()), signal.SIGKILL)

    await machine.up([program(home, "control")], lambda text: None)

    assert pid_of(home, "control") != orphan
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


async def test_down_leaves_no_process_and_purge_no_home(machine: Machine, home: Path) -> None:
    await machine.up([program(home, "edge"), program(home, "control")], lambda text: None)

    await machine.down(lambda text: None)
    left = running(str(home))
    await machine.purge(lambda text: None)

    assert left == []
    assert not home.exists()
    home.mkdir()


async def test_down_takes_containers_of_this_home_and_of_no_other(machine: Machine, home: Path) -> None:
    mine = await container(f"leeward.home={home_id(str(home))}")
    other = await container("leeward.home=other")
    await machine.up([program(home, "control")], lambda text: None)

    await machine.down(lambda text: None)

    left = await docker("ps", "-aq", "--no-trunc")
    await docker("rm", "-f", other)
    await docker("rmi", *(await docker("images", "-q", "lwtest")).split())
    assert mine not in left
    assert other in left


async def docker(*words: str) -> str:
    return (await run(("/usr/bin/docker", *words))).out.strip()


async def container(label: str) -> str:
    """One that was made and never started: there need be nothing in its image."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as empty:
        tarfile.open(empty.name, "w").close()
        image = await docker("import", empty.name, "lwtest:1")
    return await docker("create", "--label", label, image, "/nothing")


async def test_a_port_that_somebody_holds_is_named_with_its_holder(home: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    machine = Machine(Settings(home=home, http_port=port, https_port=free_port(), trust_ca=False))

    async with server:
        with pytest.raises(Conflict, match=rf"port {port} is held by '.+ \(pid {os.getpid()}\)'"):
            await machine.up([], lambda text: None)


async def test_the_cli_file_of_a_home_can_be_read_by_root_only(machine: Machine, home: Path) -> None:
    machine.folders()

    file = machine.write_cli("https://console.x", "lee_secret", None)

    assert file == home / "cli.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert machine.link() is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
async def test_systemd_itself_finds_nothing_wrong_with_the_units(home: Path) -> None:
    settings = Settings(home=home)
    programs = [dockerd(settings), *(program(home, name) for name in ("registry", "edge", "control"))]
    for one in programs:
        there = replace(one, argv=(sys.executable, *one.argv[1:]), env={"LEEWARD_DOMAIN": "with spaces and 100 %"})
        (home / unit_name(there)).write_text(systemd_unit(marked(there, settings)))
    units = [str(home / unit_name(one)) for one in programs]

    verified = await run(("systemd-analyze", "verify", *units))
    (home / "broken.service").write_text("[Service]\nExecStartt=/bin/true\n")
    broken = await run(("systemd-analyze", "verify", str(home / "broken.service")))

    assert (verified.code, verified.err.strip()) == (0, "")
    assert broken.err.strip() != ""
