"""What a cluster has beside its parts: names, resource metrics, and the kinds of the Gateway API."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import yaml

from tests.cluster.api import Api
from tests.cluster.images import ADDONS
from tests.cluster.layout import Layout, cache

SPACE = "kube-system"
KINDS = ("gatewayclasses", "gateways", "httproutes", "referencegrants")
"""Of the Gateway API: each kind costs the API server memory, so these are only those that are used."""
_METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"


def account(api: Api) -> None:
    """The account that pods of the namespace 'default' run as; its controller is in no hurry."""
    for space in ("default", SPACE):
        path = f"/api/v1/namespaces/{space}/serviceaccounts/default"
        # The namespace itself is made a moment after the server has come.
        while True:
            with contextlib.suppress(RuntimeError):
                api.apply(
                    path,
                    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": space}},
                )
                break


def apply(layout: Layout, api: Api) -> None:
    """All of it, in the cluster's own namespace."""
    api.apply_all(kinds())
    api.apply_all(names(layout))
    api.apply_all(metrics())


def ready(api: Api) -> bool:
    """Whether names are answered and the first counts are there."""
    for name in ("names", "metrics"):
        one = api.get(f"/apis/apps/v1/namespaces/{SPACE}/deployments/{name}")
        if not one["status"].get("readyReplicas"):
            return False
    with contextlib.suppress(httpx.HTTPError):
        # Numbers follow within seconds: a use is the difference of two counts.
        return "items" in api.get(_METRICS)
    return False


def kinds() -> Iterator[dict[str, Any]]:
    for name in KINDS:
        yield yaml.safe_load((cache() / "gateway-api" / f"gateway.networking.k8s.io_{name}.yaml").read_text())


def names(layout: Layout) -> Iterator[dict[str, Any]]:
    """DNS where every cluster has it: a Service 'kube-dns', before pods with its usual label."""
    reads = [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    chosen = {"k8s-app": "kube-dns"}
    yield from _runs("names", chosen, reads, {"httpGet": {"path": "/", "port": 8081}})
    ports = [{"name": name, "protocol": name.upper(), "port": 53} for name in ("udp", "tcp")]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": SPACE, "labels": chosen},
        "spec": {"clusterIP": layout.dns, "selector": chosen, "ports": ports},
    }


def metrics() -> Iterator[dict[str, Any]]:
    """The API that autoscalers read."""
    reads = [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes/metrics", "nodes/stats"], "verbs": ["get"]},
    ]
    chosen = {"k8s-app": "metrics"}
    yield from _runs("metrics", chosen, reads, {"httpGet": {"path": "/readyz", "port": 8443, "scheme": "HTTPS"}})
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics", "namespace": SPACE},
        "spec": {"selector": chosen, "ports": [{"port": 443, "targetPort": 8443}]},
    }
    yield {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics", "namespace": SPACE},
        },
    }
    # Whoever may look at pods may see what they use.
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "metrics-reader", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list"]}],
    }


def _runs(
    name: str, chosen: dict[str, str], reads: list[dict[str, Any]], probe: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    meta = {"name": name, "namespace": SPACE}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"leeward-cluster:{name}"},
        "rules": reads,
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"leeward-cluster:{name}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"leeward-cluster:{name}"},
        "subjects": [{"kind": "ServiceAccount", **meta}],
    }
    container = {
        "name": name,
        "image": ADDONS,
        "imagePullPolicy": "Never",
        "args": [name],
        "readinessProbe": {**probe, "periodSeconds": 1},
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": chosen},
            "template": {
                "metadata": {"labels": chosen},
                "spec": {
                    "serviceAccountName": name,
                    "priorityClassName": "system-cluster-critical",
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                },
            },
        },
    }
