"""A login at a foreign registry, and which registry an image's name means."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from leeward.model.secret import Secret

# What a name without a host means, and the names that the same registry has elsewhere.
DEFAULT_HOST = "docker.io"
_SAME = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"})
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Login:
    """Who pulls from a registry; the password is a token where the registry gives these out."""

    host: str
    username: str
    password: Secret
    created_at: datetime | None = None


FindLogin = Callable[[str], Awaitable[Login | None]]
"""The login at a host, if there is one."""

_CLIENT_NAMES = {DEFAULT_HOST: f"https://index.{DEFAULT_HOST}/v1/"}


def client_config(logins: Iterable[Login]) -> str:
    """The configuration of a docker client that is signed in."""
    auths = {
        _CLIENT_NAMES.get(login.host, login.host): {
            "auth": base64.b64encode(f"{login.username}:{login.password.reveal()}".encode()).decode()
        }
        for login in logins
    }
    return json.dumps({"auths": auths})


def host_of(image: str) -> str:
    """The registry of an image's name."""
    first, slash, _ = image.partition("/")
    return plain_host(first) if slash and (set(".:") & set(first) or first == "localhost") else DEFAULT_HOST


def plain_host(text: str) -> str:
    """A registry's host as it is kept: without a scheme and a path, in small letters, one name for one registry."""
    host = re.sub(r"^https?://", "", text.strip().lower()).partition("/")[0]
    return DEFAULT_HOST if host in _SAME else host
