"""The control plane as its chart installs it, with PostgreSQL beside it, and the ways to ask and to hurt it."""

import base64
import json
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster import helm, kit
from tests.cluster.cluster import Cluster
from tests.cluster.command import run
from tests.cluster.layout import cache
from tests.cluster.load import kubectl
from tests.cluster.parts import hyper
from tests.cluster.test_cluster import push

SPACE = "control"
DOMAIN = "lee.test"
FINAL = ("live", "failed", "cancelled", "superseded")
# Its data outlives its process; while the file `away` is there it does not come back.
DATABASE = """\
while [ -e /data/away ]; do sleep 0.1; done
cd /data
if [ ! -e made ]; then
    /usr/lib/postgresql/bin/initdb -D pg -U leeward --auth=trust --no-sync --encoding=UTF8
    echo 'host all all all trust' >>pg/pg_hba.conf
    echo 'CREATE DATABASE leeward' | /usr/lib/postgresql/bin/postgres --single -D pg postgres
    : >made
fi
rm -f pg/postmaster.pid
exec /usr/lib/postgresql/bin/postgres -D pg -k /tmp -c listen_addresses='*' -c fsync=off
"""


class Control:
    """An installation in a cluster."""

    def __init__(self, cluster: Cluster, *more: str) -> None:
        self.cluster = cluster
        self._more = more
        self.image = ""
        self._secret: dict[str, str] = {}
        self._port = 0

    # --- coming and going ---------------------------------------------------------------------------------

    def install(self) -> str:
        """Images, the database, the chart; what Helm said."""
        client = ("--buildctl", str(kit.buildctl())) if kit.buildctl().exists() else ()
        helm.image(self.cluster, helm.LEEWARD, *client)
        helm.image(self.cluster, helm.POSTGRES, "--packages", "postgresql", nodes=1)
        self.apply(*objects(self.cluster.layout.first.name))
        program = cache() / "app"
        registry = self.cluster.layout.registry
        self.image = f"{registry}/shop@{push(f'http://{registry}/v2/shop', program)}"
        return self.helm("install")

    def helm(self, verb: str, *more: str) -> str:
        """Install or upgrade, and wait until every replica is ready."""
        return helm.helm(self.cluster, verb, "leeward", str(helm.CHART), *values(self.cluster), *self._more, *more)

    def remove(self, *, waits: bool = True) -> None:
        """All of it, and the project of its apps."""
        helm.helm(self.cluster, "uninstall", "leeward", "-n", SPACE, "--wait", check=False)
        kubectl(
            self.cluster,
            "delete",
            "namespace",
            SPACE,
            "leeward-default",
            "--ignore-not-found",
            f"--wait={str(waits).lower()}",
        )

    def apply(self, *made: dict[str, Any]) -> None:
        text = yaml.safe_dump_all(made)
        run(hyper("kubectl"), f"--kubeconfig={self.cluster.layout.kubeconfig}", "apply", "-f", "-", text=text)

    def kubectl(self, *words: str) -> str:
        done = kubectl(self.cluster, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # --- asking -------------------------------------------------------------------------------------------

    @contextmanager
    def client(self, host: str = f"console.{DOMAIN}", seconds: float = 10) -> Iterator[Callable[..., httpx.Response]]:
        """Ask as people do, with the certificate looked at: by a node's port, and so whichever replica leads."""
        if not self._secret:
            self._secret = json.loads(self.kubectl("get", "secret", "-n", SPACE, "leeward-keys", "-o", "json"))["data"]
            service = json.loads(self.kubectl("get", "service", "-n", SPACE, "leeward", "-o", "json"))
            self._port = next(one["nodePort"] for one in service["spec"]["ports"] if one["name"] == "https")
        trust = ssl.create_default_context(cadata=base64.b64decode(self._secret["root.pem"]).decode())
        token = base64.b64decode(self._secret["admin.token"]).decode()
        with httpx.Client(
            base_url=f"https://{self.cluster.layout.first.ip}:{self._port}",
            headers={"Host": host, "Authorization": f"Bearer {token}"},
            verify=trust,
            trust_env=False,
            timeout=seconds,
        ) as made:

            def ask(method: str, path: str, body: Any = None, content: bytes | None = None) -> httpx.Response:
                return made.request(method, path, json=body, content=content, extensions={"sni_hostname": host})

            yield ask

    def password(self) -> str:
        return base64.b64decode(self._secret["admin.password"]).decode()

    def deploy(self, app: str, **spec: Any) -> str:
        """Begin a deploy of the test program; its id."""
        web = {"command": "serve", "instances": 2, "size": "nano"}
        body = {"image": self.image, "spec": {"name": app, "processes": {"web": {**web, **spec}}}}
        with self.client() as ask:
            answer = ask("POST", f"/v1/apps/{app}/deploys", body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def ended(self, deploy: str, seconds: float = 90) -> dict[str, Any]:
        """The deploy once it has ended, however often the control plane goes away meanwhile."""
        return self.until(deploy, lambda one: one["status"] in FINAL, seconds)

    def until(self, deploy: str, good: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        deadline, found = time.monotonic() + seconds, {}
        while time.monotonic() < deadline:
            try:
                with self.client(seconds=3) as ask:
                    answer = ask("GET", f"/v1/deploys/{deploy}")
                if answer.status_code == 200 and good(found := answer.json()):
                    return found
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"within {seconds} s it did not come so far: {found}")

    def writes(self) -> bool:
        """Whether a change is taken now."""
        try:
            with self.client(seconds=1) as ask:
                return ask("POST", "/v1/tokens", {"name": "probe", "scope": "read"}).is_success
        except httpx.HTTPError:
            return False

    def seconds_until_it_writes(self, most: float = 60) -> float:
        began = time.monotonic()
        while not self.writes():
            assert time.monotonic() - began < most, self.replicas()
            time.sleep(0.05)
        return time.monotonic() - began

    # --- looking at replicas, and hurting them ------------------------------------------------------------

    def replicas(self) -> dict[str, dict[str, Any]]:
        chosen = "app.kubernetes.io/name=leeward"
        found = json.loads(self.kubectl("get", "pods", "-n", SPACE, "-l", chosen, "-o", "json"))["items"]
        return {one["metadata"]["name"]: one for one in found}

    def leaders(self) -> list[str]:
        every = self.replicas().items()
        return [name for name, one in every if one["metadata"]["labels"].get("leeward.dev/leads") == "yes"]

    def says(self) -> list[str]:
        return [one["metadata"].get("annotations", {}).get("leeward.dev/says", "") for one in self.replicas().values()]

    def restarts(self) -> int:
        return sum(
            status["restartCount"]
            for one in self.replicas().values()
            for status in one["status"].get("containerStatuses", ())
        )

    def settled(self) -> None:
        """Both replicas ready, and one of them leads."""
        self.cluster.until(self._whole, "two replicas, of which one leads", 90)

    def _whole(self) -> bool:
        every = self.replicas()
        conditions = [c for one in every.values() for c in one["status"].get("conditions", ())]
        ready = sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return len(every) == ready == 2 and len(self.leaders()) == 1

    def kill(self, pod: str) -> None:
        """End the control plane of a replica at once, as the kernel does when memory is short."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                mine = f"POD={pod}".encode() in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mine and b"daemon" in words and b"leeward" in words:
                os.kill(int(folder.name), signal.SIGKILL)
                return
        raise AssertionError(f"no control plane runs in '{pod}'")


def values(cluster: Cluster) -> tuple[str, ...]:
    """What is said to Helm."""
    repository, _, tag = helm.LEEWARD.rpartition(":")
    image = f"image.repository={repository},image.tag={tag},image.pullPolicy=Never"
    place = f"domain={DOMAIN},storage.size=,service.type=NodePort,settings.plain_registries={cluster.layout.registry}"
    return ("-n", SPACE, "--set", image, "--set", place, "--wait", "--timeout", "120s")


def objects(node: str) -> Iterator[dict[str, Any]]:
    """What the chart expects: a namespace (the strictest), a database, and the Secret that names it."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}}
    # The default account comes from a controller that is in no hurry.
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "postgres", "namespace": SPACE}}
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "leeward-database", "namespace": SPACE},
        "stringData": {"url": "postgresql://leeward@postgres/leeward"},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "postgres", "namespace": SPACE},
        "spec": {"selector": {"app": "postgres"}, "ports": [{"port": 5432}]},
    }
    folders = ("data", "tmp")
    container = {
        "name": "postgres",
        "image": helm.POSTGRES,
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", DATABASE],
        "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in folders],
    }
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "postgres", "namespace": SPACE, "labels": {"app": "postgres"}},
        "spec": {
            "serviceAccountName": "postgres",
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": name, "emptyDir": {}} for name in folders],
        },
    }
