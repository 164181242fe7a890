"""The peer of a deploy: what people script themselves, with docker, pip and nginx."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import httpx
from tests.edge_stage import free_port

from benchmarks.docker import address, bundle, docker
from leeward.builders.recipes import RECIPES

BASE = "python3.13-build"
WAIT_S = 60.0
INSTALL = """
RUN --mount=type=secret,id=leeward_ca --mount=type=secret,id=leeward_pip_index \\
    : {mark} && with-ca pip install --no-cache-dir --break-system-packages -r requirements.txt
"""
HEAD, START = "FROM {base}\nWORKDIR /app\n", 'CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8080"]\n'
# Dependencies in a layer of their own; and, as it is often seen, after the code, so that each change installs again.
LAYERED = f"{HEAD}COPY requirements.txt .{INSTALL}COPY . .\n{START}"
REINSTALLING = f"{HEAD}COPY . .{INSTALL}{START}"
NGINX = """
worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/app.conf;
}}
"""
SERVER = """
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://{peer}; proxy_set_header Host $host; }}
}}
"""


class Pipeline:
    """`docker build`, `docker run`, wait until it answers, `nginx -s reload`, with an nginx of its own."""

    def __init__(self, tree: Path, mark: str, pip_index: str = "", *, reinstalls: bool = False) -> None:
        how = "pip after each change" if reinstalls else "pip"
        self.name = f"docker build ({how}) + docker run + wait + nginx reload"
        self._dockerfile = REINSTALLING if reinstalls else LAYERED
        self.tree = tree
        self.mark = mark
        self._pip_index = pip_index
        self._image = f"leeward-bench/peer-{mark}"
        self._folder = Path(tempfile.mkdtemp(prefix="leeward-bench-peer-"))
        self._port = free_port()
        self._turn = 0
        self._container = ""
        self._old = ""
        self._nginx: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self.close())

    def start(self) -> None:
        """Have the proxy run, with nothing behind it yet."""
        (self._folder / "Dockerfile").write_text(self._dockerfile.format(base=RECIPES[BASE].image, mark=self.mark))
        (self._folder / "index").write_text(self._pip_index)
        (self._folder / "nginx.conf").write_text(NGINX.format(folder=self._folder))
        self._route("127.0.0.1:9")
        argv = (*self._command, "-c", str(self._folder / "nginx.conf"))
        self._nginx = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def deploy(self) -> dict[str, float]:
        """One deploy; the seconds of each step. It answers `peer-<turn>` as its release."""
        self._turn += 1
        old, clock, steps = self._container, time.perf_counter, {}
        began = clock()
        await self._build()
        steps["build"], began = clock() - began, clock()
        self._container = f"leeward-bench-peer-{self.mark}-{self._turn}"
        release = f"LEEWARD_RELEASE={self.release}"
        await docker("run", "--detach", "--name", self._container, "--env", release, f"{self._image}:{self._turn}")
        peer = f"{await address(self._container)}:8080"
        steps["run"], began = clock() - began, clock()
        await self._healthy(f"http://{peer}/health")
        steps["wait"], began = clock() - began, clock()
        self._route(peer)
        await asyncio.to_thread(
            subprocess.run,
            (*self._command, "-c", f"{self._folder}/nginx.conf", "-s", "reload"),
            check=True,
            capture_output=True,
        )
        steps["reload"] = clock() - began
        self._old = old
        return {name: round(value, 3) for name, value in steps.items()}

    async def tidy(self) -> None:
        """Remove the container that was replaced."""
        if self._old:
            await docker("rm", "--force", self._old)
            self._old = ""

    @property
    def url(self) -> str:
        """Where its proxy answers."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def release(self) -> str:
        """What the newest release says of itself."""
        return f"peer-{self._turn}"

    async def close(self) -> None:
        """Take away proxy, containers and images."""
        if self._nginx is not None:
            self._nginx.terminate()
            await asyncio.to_thread(self._nginx.wait, 10)
        filters = f"name=leeward-bench-peer-{self.mark}"
        if names := (await docker("ps", "--all", "--quiet", "--filter", filters)).split():
            await docker("rm", "--force", *names, may_fail=True)
        if images := (await docker("images", "--quiet", self._image)).split():
            await docker("rmi", "--force", *dict.fromkeys(images), may_fail=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _command(self) -> tuple[str, ...]:
        return ("/usr/sbin/nginx", "-p", f"{self._folder}/")

    async def _build(self) -> None:
        secrets = [f"--secret=id=leeward_ca,src={bundle()}"]
        if self._pip_index:
            secrets.append(f"--secret=id=leeward_pip_index,src={self._folder / 'index'}")
        name = f"--tag={self._image}:{self._turn}"
        file = f"--file={self._folder / 'Dockerfile'}"
        await docker("build", "--quiet", *secrets, file, name, str(self.tree))

    async def _healthy(self, url: str) -> None:
        async with asyncio.timeout(WAIT_S), httpx.AsyncClient(timeout=5) as client:
            while True:
                try:
                    if (await client.get(url)).is_success:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)

    def _reload(self) -> None:
        argv = (*self._command, "-c", str(self._folder / "nginx.conf"), "-s", "reload")
        subprocess.run(argv, check=True, capture_output=True)

    def _route(self, peer: str) -> None:
        (self._folder / "app.conf").write_text(SERVER.format(port=self._port, peer=peer))
