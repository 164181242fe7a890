"""Measure the edge against a bare nginx, and against caddy and traefik where they are installed.

    python -m benchmarks.edge [--seconds 4] [--rounds 3] [--routes 1000]

One JSON object a line: name, value, unit, peer, peer_value, ratio. Load generator, proxies and upstream share the
machine, so requests per second are noisy; CPU time per request is the steadier figure. Peers take turns in each round.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.edge_stage import RealEdge, free_port

from benchmarks import end_in_order, figure
from leeward.edges.embedded import paths, server
from leeward.model.route import Route

HOST = "app500.lee.localhost"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Proxy:
    """Something that is measured."""

    name: str
    pid: int
    http: str
    https: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    micros: dict[str, list[float]] = field(default_factory=dict)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0.0
    for each in (str(pid), *children):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def measure(proxy: Proxy, kind: str, url: str, seconds: int) -> None:
    """One run of the load generator."""
    before = cpu_s(proxy.pid)
    command = ("wrk", "-t1", "-c32", f"-d{seconds}s", "-H", f"Host: {HOST}", url)
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu_s(proxy.pid) - before
    found = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not found or not rate or "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"{proxy.name} {kind} failed:\n{text}")
    proxy.rates.setdefault(kind, []).append(float(rate[1]))
    proxy.micros.setdefault(kind, []).append(spent / int(found[1]) * 1e6)


def report(name: str, value: float, unit: str, peer: str = "", peer_value: float | None = None) -> None:
    """Print one line."""
    figure(name, value, unit, peer=peer, peer_value=peer_value)


# --- the peers ------------------------------------------------------------------------------------------------------

NGINX = """
worker_processes {workers}; pid {folder}/{name}.pid; error_log stderr error; daemon off; worker_rlimit_nofile 20000;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
    {body}
}}
"""
UPSTREAM = """
    server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "{text}"; }} }}
"""
BARE = """
    upstream apps {{ server {peer}; keepalive 512; keepalive_requests 1000000; }}
    ssl_certificate {pem}; ssl_certificate_key {key};
    server {{
        listen 127.0.0.1:{http} reuseport; listen 127.0.0.1:{https} ssl http2 reuseport;
        location / {{
            proxy_pass http://apps; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
"""
CADDY = """
{{
    admin off
    auto_https off
    storage file_system {folder}/caddy
    default_bind 127.0.0.1
}}
http://:{http} {{
    reverse_proxy {peer}
}}
https://:{https} {{
    tls {pem} {key}
    reverse_proxy {peer}
}}
"""


def start(stack: ExitStack, *command: str) -> int:
    """Run a program until the end of the benchmark."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.terminate()
        process.wait()

    stack.callback(end)
    return process.pid


def start_nginx(stack: ExitStack, folder: Path, name: str, workers: int, body: str) -> int:
    file = folder / f"{name}.conf"
    file.write_text(NGINX.format(folder=folder, name=name, workers=workers, body=body))
    return start(stack, str(server.nginx()), "-p", f"{folder}/", "-c", str(file))


def others(stack: ExitStack, real: RealEdge, peer: str) -> list[Proxy]:
    """caddy and traefik, in front of the same upstream."""
    found = []
    pem, key = (paths.keys_dir(real.settings) / name for name in ("wildcard.pem", "wildcard.key"))
    folder = Path(sys.executable).parent
    if (folder / "caddy").is_file():
        http, https = free_port(), free_port()
        file = real.home / "Caddyfile"
        file.write_text(CADDY.format(folder=real.home, http=http, https=https, peer=peer, pem=pem, key=key))
        pid = start(stack, str(folder / "caddy"), "run", "--adapter", "caddyfile", "--config", str(file))
        found.append(Proxy("caddy", pid, f"http://127.0.0.1:{http}/", f"https://127.0.0.1:{https}/"))
    if (folder / "traefik").is_file():
        http, https = free_port(), free_port()
        file = real.home / "traefik.yml"
        router = {"rule": "PathPrefix(`/`)", "service": "apps"}
        dynamic = {
            "http": {
                "routers": {
                    "plain": {**router, "entryPoints": ["plain"]},
                    "tls": {**router, "entryPoints": ["tls"], "tls": {}},
                },
                "services": {"apps": {"loadBalancer": {"servers": [{"url": f"http://{peer}"}]}}},
            },
            "tls": {"stores": {"default": {"defaultCertificate": {"certFile": str(pem), "keyFile": str(key)}}}},
        }
        file.write_text(json.dumps(dynamic))
        pid = start(
            stack,
            str(folder / "traefik"),
            f"--entrypoints.plain.address=127.0.0.1:{http}",
            f"--entrypoints.tls.address=127.0.0.1:{https}",
            f"--providers.file.filename={file}",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        )
        found.append(Proxy("traefik", pid, f"http://127.0.0.1:{http}/", f"https://127.0.0.1:{https}/"))
    return found


