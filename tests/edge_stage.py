"""A real nginx on free ports, and small apps behind it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from leeward.edges.embedded import server
from leeward.edges.embedded.agent import EmbeddedEdge
from leeward.errors import LeewardError, Unavailable
from leeward.settings import Settings


def why_not() -> str:
    """Why there can be no real edge here, '' if there can."""
    try:
        server.nginx()
        server.machine()
    except LeewardError as error:
        return error.message
    return ""


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class App:
    """An instance: it answers with its name, its address and what it was asked."""

    name: str
    server: asyncio.Server
    peer: str
    asked: list[str] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def stop(self) -> None:
        """Close the door and break every connection."""
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()


@contextlib.asynccontextmanager
async def app(name: str, port: int = 0) -> AsyncIterator[App]:
    """Run an instance on loopback."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await _answer(found, reader, writer):
                pass
        found.writers.discard(writer)
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", port, limit=1 << 20)
    found = App(name, listener, f"127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    try:
        yield found
    finally:
        await found.stop()


async def _answer(found: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    method, path, _ = line.split(" ")
    headers = {key.lower(): value for key, value in (item.split(": ", 1) for item in rest)}
    found.asked.append(f"{method} {path}")
    if path.startswith("/ws"):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while text := await reader.readline():
            writer.write(f"{found.name} {text.decode()}".encode())
        return False
    if path.startswith("/events"):
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while not writer.is_closing():
            text = f"data: {found.name}\n\n"
            writer.write(f"{len(text):x}\r\n{text}\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)
        return False
    if path.startswith("/break"):
        writer.transport.abort()
        return False
    size = await _read_body(reader, headers)
    status = int(path.split("/")[2].split("?")[0]) if path.startswith("/status/") else 200
    if path.startswith("/slow"):
        await asyncio.sleep(0.3)
    extra = "".join(f"{part}\r\n" for part in headers.get("x-answer", "").split("|") if part)
    body = json.dumps({"name": found.name, "peer": found.peer, "size": size, "headers": headers, "path": path})
    if "content-type" not in extra.lower():
        extra += "Content-Type: application/json\r\n"
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}".encode())
    await writer.drain()
    return True


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
    size = 0
    if "chunked" in headers.get("transfer-encoding", ""):
        while chunk := int(await reader.readline(), 16):
            await reader.readexactly(chunk + 2)
            size += chunk
        await reader.readline()
        return size
    left = int(headers.get("content-length", "0"))
    while size < left:
        size += len(await reader.readexactly(min(65536, left - size)))
    return size


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def seen(self) -> dict[str, str]:
        """The headers that the app got."""
        found = self.json["headers"]
        assert isinstance(found, dict)
        return found


class Wire:
    """One client connection over which several requests go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, tls_name: str = "", source: str = "127.0.0.1") -> Self:
        context = None
        if tls_name:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        streams = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=tls_name or None, local_addr=(source, 0), limit=1 << 20
        )
        return cls(*streams)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    def send_head(self, host: str, path: str = "/", method: str = "GET", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def ask(self, host: str, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        if body:
            headers["Content_Length"] = str(len(body))
        self.send_head(host, path, method, **headers)
        if body:
            self.writer.write(body)
        return await self.answer(method)

    async def head(self) -> Answer:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = text.rstrip("\r\n").split("\r\n")
        headers = {key.lower(): value for key, _, value in (item.partition(": ") for item in rest)}
        return Answer(int(line.split(" ")[1]), headers, b"")

    async def answer(self, method: str = "GET") -> Answer:
        got = await self.head()
        if method == "HEAD":
            return got
        if "content-length" in got.headers:
            got.body = await self.reader.readexactly(int(got.headers["content-length"]))
        elif got.headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                got.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        return got


class RealEdge:
    """nginx with the embedded edge in a home of its own."""

    def __init__(self, **settings: object) -> None:
        # Not pytest's own folder: the workers could not enter it.
        self.home = Path(tempfile.mkdtemp(prefix="leeward-edge-", dir="/tmp"))
        self.home.chmod(0o711)
        self.settings = Settings.model_validate(
            {
                "home": self.home,
                "bind": "127.0.0.1",
                "http_port": free_port(),
                "https_port": free_port(),
                **settings,
            }
        )
        self.edge = EmbeddedEdge(self.settings, WallClock())
        self.process: asyncio.subprocess.Process | None = None
        self.log = self.home / "nginx.log"

    async def start(self) -> None:
        """Start nginx, as a supervisor would: it is up when its socket answers."""
        server.prepare(self.settings, WallClock())
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*server.argv(self.settings), stderr=log)
        async with asyncio.timeout(20):
            while True:
                assert self.process.returncode is None, self.log.read_text()
                with contextlib.suppress(Unavailable):
                    await self.edge.peers("nobody")
                    return
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End nginx."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def kill_master(self) -> None:
        """As if the kernel had ended it: its workers stay."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def workers(self) -> list[int]:
        """The pids of the workers, by their number."""
        texts = [file.read_text() for file in sorted((self.home / "edge" / "workers").iterdir())]
        return [int(text) for text in texts if text]

    def helpers(self) -> list[int]:
        """The pids of those that look after the cache; they have this home's configuration open."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cmdline").read_bytes().startswith(b"nginx: cache") and any(
                    os.readlink(file).startswith(f"{self.home}/") for file in (process / "fd").iterdir()
                ):
                    found.append(int(process.name))
        return found

    async def remove(self) -> None:
        """Leave nothing behind."""
        helpers = self.helpers()
        await self.stop()
        await self.edge.close()
        for pid in [*self.workers(), *helpers]:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith((b"nginx: worker", b"nginx: cache")):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    async def open(self, tls_name: str = "", source: str = "127.0.0.1") -> Wire:
        """A connection to the HTTP port, or with a name to the HTTPS port."""
        port = self.settings.https_port if tls_name else self.settings.http_port
        return await Wire.open(port, tls_name, source)

    async def ask(
        self, host: str, path: str = "/", method: str = "GET", body: bytes = b"", secure: bool = True, **headers: str
    ) -> Answer:
        """One request over a connection of its own."""
        wire = await self.open(host if secure else "")
        try:
            return await wire.ask(host, path, method, body, **headers)
        finally:
            await wire.close()
