"""An admission webhook on this machine: HTTPS, with an authority of its own, refusing what a test says."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cluster.certificates import Authority
from tests.cluster.cluster import Cluster
from tests.cluster.load import kubectl

NAME = "rules.example.com"


@contextmanager
def webhook(cluster: Cluster, folder: Path, plural: str, message: str, *, answers: bool = True) -> Iterator[list[str]]:
    """Objects of one kind are refused in projects' namespaces; the names of those that it was asked about.

    Not `answers`: the cluster asks a port on which nobody listens.
    """
    asked: list[str] = []
    host = cluster.layout.host
    Authority(folder, "ca").issue("server", "webhook", addresses=(host,))
    server = _serve(folder, host, message, asked)
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if not answers:
        server.shutdown()
        server.server_close()
    api = cluster.api
    path = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{NAME}"
    try:
        api.apply(path, _configuration(folder, f"https://{host}:{port}/", plural))
        # The API server learns of it a moment later: it works when something is refused.
        probe = ("create", "deployment", "probe", "-n", "default", "--image=none", "--dry-run=server")
        cluster.until(lambda: "webhook" in kubectl(cluster, *probe).stderr, "the webhook", 30)
        yield asked
    finally:
        api.delete(path)
        cluster.until(lambda: "webhook" not in kubectl(cluster, *probe).stderr, "the end of the webhook", 30)
        api.close()
        if answers:
            server.shutdown()
            server.server_close()


def _serve(folder: Path, host: str, message: str, asked: list[str]) -> ThreadingHTTPServer:
    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(f"{review['request']['namespace']}/{review['request']['name']}")
            answer = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": message}}
            body = json.dumps({**review, "request": None, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Refuses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _configuration(folder: Path, url: str, plural: str) -> dict[str, Any]:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [plural]}
    bundle = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    hook = {
        "name": NAME,
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [rule],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
        # Apps, and what the test itself asks about; never the control plane.
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["leeward-default", "default"]}
            ]
        },
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [hook],
    }
