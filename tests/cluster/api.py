"""The few requests that the harness itself makes to its API server."""

import base64
import json
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx


def context(kubeconfig: Path) -> ssl.SSLContext:
    """Trust and identity of a kubeconfig."""
    config = json.loads(kubeconfig.read_text())
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    trust = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        trust.load_cert_chain(pair.name)
    return trust


class Api:
    """Plain JSON over HTTP."""

    def __init__(self, kubeconfig: Path) -> None:
        server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        self._http = httpx.Client(base_url=server, verify=context(kubeconfig), timeout=15, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def ready(self) -> bool:
        try:
            return self._http.get("/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, **query: str) -> Any:
        return self._http.get(path, params=query).raise_for_status().json()

    def text(self, path: str, **query: str) -> str:
        return self._http.get(path, params=query).raise_for_status().text

    def find(self, path: str) -> Any:
        """None where there is no such thing."""
        answer = self._http.get(path)
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self._http.post(path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._http.patch(path, content=json.dumps(body), headers=headers).raise_for_status().json()

    def delete(self, path: str, **query: str) -> httpx.Response:
        return self._http.delete(path, params=query)

    def apply(self, path: str, body: Any, manager: str = "leeward-cluster") -> Any:
        """Server-side apply to the object's own path."""
        answer = self._http.patch(
            path,
            params={"fieldManager": manager, "force": "true"},
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        if answer.is_error:
            raise RuntimeError(f"'{path}' was not applied: {answer.text}")
        return answer.json()

    def apply_all(self, objects: Iterable[dict[str, Any]]) -> None:
        for one in objects:
            self.apply(path_of(one), one)


_PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
_CLUSTER_WIDE = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "APIService",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "Node",
    "PersistentVolume",
    "GatewayClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def path_of(one: dict[str, Any]) -> str:
    """Where an object is in the API."""
    group, kind, meta = one["apiVersion"], one["kind"], one["metadata"]
    root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
    plural = _PLURALS.get(kind, f"{kind.lower()}es" if kind.endswith("ss") else f"{kind.lower()}s")
    space = "" if kind in _CLUSTER_WIDE else f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{root}{space}/{plural}/{meta['name']}"
