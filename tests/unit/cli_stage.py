"""A platform that tests play: a real HTTP server in a thread, told what to answer."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

JSON = "application/json"
PROBLEM = "application/problem+json"


class Asked(NamedTuple):
    """One request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    status: int
    value: Any = None
    kind: str = ""


Say = Callable[["Talk", Asked], "Answer | None"]


class Talk(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "Stage"

    def log_message(self, format: str, *args: Any) -> None: ...

    def _any(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = Asked(
            self.command, url.path, query, {name.lower(): value for name, value in self.headers.items()}, self._body()
        )
        self.server.asked.append(asked)
        say = self.server.routes.get((asked.method, asked.path))
        answer = (
            say(self, asked) if say else Answer(404, {"code": "not-found", "detail": f"no '{asked.path}'"}, PROBLEM)
        )
        if answer is not None:
            self.answer(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, answer: Answer) -> None:
        text = answer.value if isinstance(answer.value, str) else json.dumps(answer.value)
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind or (JSON if answer.status < 400 else PROBLEM))
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def event(self, kind: str, data: Any) -> None:
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
        self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
        self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def drop(self) -> None:
        """Break the connection in the middle."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Stage(ThreadingHTTPServer):
    """The server; `routes` says what it answers, `asked` what came."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int = 0, tls: SSLContext | None = None) -> None:
        self.routes: dict[tuple[str, str], Say] = {}
        self.asked: list[Asked] = []
        super().__init__(("127.0.0.1", port), Talk)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None: ...

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, value: Any = None, status: int = 200) -> None:
        """Always answer a value."""
        self.routes[method, path] = lambda _talk, _asked: Answer(status, value)

    def play(self, method: str, path: str, *says: Say) -> None:
        """Answer one after the other; the last one for ever."""
        turns = iter(says[:-1])

        def next_one(talk: Talk, asked: Asked) -> Answer | None:
            return next(turns, says[-1])(talk, asked)

        self.routes[method, path] = next_one

    def of(self, method: str, path: str) -> list[Asked]:
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]


@contextmanager
def staged(port: int = 0, tls: SSLContext | None = None) -> Iterator[Stage]:
    stage = Stage(port, tls)
    try:
        yield stage
    finally:
        stage.shutdown()
        stage.server_close()


def step(phase: str, seconds: float | None) -> dict[str, Any]:
    return {"phase": phase, "started_at": "2026-11-24T06:00:00Z", "ended_at": None, "duration_s": seconds, "detail": ""}


RECEIPT = {"requests": 48213, "failed": 0, "p50_ms": 2.1, "p99_ms": 9.0, "sockets_kept": 112, "sockets_dropped": 0}
TIMINGS = {"fetch": 0.1, "plan": 0.05, "build": 0.3, "push": 0.05, "rollout": 2.1, "total": 2.7}


def deploy(status: str = "queued", **changes: Any) -> dict[str, Any]:
    """A deploy as the API shows it."""
    live = status == "live"
    return {
        "id": "d1",
        "app": "shop",
        "kind": "code",
        "status": status,
        "phase": "fetch",
        "release": "v2" if live else None,
        "commit": "abc",
        "image": "127.0.0.1:5010/shop@sha256:1" if live else "",
        "url": "https://shop.lee.localhost",
        "step": None,
        "error": None,
        "timings_s": TIMINGS if live else {},
        "receipt": RECEIPT if live else None,
        "steps": [step(name, 0.1) for name in ("fetch", "plan", "build", "push", "rollout")] if live else [],
        **changes,
    }


LIVE = {
    "app": "shop",
    "release": "v2",
    "commit": "abc",
    "image": "127.0.0.1:5010/shop@sha256:1",
    "url": "https://shop.lee.localhost",
    "status": "live",
    "timings_s": TIMINGS,
    "receipt": RECEIPT,
}
