"""An engine on a real cluster, for tests."""

import asyncio
import contextlib
import functools
import hashlib
import io
import itertools
import json
import platform
import secrets
import tarfile
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from leeward.engines.kubernetes.engine import KubernetesEngine
from leeward.engines.kubernetes.kinds import DEPLOYMENT, NAMESPACE, POD
from leeward.engines.kubernetes.rules import Rules
from tests.cluster import images
from tests.cluster.cluster import Cluster
from tests.cluster.layout import layout
from tests.contracts.tiny import Lines, WallClock, tiny_layer

TINY = "localhost/leeward-test/tiny:1"


def needs_cluster() -> str:
    """The kubeconfig's text; skips the test, with the reason, where there is no cluster."""
    path = layout().kubeconfig
    if not path.exists() or not Cluster(layout()).alive():
        pytest.skip("needs a cluster: make cluster-up")
    return path.read_text()


@functools.cache
def tiny_in_cluster() -> str:
    """The tiny image on every node; its name."""
    cluster = Cluster(layout())
    if not cluster.alive():
        pytest.skip("needs a cluster: make cluster-up")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tiny.tar"
        file.write_bytes(_archive(tiny_layer(), TINY))
        images.load(cluster.layout, cluster.enter(), file)
    return TINY


def _archive(layer: bytes, name: str) -> bytes:
    """An image as `docker save` writes it."""
    config = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in (("config.json", config), ("layer.tar", layer), ("manifest.json", manifest)):
            item = tarfile.TarInfo(path)
            item.size = len(content)
            tar.addfile(item, io.BytesIO(content))
    return out.getvalue()


class Harbour:
    """One platform on the real cluster, which takes everything of its own away at the end."""

    web = "httpd -f -p $PORT -h /www"
    worker = "sleep 1000"
    silent = "sleep 999"
    crashing = "echo boom; exit 3"
    ending = "true"
    talking = "echo one; echo two"
    absent = "nothing-of-the-kind $PORT"
    lost = web
    _names = itertools.count(1)

    def __init__(self, kubeconfig: str, image: str, **rules: object) -> None:
        self.image = image
        self.home = secrets.token_hex(4)
        self.project = f"t{self.home}"
        self.rules = replace(
            Rules(home=self.home, region="test", domain="apps.example.com", cpu_request_percent=5),
            **rules,  # type: ignore[arg-type]
        )
        self._kubeconfig = kubeconfig
        self.lines = Lines()
        self.engine = self._made()
        self._run: asyncio.Task[None] | None = None

    def _made(self) -> KubernetesEngine:
        return KubernetesEngine(self.rules, self._kubeconfig, "", self.lines, WallClock())

    def app(self) -> str:
        return f"t{secrets.token_hex(3)}x{next(self._names)}"

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def vanish(self, instance: str) -> None:
        pod = self.engine.sight.named(instance)
        assert pod is not None
        await self.engine.cluster.ask(
            "DELETE",
            POD.path(pod.namespace, pod.name),
            what="pod",
            body={"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0},
        )

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
        self.engine = self._made()
        self.start()

    async def clean(self) -> None:
        """Delete all that is ours, pods at once."""
        cluster = self.engine.cluster
        match = {"labelSelector": f"leeward.dev/home={self.home}"}
        at_once = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        for kind in (DEPLOYMENT, POD):
            for item in (await cluster.ask("GET", kind.path(), what="all", params=match))["items"]:
                path = kind.path(item["metadata"]["namespace"], item["metadata"]["name"])
                with contextlib.suppress(Exception):
                    await cluster.ask("DELETE", path, what="one", body=at_once)
        for item in (await cluster.ask("GET", NAMESPACE.path(), what="all", params=match))["items"]:
            await cluster.delete(NAMESPACE, "", item["metadata"]["name"])


@contextlib.asynccontextmanager
async def harbour(kubeconfig: str, image: str, **rules: object) -> AsyncIterator[Harbour]:
    """A platform that runs."""
    made = Harbour(kubeconfig, image, **rules)
    made.start()
    try:
        yield made
    finally:
        await made.stop()
        await made.clean()
        await made.engine.close()
