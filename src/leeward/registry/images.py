"""The images in the engine's own store, over its API."""

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from leeward.errors import Unavailable
from leeward.model.login import Login

_NO_LOGIN = "e30="


class PullFailed(Exception):
    """The engine's own words about a pull that failed."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its names by tag and by digest, labels, when it was made, and the digests of its layers.

    `tagged` is when it got a name last; with `created` it is in Unix seconds.
    """

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    created: float = 0.0
    layers: tuple[str, ...] = ()
    tagged: float = 0.0
    arch: str = ""


class Images:
    """What we ask of the engine about images."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def find(self, name: str) -> Image | None:
        """The image with this name, digest reference or id."""
        answer = await self._ask("GET", f"/images/{quote(name, safe='/:@')}/json")
        if answer.status_code == 404:
            return None
        facts = _json(answer)
        return Image(
            facts["Id"],
            tuple(facts.get("RepoTags") or ()),
            tuple(facts.get("RepoDigests") or ()),
            facts["Config"].get("Labels") or {},
            layers=tuple(facts["RootFS"].get("Layers") or ()),
            tagged=_seconds((facts.get("Metadata") or {}).get("LastTagTime") or ""),
            arch=str(facts.get("Architecture") or ""),
        )

    async def list(self) -> Sequence[Image]:
        """Every image."""
        answer = _json(await self._ask("GET", "/images/json"))
        return [
            Image(
                item["Id"],
                tuple(name for name in item.get("RepoTags") or () if not name.startswith("<none>")),
                tuple(name for name in item.get("RepoDigests") or () if not name.startswith("<none>")),
                item.get("Labels") or {},
                float(item.get("Created") or 0),
            )
            for item in answer
        ]

    async def used(self) -> frozenset[str]:
        """The ids of images that any container, running or not, was made from."""
        answer = _json(await self._ask("GET", "/containers/json", params={"all": "1"}))
        return frozenset(item["ImageID"] for item in answer)

    async def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image one more name."""
        params = {"repo": repository, "tag": tag}
        _json(await self._ask("POST", f"/images/{quote(image, safe='/:@')}/tag", params=params))

    async def untag(self, name: str) -> bool:
        """Take one name away; with its last name the image goes. False when something still needs it."""
        answer = await self._ask("DELETE", f"/images/{quote(name, safe='/:@')}")
        return answer.status_code in (200, 404)

    async def pull(self, repository: str, tag: str, login: Login | None = None) -> None:
        """Pull by tag or digest. Raises PullFailed."""
        params = {"fromImage": repository, "tag": tag}
        try:
            async with (
                self._client() as client,
                client.stream(
                    "POST", "/images/create", params=params, headers={"X-Registry-Auth": _auth(login)}
                ) as answer,
            ):
                lines = [line async for line in answer.aiter_lines() if line.strip()]
                failed = answer.status_code >= 400
        except httpx.HTTPError as error:
            raise Unavailable("dockerd does not answer", hint="run `lee doctor`") from error
        for line in lines[-1:]:
            with contextlib.suppress(ValueError):
                last = json.loads(line)
                if failed or "error" in last:
                    raise PullFailed(str(last.get("error") or last.get("message") or line))

    async def export(self, image: str, into: int) -> None:
        """Write an image as `docker save` does to an open file. Raises Unavailable."""
        try:
            async with (
                self._client() as client,
                client.stream("GET", f"/images/{quote(image, safe=':')}/get") as answer,
            ):
                if answer.status_code != 200:
                    raise Unavailable("dockerd does not export the image", hint="run `lee doctor`")
                async for chunk in answer.aiter_bytes(1024 * 1024):
                    await asyncio.to_thread(os.write, into, chunk)
        except httpx.HTTPError as error:
            raise Unavailable("dockerd does not answer", hint="run `lee doctor`") from error

    async def prune_build_cache(self, keep_bytes: int) -> int:
        """Remove the build cache that was not used for longest, down to a budget; bytes that were freed."""
        # The same budget under its older and its newer name.
        params = {"keep-storage": str(keep_bytes), "reserved-space": str(keep_bytes), "all": "1"}
        answer = await self._ask("POST", "/build/prune", params=params)
        return int(_json(answer).get("SpaceReclaimed") or 0) if answer.status_code == 200 else 0

    async def layers_size(self) -> int:
        """Bytes of all layers in the store."""
        used = _json(await self._ask("GET", "/system/df"))
        return int(used.get("LayersSize") or (used.get("ImageUsage") or {}).get("TotalSize") or 0)

    async def data_root(self) -> tuple[Path, str]:
        """Where the engine keeps its data, and its storage driver."""
        facts = _json(await self._ask("GET", "/info"))
        return Path(facts["DockerRootDir"]), str(facts["Driver"])

    def _client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket), verify=False)
        timeout = httpx.Timeout(60.0, read=1800.0)
        # No TLS here: reading the certificate bundle would cost more than the call.
        return httpx.AsyncClient(transport=transport, verify=False, base_url="http://docker", timeout=timeout)

    async def _ask(self, method: str, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            async with self._client() as client:
                return await client.request(method, path, params=params)
        except httpx.HTTPError as error:
            raise Unavailable("dockerd does not answer", hint="run `lee doctor`") from error


def _seconds(text: str) -> float:
    """Unix seconds of a time in the engine's words; 0.0 for never."""
    with contextlib.suppress(ValueError):
        return max(0.0, datetime.fromisoformat(text).timestamp())
    return 0.0


def _auth(login: Login | None) -> str:
    """The header in which the engine takes a login."""
    if login is None:
        return _NO_LOGIN
    text = {"username": login.username, "password": login.password.reveal(), "serveraddress": login.host}
    return base64.urlsafe_b64encode(json.dumps(text).encode()).decode()


def _json(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        message = answer.json().get("message", "") if answer.content else ""
        raise Unavailable(f"dockerd refused '{answer.request.url.path}': {message}", hint="run `lee doctor`")
    return answer.json() if answer.content else {}
