"""What the edge knows of requests that are open: it must learn of each that begins, and of each that ends."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.edge_stage import App, RealEdge, Wire, app, free_port, why_not

from leeward.edges.embedded import server
from leeward.errors import Unavailable
from leeward.model.route import Route

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
async def silent() -> AsyncIterator[str]:
    """The peer of an instance that takes every request and never answers."""
    held: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda reader, writer: held.append(writer), "127.0.0.1", 0)
    yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    listener.close()
    for writer in held:
        writer.close()


def shop(*peers: str, **more: object) -> Route:
    return replace(Route("shop", (HOST,), peers, https_only=False), **more)  # type: ignore[arg-type]


async def opened(real: RealEdge, wanted: int, name: str = "shop") -> None:
    """Until so many requests of an app are open."""
    seen = -1
    try:
        async with asyncio.timeout(20):
            while seen != wanted:
                traffic = (await real.edge.traffic()).get(name)
                seen = traffic.open if traffic is not None else 0
    except TimeoutError:
        pytest.fail(f"{seen} requests of '{name}' are open")


async def waited_for(real: RealEdge) -> None:
    """Until the edge says that requests wait for the app."""
    async with asyncio.timeout(20):
        while await real.edge.waiting() != {"shop"}:
            pass


async def upload(real: RealEdge) -> Wire:
    """The first half of a request."""
    wire = await real.open()
    wire.send_head(HOST, "/upload", "POST", Content_Length="20")
    wire.writer.write(b"x" * 10)
    await wire.writer.drain()
    return wire


def abort(wire: Wire) -> None:
    wire.writer.transport.abort()


async def test_an_upload_is_open_until_it_is_answered(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wires = [await upload(real) for _ in range(3)]
    await opened(real, 3)

    for wire in wires:
        wire.writer.write(b"x" * 10)
        assert (await wire.answer()).status == 200
        await wire.close()

    await opened(real, 0)


async def test_a_stream_is_open_too(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await real.open()
    wire.send_head(HOST, "/ws", Connection="Upgrade", Upgrade="websocket")
    await wire.head()
    await opened(real, 1)

    await wire.close()

    await opened(real, 0)


async def test_what_a_client_gives_up_is_not_open_any_more(real: RealEdge, a: App, silent: str) -> None:
    await real.edge.put(shop(a.peer))
    uploads = [await upload(real) for _ in range(2)]
    await opened(real, 2)
    await real.edge.put(shop(silent))
    waiting = [await real.open() for _ in range(2)]
    for wire in waiting:
        wire.send_head(HOST)
    await opened(real, 4)

    for wire in (*uploads, *waiting):
        abort(wire)

    await opened(real, 0)


async def test_what_a_client_gives_up_over_http2_is_not_open_any_more(real: RealEdge, silent: str) -> None:
    await real.edge.put(shop(silent))
    port, curl = real.settings.https_port, shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    client = await asyncio.create_subprocess_exec(
        *(curl, "-sk", "--http2", "--parallel", "--resolve", f"{HOST}:{port}:127.0.0.1"),
        *(f"https://{HOST}:{port}/{number}" for number in range(3)),
    )
    await opened(real, 3)

    client.kill()
    await client.wait()

    await opened(real, 0)


async def test_a_request_is_open_until_its_end_though_its_route_is_dropped_meanwhile(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire, other = await upload(real), await upload(real)
    await opened(real, 2)

    await real.edge.drop("shop")
    await opened(real, 2)
    wire.writer.write(b"x" * 10)
    assert (await wire.answer()).status == 200
    abort(other)

    await opened(real, 0)
    await wire.close()


@pytest.mark.parametrize("firewall", ["off", "block"])
@pytest.mark.parametrize("cache", ["off", "all"])
async def test_nothing_stays_open_that_went_through_a_cache_or_a_firewall_or_ended_as_a_page(
    real: RealEdge, a: App, cache: str, firewall: str
) -> None:
    if firewall != "off" and not server.machine().firewall:
        pytest.skip("ModSecurity or its Core Rule Set is not installed")
    rules = {"cache": cache, "firewall": firewall}
    await real.edge.put(shop(a.peer, **rules))
    for _ in range(2):
        await real.ask(HOST, "/page", secure=False, X_Answer="Cache-Control: public, max-age=60")
    await real.ask(HOST, "/?q=%3Cscript%3Ealert(1)%3C/script%3E", secure=False)
    await real.ask(HOST, "/break", secure=False)
    await real.ask("nobody.lee.localhost", secure=False)
    wire = await real.open()
    wire.send_head(HOST, "/upload", "POST", Content_Length=str(2 << 30))
    await wire.head()
    await wire.close()
    await real.edge.put(shop(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", **rules))
    assert (await real.ask(HOST, "/other", secure=False)).status == 502
    await real.edge.put(shop(**rules))
    assert (await real.ask(HOST, secure=False)).status == 503
    await real.edge.put(shop(a.peer, https_only=True, **rules))
    assert (await real.ask(HOST, secure=False)).status == 308
    await real.edge.put(shop(a.peer, rate=1, rate_window_s=60, **rules))
    assert {(await real.ask(HOST, secure=False)).status for _ in range(3)} >= {429}

    assert (await real.edge.traffic())["shop"].requests > 8
    await opened(real, 0)


async def test_what_was_open_in_a_killed_worker_is_forgotten(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    wire = await upload(real)
    await opened(real, 1)
    before = real.workers()

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    for _ in range(500):
        with contextlib.suppress(Unavailable):
            if not set(before) & set(real.workers()) and await real.edge.peers("shop"):
                break
        await asyncio.sleep(0.02)
    await opened(real, 0)
    abort(wire)


async def test_what_ends_in_a_worker_that_was_asked_to_finish_does_not_stay_open(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(a.peer))
    uploads = [await upload(real) for _ in range(8)]
    await opened(real, 8)

    async def go_on(wire: Wire) -> None:
        """Ask until the worker closes the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await wire.ask(HOST)

    asking = [asyncio.create_task(go_on(await real.open())) for _ in range(8)]
    assert real.process is not None
    real.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        await asyncio.gather(*asking)

    for wire in uploads:
        abort(wire)

    await opened(real, 0)


