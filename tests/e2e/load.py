"""Ask an app in every way that a deploy could break, until told to stop, and count what failed.

    python -m tests.e2e.load HOST PORT SECONDS [KIND...]

It ends early when its standard input closes, and prints one JSON object.

Only addresses of this machine are asked: every connection goes to 127.0.0.1.
"""

import asyncio
import contextlib
import json
import ssl
import sys
import time
from collections import Counter
from collections.abc import Sequence

import websockets

ADDRESS = "127.0.0.1"
SESSION_S = 4.0


class Load:
    """Loops of requests against one host name at the edge."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.latencies: list[float] = []
        self.stopping = asyncio.Event()
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    async def run(self, seconds: float, kinds: Sequence[str] = ()) -> dict[str, object]:
        """All loops (or those of `kinds`) at once, for `seconds` at most."""
        loops = {"keep_alive": 4, "fresh": 2, "uploads": 2, "sockets": 3, "streams": 3}
        tasks = [asyncio.create_task(getattr(self, kind)()) for kind in kinds or loops for _ in range(loops[kind])]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        self.stopping.set()
        await asyncio.gather(*tasks)
        times = sorted(self.latencies)
        return {
            **self.counts,
            "failed": len(self.failures),
            "failures": self.failures[:20],
            "p50_ms": round(times[len(times) // 2] * 1000, 1) if times else None,
            "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1) if times else None,
        }

    def fail(self, kind: str, why: object) -> None:
        self.failures.append(
            f"{time.time():.2f} {kind}: {type(why).__name__ if isinstance(why, Exception) else ''} {why}"
        )

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(ADDRESS, self.port, ssl=self.tls, server_hostname=self.host)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, close: bool) -> int:
        connection = "close" if close else "keep-alive"
        writer.write(f"GET / HTTP/1.1\r\nHost: {self.host}\r\nConnection: {connection}\r\n\r\n".encode())
        return await self.answer(reader)

    async def answer(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = 0
        for line in head.split("\r\n"):
            if line.lower().startswith("content-length:"):
                length = int(line.split(":")[1])
        if length:
            await reader.readexactly(length)
        elif "chunked" in head.lower():
            while (size := int((await reader.readline()).strip() or b"0", 16)) > 0:
                await reader.readexactly(size + 2)
            await reader.readline()
        return int(head.split(" ")[1])

    async def keep_alive(self) -> None:
        """Requests over one connection, each 20 ms; a connection that the server closed between two is opened anew."""
        while not self.stopping.is_set():
            try:
                reader, writer = await self.open()
                while not self.stopping.is_set():
                    began = time.monotonic()
                    status = await self.ask(reader, writer, close=False)
                    self.latencies.append(time.monotonic() - began)
                    self.counts["keep_alive"] += 1
                    if status != 200:
                        self.fail("keep-alive", status)
                    await asyncio.sleep(0.02)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError, ValueError) as error:
                self.fail("keep-alive", error)
                await asyncio.sleep(0.05)

    async def fresh(self) -> None:
        """A connection for each request."""
        while not self.stopping.is_set():
            try:
                reader, writer = await self.open()
                status = await self.ask(reader, writer, close=True)
                self.counts["fresh"] += 1
                if status != 200:
                    self.fail("fresh", status)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError, ValueError) as error:
                self.fail("fresh", error)
            await asyncio.sleep(0.05)

    async def uploads(self) -> None:
        """A body that takes a second and a half to send."""
        while not self.stopping.is_set():
            try:
                reader, writer = await self.open()
                head = (
                    f"POST /upload HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 15000\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode())
                for _ in range(15):
                    writer.write(b"x" * 1000)
                    await writer.drain()
                    await asyncio.sleep(0.1)
                status = await self.answer(reader)
                self.counts["uploads"] += 1
                if status != 200:
                    self.fail("upload", status)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError, ValueError) as error:
                self.fail("upload", error)
                await asyncio.sleep(0.05)

    async def sockets(self) -> None:
        """A websocket that says something each 200 ms for four seconds; ending sooner is a drop."""
        while not self.stopping.is_set():
            try:
                async with websockets.connect(
                    f"wss://{self.host}/ws", host=ADDRESS, port=self.port, ssl=self.tls, open_timeout=10
                ) as socket:
                    ends = time.monotonic() + SESSION_S
                    while time.monotonic() < ends and not self.stopping.is_set():
                        await socket.send("ping")
                        if await asyncio.wait_for(socket.recv(), 10) != "ping":
                            self.fail("websocket", "another answer")
                        await asyncio.sleep(0.2)
                self.counts["websockets"] += 1
            except (OSError, websockets.WebSocketException, TimeoutError) as error:
                self.fail("websocket", error)
                await asyncio.sleep(0.05)

    async def streams(self) -> None:
        """An event stream of five seconds; 25 events must come."""
        while not self.stopping.is_set():
            try:
                reader, writer = await self.open()
                accept = "Accept: text/event-stream\r\nConnection: close"
                head = f"GET /events HTTP/1.1\r\nHost: {self.host}\r\n{accept}\r\n\r\n"
                writer.write(head.encode())
                body = b""
                while chunk := await asyncio.wait_for(reader.read(4096), 15):
                    body += chunk
                events = body.count(b"data: ")
                self.counts["streams"] += 1
                if events != 25:
                    self.fail("stream", f"{events} of 25 events, {body[:60]!r}")
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError) as error:
                self.fail("stream", error)
                await asyncio.sleep(0.05)


async def main(host: str, port: int, seconds: float, kinds: Sequence[str]) -> None:
    load = Load(host, port)

    async def until_input_ends() -> None:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        load.stopping.set()

    ends = asyncio.create_task(until_input_ends())
    print(json.dumps(await load.run(seconds, kinds)), flush=True)
    ends.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
    sys.stdout.flush()
    import os

    os._exit(0)
