"""Look at this machine: what `lee doctor` judges."""

import asyncio
import http.client
import json
import os
import platform
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from leeward.host.command import run
from leeward.host.packages import Decision, decide, look
from leeward.settings import Settings, misspelt

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Docker:
    """What the container engine says of itself."""

    version: str = ""
    cgroup_version: str = ""
    cgroup_driver: str = ""
    storage_driver: str = ""
    live_restore: bool = False
    problem: str = ""
    """Why it did not answer."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a judgement needs; nothing here is an opinion."""

    root: bool = True
    os: str = "debian"
    os_version: str = "12"
    arch: str = "x86_64"
    systemd: bool = False
    packages: Decision = field(default_factory=Decision)
    docker: Docker = field(default_factory=Docker)
    docker_managed: bool = True
    ports: Mapping[int, str] = field(default_factory=dict)
    """Port of the edge to who holds it: 'nginx (pid 12)', '' when it is free."""
    ports_ours: frozenset[int] = frozenset()
    """Ports held by our own edge."""
    memory_mib: int = 0
    memory_free_mib: int = 0
    disk_free_mib: int = 0
    disk_percent: float = 0.0
    cpus: int = 1
    domain: str = "lee.localhost"
    addresses: tuple[str, ...] = ()
    """What `probe.<domain>` resolves to."""
    features: Mapping[str, bool] = field(default_factory=dict)
    """Kernel feature to whether it is there."""
    year: int = 2026
    forward_policy: str = ""
    """`DROP`, `ACCEPT`, or '' when unknown."""
    parts: Mapping[str, bool] = field(default_factory=dict)
    """`registry`, `edge`, `control` to whether it answers."""
    platform_up: bool = False
    home: str = ""
    home_writable: bool = True
    misspelt: Mapping[str, str] = field(default_factory=dict)
    """Variable that is nearly a setting to the setting."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, url: str, timeout_s: float = 3.0) -> Any:
    """The JSON that an HTTP server on a unix socket answers; raises OSError when it does not."""
    with closing(_UnixConnection(path, timeout_s)) as connection:
        connection.request("GET", url)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise OSError(f"answered {answer.status}")
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def docker_answers(path: Path, timeout_s: float = 3.0) -> bool:
    """Whether a container engine answers at a socket."""
    try:
        ask(path, "/_ping", timeout_s)
    except (OSError, http.client.HTTPException):
        return False
    return True


def docker_facts(path: Path) -> Docker:
    """What the engine says of itself."""
    try:
        info = ask(path, "/info", 5.0)
    except (OSError, http.client.HTTPException) as error:
        return Docker(problem=getattr(error, "strerror", None) or str(error) or "no answer")
    return Docker(
        version=str(info.get("ServerVersion", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        storage_driver=str(info.get("Driver", "")),
        live_restore=bool(info.get("LiveRestoreEnabled")),
    )


def holder(port: int) -> str:
    """Who listens on a TCP port: 'nginx (pid 12)', '' when nobody does."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return "another process"
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                continue
    return ""


def listens_below(home: Path, process: psutil.Process) -> bool:
    """Whether a process has a socket in this home: how a worker of nginx is known, which has no arguments."""
    try:
        return any(str(socket.laddr).startswith(f"{home}/") for socket in process.net_connections("unix"))
    except psutil.Error:
        return False


def opened_below(home: Path, process: psutil.Process) -> bool:
    """Whether a process has a file of this home open: how a helper of nginx is known, which has no socket either."""
    try:
        return any(file.path.startswith(f"{home}/") for file in process.open_files())
    except psutil.Error:
        return False


def runs_below(home: Path, pid: int) -> bool:
    """Whether a process was started with a file of this home on its command line, or its parent was."""
    try:
        process: psutil.Process | None = psutil.Process(pid)
        while process is not None and process.pid > 1:
            if f"{home}/" in " ".join(process.cmdline()) or listens_below(home, process):
                return True
            process = process.parent()
    except psutil.Error:
        return False
    return False


def listens(address: str, timeout_s: float = 1.0) -> bool:
    """Whether anybody accepts a connection at 'unix:/path' or 'tcp:host:port'."""
    kind, _, place = address.partition(":")
    try:
        if kind == "unix":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
                door.settimeout(timeout_s)
                door.connect(place)
        else:
            host, _, port = place.rpartition(":")
            with socket.create_connection((host, int(port)), timeout_s):
                pass
    except OSError:
        return False
    return True


async def look_around(settings: Settings) -> Facts:
    """Read all facts of this machine; changes nothing."""
    docker = await asyncio.to_thread(docker_facts, settings.docker_socket)
    system = await look(docker_answers=not docker.problem)
    ports = {port: await asyncio.to_thread(holder, port) for port in (settings.http_port, settings.https_port)}
    ours = frozenset(port for port, who in ports.items() if who and runs_below(settings.home, _pid(who)))
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(_existing(settings.home))
    parts = {
        "registry": listens(f"tcp:{settings.registry}"),
        "edge": listens(f"tcp:127.0.0.1:{settings.https_port}") and settings.https_port in ours,
        "control": listens(f"unix:{settings.api_socket}"),
    }
    return Facts(
        root=os.geteuid() == 0,
        os=system.os,
        os_version=system.version,
        arch=platform.machine(),
        systemd=Path("/run/systemd/system").is_dir(),
        packages=decide(system),
        docker=docker,
        docker_managed=settings.manage_docker,
        ports=ports,
        ports_ours=ours,
        memory_mib=memory.total // MIB,
        memory_free_mib=memory.available // MIB,
        disk_free_mib=disk.free // MIB,
        disk_percent=round(100 * (disk.total - disk.free) / (disk.total or 1), 1),
        cpus=os.cpu_count() or 1,
        domain=settings.domain,
        addresses=await _addresses(f"probe.{settings.domain}"),
        features=_features(),
        year=time.gmtime().tm_year,
        forward_policy=await _forward_policy(),
        parts=parts,
        platform_up=(settings.run_dir / "supervisord.pid").exists() or parts["control"],
        home=str(settings.home),
        home_writable=os.access(_existing(settings.home), os.W_OK),
        misspelt=misspelt(),
    )


def _pid(who: str) -> int:
    digits = who.rpartition("pid ")[2].rstrip(")")
    return int(digits) if digits.isdigit() else 0


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


async def _addresses(host: str) -> tuple[str, ...]:
    def resolve() -> tuple[str, ...]:
        try:
            found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except OSError:
            return ()
        return tuple(sorted({str(item[4][0]) for item in found}))

    try:
        return await asyncio.wait_for(asyncio.to_thread(resolve), 3.0)
    except TimeoutError:
        return ()


def _features() -> dict[str, bool]:
    filesystems = Path("/proc/filesystems").read_text()
    return {
        "overlay file system": "\toverlay\n" in filesystems,
        "cgroups": "cgroup" in filesystems,
        "memory limits": any(
            path.exists() for path in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/cgroup.controllers"))
        ),
        "network namespaces": Path("/proc/self/ns/net").exists(),
        "seccomp": "Seccomp:" in Path("/proc/self/status").read_text(),
        "IPv4 forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1",
    }


async def _forward_policy() -> str:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        return ""
    listed = await run(("iptables", "-w", "2", "-S", "FORWARD"), timeout_s=10)
    first = listed.out.splitlines()[:1]
    return first[0].split()[-1] if first and first[0].startswith("-P ") else ""
