"""A builder on a real cluster, for tests."""

import contextlib
import json
import secrets
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx

from leeward.builders.bases import Bases
from leeward.builders.distant import DistantBuilder
from leeward.engines.kubernetes.builds import ClusterBuilds
from leeward.engines.kubernetes.cluster import Cluster as Client
from leeward.engines.kubernetes.kinds import POD
from leeward.engines.kubernetes.kits import Kit, kit_namespace
from leeward.engines.kubernetes.rules import Rules
from leeward.fakes.builder import simple_plan
from leeward.model.login import Login
from leeward.ports import BuildJob
from leeward.registry.asked import Asked
from leeward.registry.blobs import Blobs
from leeward.registry.layers import digest
from leeward.registry.oci import OciRegistry
from leeward.settings import Settings
from tests.cluster import kit
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Layout, layout
from tests.contracts.tiny import tiny_layer

HOME = f"b{secrets.token_hex(3)}"
"""One pool for all tests of a run."""
MEMORY_MIB = 96


def tiny_in_registry(registry: str) -> str:
    """The tiny image in the cluster's own registry; its name."""
    layer = tiny_layer()
    facts = {"architecture": kit.architecture(), "os": "linux", "config": {"Env": ["PATH=/bin"]}}
    config = json.dumps({**facts, "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    with httpx.Client(base_url=f"http://{registry}", timeout=30, trust_env=False) as client:
        blobs = Blobs(client, "leeward-base/test-tiny", threading.Event())
        for blob in (layer, config):
            if not blobs.has(digest(blob)):
                blobs.upload(iter((blob,)))
        kind = "application/vnd.docker"
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.distribution.manifest.v2+json",
            "config": {"mediaType": f"{kind}.container.image.v1+json", "size": len(config), "digest": digest(config)},
            "layers": [
                {"mediaType": f"{kind}.image.rootfs.diff.tar", "size": len(layer), "digest": digest(layer)},
            ],
        }
        blobs.put_manifest("1", manifest)
    return f"{registry}/leeward-base/test-tiny:1"


class Galley:
    """One builder on the pool of this run, and a tree."""

    def __init__(self, cluster: Cluster, home: Path, **settings: object) -> None:
        lay = cluster.layout
        self.settings = Settings.model_validate(
            {
                "home": home / "home",
                "registry": lay.registry,
                "registry_embedded": False,
                "plain_registries": lay.registry,
                "buildctl": kit.buildctl(),
            }
        ).model_copy(update=settings)
        self.rules = Rules(home=HOME, region="test", cpu_request_percent=5)
        self.kit = Kit(
            image=kit.IMAGE,
            pods=1,
            millicpu=2000,
            memory_mib=MEMORY_MIB,
            disk_mib=1024,
            cache_mib=1024,
            registry=lay.registry,
            plain=(lay.registry,),
        )
        self.client = Client("test", lay.kubeconfig.read_text())
        self.pool = ClusterBuilds(self.client, self.rules, self.kit, self.settings.run_dir)
        self.asked = Asked(self.settings)
        self.registry = OciRegistry(self.settings)
        self.builder = DistantBuilder(self.settings, self.pool, Bases(self.settings), self.registry, lay.registry)
        self.base = tiny_in_registry(lay.registry)
        self.app = f"t{secrets.token_hex(4)}"
        self.tree = home / "tree"
        self.tree.mkdir()

    def job(
        self, *steps: str, env: Mapping[str, str] | None = None, key: str = "d1", secrets: tuple[str, ...] = ()
    ) -> BuildJob:
        """A build of these commands; the second line makes it differ from every other test's."""
        return self.of("\n".join((f"ENV TEST={self.app}", *(f"RUN {step}" for step in steps))), env, key, secrets)

    def of(
        self, text: str, env: Mapping[str, str] | None = None, key: str = "d1", secrets: tuple[str, ...] = ()
    ) -> BuildJob:
        """A build of this Dockerfile on the tiny image."""
        plan = replace(simple_plan(f"FROM {self.base}\n{text}"), build_secrets=secrets)
        return BuildJob(self.app, key, self.tree, plan, env or {})

    async def nobody(self, host: str) -> Login | None:
        """No registry wants a login here."""
        return None

    async def lose_pods(self) -> None:
        """Every pod of the pool is gone at once, as with its node."""
        at_once = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        path = POD.path(kit_namespace(self.rules))
        await self.client.ask("DELETE", path, what="build pods", body=at_once)

    def running(self) -> int:
        """Steps run on this machine: its processes are seen here, whoever's namespace they are in."""
        mark = f"TEST={self.app}".encode()
        found = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                found += mark in path.read_bytes()
        return found


@contextlib.asynccontextmanager
async def galley(cluster: Cluster, home: Path, **settings: object) -> AsyncIterator[Galley]:
    """A builder for one test."""
    made = Galley(cluster, home, **settings)
    try:
        yield made
    finally:
        await made.pool.close()


def on_nodes(lay: Layout | None = None) -> Cluster:
    """The cluster that runs, with BuildKit's image on every node."""
    cluster = Cluster(lay or layout())
    kit.on_nodes(cluster)
    return cluster


async def clear(cluster: Cluster, home: Path) -> None:
    """Take the pool of this run away."""
    async with galley(cluster, home) as made:
        await made.pool.remove()