# --- the measurements -----------------------------------------------------------------------------------------------


async def changes(real: RealEdge, routes: Sequence[Route]) -> list[float]:
    """Milliseconds from a put until it returned, each followed by a request that must see it."""
    clock, times = time.perf_counter, []
    for turn in range(100):
        host = f"new{turn}.lee.localhost"
        began = clock()
        await real.edge.put(replace(routes[turn], hosts=(*routes[turn].hosts, host)))
        times.append((clock() - began) * 1000)
        answer = await real.ask(host, secure=False)
        assert answer.status == 200, answer
    return times


async def wait_for(url_port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", url_port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def main(seconds: int, rounds: int, count: int, alone: bool) -> None:
    """Start all, measure in turns, report medians."""
    real = RealEdge()
    with ExitStack() as stack:
        try:
            upstream = free_port()
            peer = f"127.0.0.1:{upstream}"
            start_nginx(stack, real.home, "upstream", 1, UPSTREAM.format(port=upstream, text="x" * 99))
            await real.start()
            routes = [Route(f"app{n}", (f"app{n}.lee.localhost",), (peer,), https_only=False) for n in range(count)]
            await real.edge.sync(routes, [])
            assert real.process is not None
            ours = Proxy(
                "leeward",
                real.process.pid,
                f"http://127.0.0.1:{real.settings.http_port}/",
                f"https://127.0.0.1:{real.settings.https_port}/",
            )
            http, https = free_port(), free_port()
            keys = paths.keys_dir(real.settings)
            body = BARE.format(peer=peer, http=http, https=https, pem=keys / "wildcard.pem", key=keys / "wildcard.key")
            workers = server.machine().workers
            pid = start_nginx(stack, real.home, "bare", workers, body)
            bare = Proxy("nginx", pid, f"http://127.0.0.1:{http}/", f"https://127.0.0.1:{https}/")
            proxies = [ours, bare, *([] if alone else others(stack, real, peer))]
            for proxy in proxies:
                for url in (proxy.http, proxy.https):
                    await wait_for(int(url.rstrip("/").rpartition(":")[2]))
            await asyncio.to_thread(take_turns, proxies, seconds, rounds)
            report_all(ours, proxies[1:])
            times = await changes(real, routes)
            report(f"edge_route_change_{count}_routes_p50", statistics.median(times), "ms")
            report(f"edge_route_change_{count}_routes_p99", sorted(times)[98], "ms")
        finally:
            await real.remove()


def take_turns(proxies: Sequence[Proxy], seconds: int, rounds: int) -> None:
    """Every proxy once in each round, so that what else the machine does falls on all of them."""
    for turn in range(rounds):
        # The first of a round is another one each time.
        for proxy in (*proxies[turn % len(proxies) :], *proxies[: turn % len(proxies)]):
            measure(proxy, "http", proxy.http, seconds)
            measure(proxy, "https", proxy.https, seconds)


def report_all(ours: Proxy, peers: Sequence[Proxy]) -> None:
    """Medians of ours beside those of each peer."""
    middle: Callable[[list[float]], float] = statistics.median
    for kind in ("http", "https"):
        for peer in peers:
            rate, micros = round(middle(peer.rates[kind]), 2), round(middle(peer.micros[kind]), 2)
            report(f"edge_{kind}_requests", middle(ours.rates[kind]), "requests/s", peer.name, rate)
            report(f"edge_{kind}_cpu", middle(ours.micros[kind]), "us/request", peer.name, micros)


if __name__ == "__main__":
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--routes", type=int, default=1000)
    parser.add_argument("--bare", action="store_true", help="leave caddy and traefik out")
    options = parser.parse_args()
    asyncio.run(main(options.seconds, options.rounds, options.routes, options.bare))