# --- held -------------------------------------------------------------------------------------------------


async def test_what_is_held_for_an_app_that_sleeps_is_open_until_it_is_answered(real: RealEdge, a: App) -> None:
    await real.edge.put(shop(wakes=True))
    asking = asyncio.create_task(real.ask(HOST, secure=False))
    gone = await real.open()
    gone.send_head(HOST)
    await opened(real, 2)

    abort(gone)
    await real.edge.put(shop(a.peer, wakes=True))

    assert (await asking).status == 200
    await opened(real, 0)


async def test_what_is_held_while_its_host_goes_to_another_app_is_open_there(real: RealEdge, silent: str) -> None:
    await real.edge.put(shop(wakes=True))
    wire = await real.open()
    wire.send_head(HOST)
    await opened(real, 1)

    await real.edge.put(Route("other", (HOST,), (silent,), https_only=False))

    await opened(real, 1, "other")
    await opened(real, 0)
    abort(wire)
    await opened(real, 0, "other")


async def test_what_is_held_for_an_app_that_turns_out_to_fail_ends_at_once(real: RealEdge) -> None:
    await real.edge.put(shop(wakes=True))
    asking = asyncio.create_task(real.ask(HOST, secure=False))
    await waited_for(real)

    await real.edge.put(shop())

    async with asyncio.timeout(5):
        answer = await asking
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert b"not running" in answer.body
    assert await real.edge.waiting() == frozenset()
    await opened(real, 0)


async def test_what_is_held_by_an_edge_that_another_one_follows_is_told_at_once_to_come_again(real: RealEdge) -> None:
    await real.edge.put(shop(wakes=True))
    asking = asyncio.create_task(real.ask(HOST, secure=False))
    await waited_for(real)
    await real.kill_master()

    await real.start()

    async with asyncio.timeout(10):
        answer = await asking
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
