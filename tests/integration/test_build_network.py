"""What a build reaches: package indexes, and neither this machine nor private networks."""

import asyncio
import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from tests.contracts.kitchen import Kitchen, kitchen
from tests.contracts.tiny import docker, needs_docker

from leeward.builders.fence import Fence
from leeward.builders.reach import CHAIN
from leeward.builders.recipes import RECIPES

PYTHON = "python3.13-build"
# A connection that is refused by a rule says so at once; one that nobody answers takes long.
REFUSED = "No route to host"


@pytest.fixture(autouse=True)
def _docker() -> None:
    needs_docker()


def gateway() -> str:
    """This machine's address on the bridge that builds are on."""
    (network,) = json.loads(docker("network", "inspect", "bridge"))
    return str(network["IPAM"]["Config"][0]["Gateway"])


def address() -> str:
    """This machine's address towards the world."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[int]:
    """Something of this machine that listens at all its addresses; its port."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"reached\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def asking(host: str, port: int) -> str:
    return f'echo | nc -w 5 {host} {port} 2>&1 | head -n 1 > /said; echo "{host}: $(cat /said)"'


async def heard(world: Kitchen, *places: tuple[str, int]) -> dict[str, str]:
    """What a build hears from each of these."""
    lines: list[str] = []
    await world.builder.build(world.job("; ".join(asking(*place) for place in places)), lines.append)
    said = (line.strip().partition(": ") for line in lines)
    hosts = {host for host, _ in places}
    return {host: text for host, _, text in said if host in hosts}


async def test_a_build_reaches_neither_this_machine_nor_metadata_nor_private_networks(tmp_path: Path) -> None:
    with kitchen(tmp_path) as world:
        async with listener() as port:
            hosts = (gateway(), address(), "169.254.169.254", "100.100.100.200", "10.211.0.1", "192.168.7.7")

            said = await heard(world, *((host, port if host in hosts[:2] else 80) for host in hosts))
            _, writer = await asyncio.open_connection(gateway(), port)
            writer.close()

    assert set(said) == set(hosts)
    assert {host: text for host, text in said.items() if REFUSED not in text} == {}


async def test_packages_are_installed_by_a_build_that_does_not_reach_this_machine(tmp_path: Path) -> None:
    with kitchen(tmp_path) as world:
        await world.builder.bases.ensure([PYTHON], lambda line: None)
        mounts = " ".join(f"--mount=type=secret,id={name}" for name in ("leeward_ca", "leeward_pip_index"))
        install = "pip install --no-cache-dir --disable-pip-version-check --target /idna idna==3.10"
        test = f"import socket; socket.create_connection(('{gateway()}', %d), 5)"
        async with listener() as port:
            step = f'RUN {mounts} with-ca {install} && ls /idna && ! python3 -c "{test % port}"'
            lines: list[str] = []

            await world.builder.build(
                world.of(f"FROM {RECIPES[PYTHON].image}\nENV TEST={world.app}\n{step}"), lines.append
            )

    assert any("Successfully installed idna-3.10" in line for line in lines)
    assert any(REFUSED in line for line in lines)


async def test_a_build_reaches_the_networks_that_the_operator_allows(tmp_path: Path) -> None:
    async with listener() as port, listener() as other:
        with kitchen(tmp_path, build_networks=f"{gateway()}:{port}") as world:
            said = await heard(world, (gateway(), port))
            refused = await heard(world, (gateway(), other))

    assert said == {gateway(): "reached"}
    assert REFUSED in refused[gateway()]


async def test_a_build_reaches_the_proxy_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: set[str] = set()

    async def look() -> None:
        while True:
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    arguments.add(" ".join(process.cmdline()))
            await asyncio.sleep(0.05)

    async with listener() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://someone:else@{gateway()}:{port}")
        looking = asyncio.create_task(look())
        with kitchen(tmp_path) as world:
            lines: list[str] = []
            step = 'case "$HTTP_PROXY" in http://some*:*se@*) echo given;; esac'
            await world.builder.build(world.job(f"{asking(gateway(), port)}; {step}"), lines.append)
        looking.cancel()

    said = {line.strip() for line in lines}
    assert {f"{gateway()}: reached", "given"} <= said
    assert any("--build-arg=HTTP_PROXY" in each for each in arguments)
    assert not [each for each in arguments if "someone:else" in each]


@pytest.mark.parametrize("command", ["iptables", "ip6tables"])
async def test_rules_that_someone_took_away_are_put_back(tmp_path: Path, command: str) -> None:
    def rules(*arguments: str) -> str:
        return subprocess.run([command, "-w", *arguments], check=True, capture_output=True, text=True).stdout

    with kitchen(tmp_path) as world:
        fence = Fence(world.settings, (str(world.settings.docker_command),))
        await fence.hold()
        await asyncio.to_thread(rules, "-F", CHAIN)
        await asyncio.to_thread(rules, "-I", "INPUT", "1", "-i", "docker0", "-p", "tcp", "--dport", "1", "-j", "ACCEPT")
        try:
            changed, again = await fence.hold(), await fence.hold()
            saved = await asyncio.to_thread(rules, "-S")
        finally:
            await asyncio.to_thread(rules, "-D", "INPUT", "-i", "docker0", "-p", "tcp", "--dport", "1", "-j", "ACCEPT")

    assert (changed, again) == (True, False)
    assert saved.count(f"-i docker0 -j {CHAIN}") == 2
    assert f"-A {CHAIN} -m addrtype --dst-type LOCAL -j REJECT" in saved
