"""KEDA with its HTTP add-on, built once for each version from their Go modules, as pods of a cluster."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.command import Missing, asked_for, run
from tests.cluster.images import archive, load
from tests.cluster.layout import cache
from tests.cluster.program import go

KEDA, ADD_ON = "v2.20.2", "v0.15.0"
SPACE = "keda"
_MODULES = {"keda": f"github.com/kedacore/keda/v2@{KEDA}", "add-on": f"github.com/kedacore/http-add-on@{ADD_ON}"}
_PROGRAMS = {
    "keda-operator": ("keda", "./cmd/operator"),
    "http-interceptor": ("add-on", "./interceptor"),
    "http-scaler": ("add-on", "./scaler"),
}
_KINDS = {
    "keda": ("scaledobjects", "scaledjobs", "triggerauthentications", "clustertriggerauthentications"),
    "add-on": ("httpscaledobjects", "interceptorroutes"),
}


def folder() -> Path:
    return cache().parent / f"keda-{KEDA}-{ADD_ON}"


def build() -> None:
    """Have its programs and kinds. Raises Missing where they cannot be had, or take minutes unasked."""
    lack = [name for name in (*_PROGRAMS, "kinds.yaml") if not (folder() / name).exists()]
    if not lack:
        return
    asked_for(f"KEDA {KEDA}")
    print(f"building KEDA {KEDA} and its HTTP add-on {ADD_ON}: minutes the first time", file=sys.stderr, flush=True)
    folder().mkdir(parents=True, exist_ok=True)
    places = {name: _place(module) for name, module in _MODULES.items()}
    for name, (module, package) in _PROGRAMS.items():
        env = ("CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local")
        argv = ("nice", "-n", "5", "env", *env, go(), "build", "-C", str(places[module]), "-trimpath")
        try:
            run(*argv, "-ldflags", "-s -w", "-o", str(folder() / name), package, timeout_s=2400)
        except RuntimeError as error:
            raise Missing(f"'{name}' could not be built: {error}") from error
    kinds = [kind for module, place in places.items() for kind in _kinds(module, place)]
    (folder() / "kinds.yaml").write_text(yaml.safe_dump_all(kinds))


def _place(module: str) -> Path:
    told = run(go(), "mod", "download", "-json", module, timeout_s=600, check=False).stdout
    if "Dir" not in (found := json.loads(told or "{}")):
        raise Missing(f"'{module}' could not be had: {found.get('Error', told)}")
    return Path(found["Dir"])


def _kinds(module: str, place: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((place / "config" / "crd" / "bases").glob("*.yaml")):
        if file.stem.partition("_")[2] in _KINDS[module]:
            yield yaml.safe_load(file.read_text())


def up(cluster: Cluster) -> None:
    """Run it: the operator that scales, the scaler that it asks, the interceptor that holds requests."""
    build()
    for name in _PROGRAMS:
        file = cluster.layout.home / f"{name}.tar"
        file.write_bytes(archive(folder() / name, f"localhost/{name}:1"))
        load(cluster.layout, cluster.enter(), file)
        file.unlink()
    api = cluster.api
    try:
        api.apply_all(yaml.safe_load_all((folder() / "kinds.yaml").read_text()))
        # The server refuses to list a new kind for a moment: 'storage is (re)initializing'.
        cluster.until(lambda: _listed(api), "the new kinds", 60)
        api.apply_all(_objects())
        for name in _PROGRAMS:
            path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/{name}"
            cluster.until(
                lambda path=path: bool(api.get(path)["status"].get("readyReplicas")),  # type: ignore[misc]
                f"'{name}'",
                120,
            )
    finally:
        api.close()


def _listed(api: Api) -> bool:
    try:
        for path in ("keda.sh/v1alpha1/scaledobjects", "http.keda.sh/v1beta1/interceptorroutes"):
            api.get(f"/apis/{path}")
    except httpx.HTTPStatusError:
        return False
    return True


def down(cluster: Cluster) -> None:
    """Take it away, with its kinds."""
    if not (folder() / "kinds.yaml").exists():
        return
    api = cluster.api
    try:
        # Each has a mark of the operator, without whom it would never go.
        left = "/apis/keda.sh/v1alpha1/scaledobjects"
        with contextlib.suppress(RuntimeError, httpx.HTTPStatusError):
            cluster.until(lambda: not api.get(left)["items"], "the end of what KEDA scaled", 60)
        api.delete(f"/api/v1/namespaces/{SPACE}")
        for kind in yaml.safe_load_all((folder() / "kinds.yaml").read_text()):
            api.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind['metadata']['name']}")
    finally:
        api.close()


def _objects() -> Iterator[dict[str, Any]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "keda", "namespace": SPACE}}
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "leeward-cluster:keda"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "keda", "namespace": SPACE}],
    }
    words = ["--enable-cert-rotation=true", "--cert-dir=/certs", "--enable-webhook-patching=false"]
    yield _runs("keda-operator", [*words, "--enable-apiservice-patching=false"], {"WATCH_NAMESPACE": ""}, 8081)
    yield _runs("http-interceptor", [], {"KEDA_HTTP_PROXY_PORT": "8080", "KEDA_HTTP_ADMIN_PORT": "9090"}, 9090)
    asks = {
        "KEDA_HTTP_SCALER_TARGET_ADMIN_NAMESPACE": SPACE,
        "KEDA_HTTP_SCALER_TARGET_ADMIN_DEPLOYMENT": "http-interceptor",
        "KEDA_HTTP_SCALER_TARGET_ADMIN_SERVICE": "keda-add-ons-http-interceptor-admin",
        "KEDA_HTTP_SCALER_TARGET_ADMIN_PORT": "9090",
        "KEDA_HTTP_SCALER_PORT": "9090",
    }
    yield _runs("http-scaler", [], asks, 9090)
    yield _service("keda-operator", "keda-operator", 9666)
    yield _service("keda-add-ons-http-interceptor-admin", "http-interceptor", 9090)
    yield _service("keda-add-ons-http-interceptor-proxy", "http-interceptor", 8080)
    yield _service("keda-add-ons-http-external-scaler", "http-scaler", 9090)


def _service(name: str, program: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"selector": {"app": program}, "ports": [{"name": "one", "port": port, "targetPort": port}]},
    }


def _runs(name: str, words: list[str], env: dict[str, str], port: int) -> dict[str, Any]:
    own = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{field}"}}} for key, field in _OWN]
    container = {
        "name": name,
        "image": f"localhost/{name}:1",
        "imagePullPolicy": "Never",
        "args": words,
        "env": [*({"name": key, "value": value} for key, value in env.items()), *own],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "certs", "mountPath": "/certs"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "serviceAccountName": "keda",
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "certs", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    }


_OWN = (("POD_NAMESPACE", "namespace"), ("POD_NAME", "name"))
