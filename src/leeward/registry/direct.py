"""Keeps images where they are: in registries that are asked over HTTP, without a container engine."""

import re
from collections.abc import Mapping, Sequence

import httpx

from leeward.errors import FetchFailed, PushFailed
from leeward.model.image import BaseMark, Held, ImageFacts, LayerPackages
from leeward.model.login import DEFAULT_HOST, FindLogin, Login, host_of
from leeward.registry.blobs import accept, reason
from leeward.settings import Settings

_ASK_S = 20.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_HERE = "this control plane has no container engine"
_HUB = "registry-1.docker.io"


class DirectRegistry:
    """The port Registry where nothing is built: a foreign image is named by its digest, and stays where it is."""

    def __init__(self, settings: Settings, login: FindLogin | None = None) -> None:
        self._login = login
        self._plain = frozenset(filter(None, settings.plain_registries.replace(" ", "").split(",")))

    async def push(self, image_id: str, app: str, tag: str) -> str:
        """There is nothing to push. Raises PushFailed."""
        raise PushFailed(f"{_HERE}, so there is no image '{image_id[:19]}'", hint="deploy an image")

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
                    answer = await client.head(url, headers={**accept(), **await _signed(client, asked, login)})
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
        shown = DEFAULT_HOST if host == _HUB else host
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


def split(image: str) -> tuple[str, str, str]:
    """Host, repository, and tag or digest of an image's name. Raises FetchFailed."""
    host = host_of(image)
    rest = image if host == DEFAULT_HOST and not image.startswith(f"{DEFAULT_HOST}/") else image.partition("/")[2]
    repository, at, name = rest.partition("@")
    if not at:
        repository, colon, name = rest.rpartition(":")
        if not colon or "/" in name:
            repository, name = rest, "latest"
    if not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", repository) or not re.fullmatch(r"[\w.:-]{1,200}", name):
        raise FetchFailed(f"'{image}' is not the name of an image", hint="write it like 'registry.example.com/shop:1'")
    if host == DEFAULT_HOST:
        return _HUB, repository if "/" in repository else f"library/{repository}", name
    return host, repository, name


async def _signed(client: httpx.AsyncClient, asked: str, login: Login | None) -> Mapping[str, str]:
    """The header that a registry asks for: a token from where it says, or the login itself."""
    pair = (login.username, login.password.reveal()) if login else None
    scheme, _, rest = asked.partition(" ")
    fields = dict(_FIELD.findall(rest))
    if scheme.lower() == "bearer" and fields.get("realm", "").startswith("https://"):
        params = {key: fields[key] for key in ("service", "scope") if key in fields}
        answer = await client.get(fields["realm"], params=params, auth=pair)
        try:
            found = answer.json()
        except ValueError:
            found = {}
        if token := found.get("token") or found.get("access_token"):
            return {"Authorization": f"Bearer {token}"}
    if pair is not None and scheme.lower() == "basic":
        request = httpx.Request("GET", "https://unused.invalid")
        return {"Authorization": next(httpx.BasicAuth(*pair).auth_flow(request)).headers["Authorization"]}
    return {}
