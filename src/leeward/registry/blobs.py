"""Speaks to the registry over its HTTP API, for as long as a push takes."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_ACCEPT = ", ".join((MANIFEST, LIST, OCI_MANIFEST, OCI_INDEX))


class Refused(Exception):
    """The registry said no, or nothing."""


class Away(Refused):
    """The registry said nothing: it starts, or is being started again."""


class Stopped(Exception):
    """The push was cancelled."""


class Blobs:
    """One repository of a registry, over one connection. Use from one thread; `stop` may be set from another."""

    def __init__(self, client: httpx.Client, repository: str, stop: threading.Event) -> None:
        self._client, self._repository, self._stop = client, repository, stop

    def has(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        return self._ask("HEAD", f"blobs/{digest}").status_code == 200

    def mount(self, digest: str, other: str) -> bool:
        """Take the blob over from another repository of the registry, without its bytes."""
        answer = self._ask("POST", "blobs/uploads/", params={"mount": digest, "from": other})
        if answer.status_code == 202:
            self._ask("DELETE", answer.headers["Location"])
        return answer.status_code == 201

    def upload(self, content: Iterator[bytes]) -> tuple[str, int]:
        """Send a blob whose digest is known only at its end: digest and size."""
        seen, size = hashlib.sha256(), 0

        def parts() -> Iterator[bytes]:
            nonlocal size
            for part in content:
                if self._stop.is_set():
                    raise Stopped
                seen.update(part)
                size += len(part)
                yield part

        begun = self._expect(self._ask("POST", "blobs/uploads/"), 202)
        sent = self._expect(self._ask("PATCH", begun.headers["Location"], content=parts()), 202)
        digest = f"sha256:{seen.hexdigest()}"
        self._expect(self._ask("PUT", sent.headers["Location"], params={"digest": digest}), 201)
        return digest, size

    def put_manifest(self, tag: str, manifest: Mapping[str, Any]) -> str:
        """Store the manifest under a tag; its digest."""
        content = json.dumps(manifest, separators=(",", ":")).encode()
        answer = self._ask("PUT", f"manifests/{tag}", content=content, headers={"Content-Type": MANIFEST})
        self._expect(answer, 201)
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        if self._stop.is_set():
            raise Stopped
        url = path if path.startswith(("http:", "https:", "/v2/")) else f"/v2/{self._repository}/{path}"
        if "params" in options:
            url = str(self._client.build_request(method, url).url.copy_merge_params(options.pop("params")))
        try:
            return self._client.request(method, url, **options)
        except httpx.HTTPError as error:
            raise Away(f"the registry did not answer: {error}") from error

    def _expect(self, answer: httpx.Response, status: int) -> httpx.Response:
        if answer.status_code != status:
            raise Refused(f"the registry answered {answer.status_code}: {reason(answer)}")
        return answer


def reason(answer: httpx.Response) -> str:
    """The registry's own words."""
    try:
        return "; ".join(str(item.get("message", "")) for item in answer.json()["errors"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def accept() -> Mapping[str, str]:
    """The header that asks for a manifest in every format that we know."""
    return {"Accept": _ACCEPT}
