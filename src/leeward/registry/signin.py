"""Signs in at a registry in the way that it asks for."""

import re
from collections.abc import Mapping

import httpx

from leeward.errors import FetchFailed
from leeward.model.login import DEFAULT_HOST, Login, host_of

HUB = "registry-1.docker.io"
_FIELD = re.compile(r'(\w+)="([^"]*)"')


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
        return HUB, repository if "/" in repository else f"library/{repository}", name
    return host, repository, name


async def signed(client: httpx.AsyncClient, asked: str, login: Login | None) -> Mapping[str, str]:
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
