"""Asks any registry over HTTP, signed in as it wishes, about images that somebody else pushed."""

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx

from leeward.errors import FetchFailed, LeewardError, NotFound, PushFailed, Unavailable
from leeward.model.login import FindLogin, Login, host_of
from leeward.ports import Entry, ImageContent, LayerContent
from leeward.registry.blobs import accept, reason
from leeward.registry.signin import signed, split
from leeward.settings import Settings

_ASK_S = 30.0
_CHUNK = 1024 * 1024
_LOCAL = ("127.", "localhost", "[::1]")


class Asked:
    """One image of a registry at a time."""

    def __init__(self, settings: Settings, login: FindLogin | None = None) -> None:
        self._login = login
        self._plain = frozenset(filter(None, settings.plain_registries.replace(" ", "").split(",")))

    async def manifest(self, reference: str) -> tuple[bytes, str]:
        """A manifest, byte for byte, and its kind. Raises PushFailed."""
        answer = await self._ask("GET", reference, headers=accept())
        if answer.status_code == 404:
            raise PushFailed(f"the registry has no image '{reference}'", hint="deploy again: it is built anew")
        self._check(answer, reference)
        return answer.content, answer.headers.get("content-type", "")

    async def has(self, reference: str) -> bool:
        """Whether the registry has it. Raises PushFailed."""
        answer = await self._ask("HEAD", reference, headers=accept())
        if answer.status_code == 404:
            return False
        self._check(answer, reference)
        return True

    async def size(self, reference: str) -> int:
        """The bytes of its layers as they travel. Raises PushFailed."""
        content, _ = await self.manifest(reference)
        return sum(int(layer["size"]) for layer in json.loads(content).get("layers", ()))

    async def tag(self, reference: str, name: str) -> str:
        """Give it a tag in its own repository; the reference by digest. Raises PushFailed."""
        content, kind = await self.manifest(reference)
        repository = reference.rpartition("@")[0]
        answer = await self._ask("PUT", f"{repository}:{name}", content=content, headers={"Content-Type": kind})
        self._check(answer, reference)
        return f"{repository}@sha256:{hashlib.sha256(content).hexdigest()}"

    async def discard(self, reference: str) -> bool:
        """Delete it; False where the registry does not let us."""
        with contextlib.suppress(LeewardError):
            return (await self._ask("DELETE", reference)).status_code in (200, 202, 404)
        return False

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[ImageContent]:
        """Its configuration and layers, the latter read as they come. Raises NotFound, Unavailable."""
        try:
            content, _ = await self.manifest(reference)
            about = json.loads(content)
            config = await self._ask("GET", reference, path=f"blobs/{about['config']['digest']}")
            self._check(config, reference)
            headers = await self._headers(reference)
        except PushFailed as error:
            raise NotFound(error.message, hint=error.hint) from error
        root = self._root(reference)
        with httpx.Client(timeout=_ASK_S, follow_redirects=True, headers=headers) as client:
            yield ImageContent(
                config.content,
                [
                    LayerContent(diff, partial(_read, client, f"{root}/blobs/{layer['digest']}"))
                    for diff, layer in zip(
                        json.loads(config.content)["rootfs"]["diff_ids"], about["layers"], strict=True
                    )
                ],
            )

    def _root(self, reference: str) -> str:
        try:
            host, repository, _ = split(reference)
        except FetchFailed as error:
            raise PushFailed(error.message, hint=error.hint) from error
        plain = host in self._plain or host.startswith(_LOCAL)
        return f"{'http' if plain else 'https'}://{host}/v2/{repository}"

    async def _headers(self, reference: str) -> Mapping[str, str]:
        """What signs further requests in."""
        async with httpx.AsyncClient(timeout=_ASK_S, follow_redirects=True) as client:
            answer = await client.head(f"{self._root(reference)}/manifests/{split(reference)[2]}", headers=accept())
            if answer.status_code != 401:
                return {}
            return await signed(client, answer.headers.get("www-authenticate", ""), await self._found(reference))

    async def _found(self, reference: str) -> Login | None:
        return await self._login(host_of(reference)) if self._login else None

    async def _ask(self, method: str, reference: str, *, path: str = "", **options: Any) -> httpx.Response:
        url = f"{self._root(reference)}/{path or f'manifests/{split(reference)[2]}'}"
        headers = dict(options.pop("headers", {}))
        try:
            async with httpx.AsyncClient(timeout=_ASK_S, follow_redirects=True) as client:
                answer = await client.request(method, url, headers=headers, **options)
                if answer.status_code == 401:
                    asked = answer.headers.get("www-authenticate", "")
                    more = await signed(client, asked, await self._found(reference))
                    answer = await client.request(method, url, headers={**headers, **more}, **options)
                return answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise PushFailed(
                f"the registry of '{reference}' did not answer: {why}",
                hint="one that speaks plain HTTP is named in LEEWARD_PLAIN_REGISTRIES",
            ) from error

    def _check(self, answer: httpx.Response, reference: str) -> None:
        if answer.status_code in (401, 403):
            hint = f"give the platform a login: `lee registries add {host_of(reference)} --username NAME`"
            raise PushFailed(f"the registry does not let us see '{reference}'", hint=hint, code="registry-login")
        if answer.is_error:
            raise PushFailed(f"the registry of '{reference}' answered {answer.status_code}: {reason(answer)}")


def _read(client: httpx.Client, url: str) -> Iterator[Entry]:
    """The files of a layer, packed or not."""
    try:
        with client.stream("GET", url) as answer:
            answer.raise_for_status()
            body = io.BufferedReader(_Body(answer.iter_bytes(_CHUNK)))
            packed = body.peek(2)[:2] == b"\x1f\x8b"
            with tarfile.open(fileobj=gzip.GzipFile(fileobj=body) if packed else body, mode="r|") as layer:
                for member in layer:
                    header = member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
                    file = layer.extractfile(member) if member.isreg() else None
                    yield Entry(member.name, header, iter(partial(file.read, _CHUNK), b"") if file else ())
    except (httpx.HTTPError, tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise Unavailable(f"the registry did not give a layer to its end: {error}", hint="it is tried again") from error


class _Body(io.RawIOBase):
    """An answer that goes on, as a file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
