"""Keeps images where they are: in registries that are asked over HTTP, without a container engine."""

import re
from collections.abc import Mapping, Sequence

import httpx

from leeward.errors import FetchFailed, PushFailed
from leeward.model.image import BaseMark, Held, ImageFacts, LayerPackages
from leeward.model.login import DEFAULT_HOST, FindLogin, host_of
from leeward.registry.asked import Asked
from leeward.registry.blobs import accept, reason
from leeward.registry.signin import HUB, signed, split
from leeward.settings import Settings

_ASK_S = 20.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HERE = "this control plane has no container engine"


class DirectRegistry:
    """The port Registry where nothing is built: a foreign image is named by its digest, and stays where it is."""

    def __init__(self, settings: Settings, login: FindLogin | None = None) -> None:
        self._login = login
        self._plain = frozenset(filter(None, settings.plain_registries.replace(" ", "").split(",")))
        self._asked = Asked(settings, login)

    async def push(self, image_id: str, app: str, tag: str) -> str:
        """There is nothing to push. Raises PushFailed."""
        raise PushFailed(f"{_HERE}, so there is no image '{image_id[:19]}'", hint="deploy an image")

    async def adopt(self, reference: str, app: str, tag: str) -> str:
        """Name an image by a tag that its builder pushed already; its reference by digest. Raises PushFailed."""
        return await self._asked.tag(reference, tag)

    async def publish(self, image: str) -> None:
        """There is nothing to publish. Raises PushFailed."""
        raise PushFailed(f"{_HERE}, so there is no '{image}'", hint="LEEWARD_BASE_REGISTRY names ready base images")

    async def size(self, reference: str) -> int:
        """The bytes of a pushed image as they travel. Raises PushFailed when it is not there."""
        return await self._asked.size(reference)

    async def pin(self, image: str, app: str, tag: str) -> str:
        """The image by its digest, as its registry has it now. Raises FetchFailed."""
        host, repository, name = split(image)
        login = await self._login(host_of(image)) if self._login else None
        scheme = "http" if host in self._plain else "https"
        url = f"{scheme}://{host}/v2/{repository}/manifests/{name}"
        try:
            async with httpx.AsyncClient(timeout=_ASK_S, follow_redirects=True) as client:
                answer = await client.head(url, headers=accept())
                if answer.status_code == 401:
                    asked = answer.headers.get("www-authenticate", "")
                    answer = await client.head(url, headers={**accept(), **await signed(client, asked, login)})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise FetchFailed(
                f"the registry of '{image}' did not answer: {why}",
                hint="check its name; one that speaks plain HTTP is named in LEEWARD_PLAIN_REGISTRIES",
            ) from error
        if answer.status_code in (401, 403):
            hint = f"check its name; if it needs a login: `lee registries add {host_of(image)} --username NAME`"
            raise FetchFailed(f"the registry does not give the image '{image}'", hint=hint, code="registry-login")
        if answer.status_code == 404:
            raise FetchFailed(f"the registry has no image '{image}'", hint="check its name and its tag")
        digest = answer.headers.get("docker-content-digest", "")
        if answer.status_code != 200 or not _DIGEST.fullmatch(digest):
            raise FetchFailed(f"the registry of '{image}' answered {answer.status_code}: {reason(answer) or 'nothing'}")
        shown = DEFAULT_HOST if host == HUB else host
        return f"{shown}/{repository}@{digest}"

    async def ensure(self, reference: str) -> None:
        """The nodes pull what they run."""

    async def describe(self, reference: str) -> ImageFacts:
        """Nothing is known of what is in it."""
        return ImageFacts(reference, (), "", None)

    async def contents(self, reference: str, known: frozenset[str] = frozenset()) -> Mapping[str, LayerPackages]:
        """Nothing is known of what is in it."""
        return {}

    async def rebase(self, reference: str, app: str, tag: str, base: str, onto: BaseMark) -> str:
        """Nothing is rebased here. Raises PushFailed."""
        raise PushFailed(f"{_HERE}, so nothing is rebased", hint="deploy a newer image")

    async def held(self) -> Sequence[Held]:
        """No image is held here."""
        return ()

    async def forget(self, app: str) -> None:
        """Nothing was kept."""

    async def collect(self, keep: Mapping[str, frozenset[str]]) -> int:
        """Nothing was kept."""
        return 0
