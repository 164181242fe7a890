"""A tiny image and an engine on the real Docker, for tests."""

import asyncio
import atexit
import contextlib
import functools
import io
import itertools
import json
import os
import secrets
import subprocess
import tarfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leeward.engines.local.engine import LocalEngine
from leeward.model.runtime import LogLine
from leeward.settings import Settings

BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    "sh",
    "httpd",
    "sleep",
    "nc",
    "awk",
    "dd",
    "cat",
    "ls",
    "wget",
    "ip",
    "id",
    "env",
    "nslookup",
    "head",
    "tail",
    "mkdir",
    "chmod",
    "true",
    "false",
    "ping",
    "grep",
    "yes",
    "rm",
    "echo",
    "touch",
    "kill",
    "date",
    "seq",
    "df",
    "stat",
)
_DIRECTORIES = ("tmp", "www", "etc", "proc", "sys", "dev", "root")


class WallClock:
    """The real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Lines:
    """A log sink in memory."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.batches: list[int] = []

    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        self.lines.extend(lines)
        self.batches.append(len(lines))

    async def last_at(self, app: str, source: str) -> float:
        return max((line.at for line in self.lines if line.source == source), default=0.0)

    def of(self, source: str) -> list[str]:
        return [line.text for line in self.lines if line.source == source]


def docker(*arguments: str, stdin: bytes | None = None) -> str:
    """Run Debian's docker client."""
    done = subprocess.run(
        [str(Settings().docker_command), *arguments], input=stdin, capture_output=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    return done.stdout.decode().strip()


def needs_docker() -> None:
    """Skip the test, with the reason, where its world is absent."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not Settings().docker_command.exists():
        pytest.skip("needs docker (apt-get install docker.io)")
    if not BUSYBOX.exists() or b"statically linked" not in _file(BUSYBOX):
        pytest.skip("needs a static busybox (apt-get install busybox-static)")
    try:
        docker("version", "--format", "{{.Server.Version}}")
    except RuntimeError as error:
        pytest.skip(f"docker does not answer: {error}")


def _file(path: Path) -> bytes:
    # A program with an interpreter is linked dynamically.
    return b"statically linked" if b"/lib64/ld-linux" not in path.read_bytes()[:4096] else b""


@functools.cache
def tiny_layer() -> bytes:
    """The files of an image with nothing but busybox, as a tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for directory in _DIRECTORIES:
            item = tarfile.TarInfo(directory)
            item.type, item.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(item)
        for path, content, mode in (
            ("bin/busybox", BUSYBOX.read_bytes(), 0o755),
            ("www/index.html", b"ok\n", 0o644),
            ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", 0o644),
        ):
            item = tarfile.TarInfo(path)
            item.size, item.mode = len(content), mode
            tar.addfile(item, io.BytesIO(content))
        for applet in _APPLETS:
            item = tarfile.TarInfo(f"bin/{applet}")
            item.type, item.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(item)
    return data.getvalue()


@functools.cache
def tiny_image() -> str:
    """That image in Docker; its id."""
    made = docker("import", "--change", 'CMD ["httpd","-f","-p","8080","-h","/www"]', "-", stdin=tiny_layer())
    atexit.register(_forget, made)
    return made


def _forget(image: str) -> None:
    with contextlib.suppress(RuntimeError):
        docker("rmi", image)


class Machine:
    """One platform on the real Docker, which takes everything of its own away at the end."""

    web = "httpd -f -p $PORT -h /www"
    worker = "sleep 1000"
    silent = "sleep 999"
    crashing = "echo boom; exit 3"
    ending = "true"
    talking = "echo one; echo two"
    absent = "nothing-of-the-kind $PORT"
    lost = web
    project = "contract"
    _names = itertools.count(1)

    def __init__(self, home: Path, **settings: object) -> None:
        self.image = tiny_image()
        self.settings = Settings.model_validate({"home": home, **settings})
        self.lines = Lines()
        self.engine = LocalEngine(self.settings, self.lines, WallClock())
        self._run: asyncio.Task[None] | None = None

    def app(self) -> str:
        return f"t{secrets.token_hex(3)}-{next(self._names)}"

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def vanish(self, instance: str) -> None:
        await asyncio.to_thread(docker, "rm", "-f", instance)

    def answer(self, command: tuple[str, ...], code: int, output: bytes) -> None:
        """Commands really run here."""

    def start(self) -> None:
        self._run = asyncio.create_task(self.engine.run())

    async def stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._run
            self._run = None
        await self.engine.close()

    async def restart(self) -> None:
        """A new control plane: nothing is remembered."""
        await self.stop()
        self.engine = LocalEngine(self.settings, self.lines, WallClock())
        self.start()

    def inspect(self, container: str) -> dict[str, object]:
        (shown,) = json.loads(docker("inspect", container))
        assert isinstance(shown, dict)
        return shown

    def containers(self) -> list[str]:
        return docker("ps", "-aq", "--filter", f"label=leeward.home={self.engine.home}").split()

    def networks(self) -> list[str]:
        return docker("network", "ls", "-q", "--filter", f"label=leeward.home={self.engine.home}").split()

    def volumes(self) -> list[str]:
        return docker("volume", "ls", "-q", "--filter", f"label=leeward.home={self.engine.home}").split()

    def clean(self, *, networks: bool = True) -> None:
        if containers := self.containers():
            docker("rm", "-f", *containers)
        if volumes := self.volumes():
            docker("volume", "rm", *volumes)
        if networks and (found := self.networks()):
            docker("network", "rm", *found)


@contextlib.asynccontextmanager
async def machine(home: Path, *, keep_networks: bool = False, **settings: object) -> AsyncIterator[Machine]:
    """A machine that runs."""
    made = Machine(home, **settings)
    made.start()
    try:
        yield made
    finally:
        await made.stop()
        await asyncio.to_thread(made.clean, networks=not keep_networks)
