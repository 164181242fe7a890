"""Sign in at Google Cloud: as the account of this machine or pod, or with the key of a service account."""

import asyncio
import base64
import functools
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from leeward.errors import Invalid, Unavailable

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
_ASK_S = 10.0
_VALID_S = 3600
# A request that is under way must not see the end of its token.
_EARLY_S = 300.0


@functools.cache
def trust() -> ssl.SSLContext:
    """What every connection trusts; reading it takes longer than a request."""
    return httpx.create_ssl_context()


class Tokens:
    """Gives tokens; each is used until shortly before its end."""

    def __init__(self, metadata: str, key_file: Path | None = None) -> None:
        self._metadata = metadata
        self._key_file = key_file
        self._token, self._until = "", 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> str:
        """A token. Raises Unavailable, Invalid."""
        async with self._turn:
            if time.monotonic() >= self._until:
                found = await (self._by_key() if self._key_file else self._by_place())
                self._token = str(found["access_token"])
                self._until = time.monotonic() + max(0.0, float(found.get("expires_in", 0)) - _EARLY_S)
            return self._token

    async def _by_place(self) -> Mapping[str, Any]:
        """With Workload Identity the metadata server of a pod gives the token of the Google account it is bound to."""
        async with httpx.AsyncClient(timeout=_ASK_S, verify=trust(), trust_env=False) as client:
            answer = await _asked(client, "GET", f"{self._metadata}{_METADATA}", headers={"Metadata-Flavor": "Google"})
        return _token(answer, "this machine or pod has no Google account")

    async def _by_key(self) -> Mapping[str, Any]:
        assert self._key_file is not None
        try:
            key = json.loads(await asyncio.to_thread(self._key_file.read_bytes))
            url, form = str(key["token_uri"]), {"grant_type": _GRANT, "assertion": assertion(key, int(time.time()))}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Invalid(
                f"'{self._key_file}' is not the key of a service account: {type(error).__name__}",
                hint="LEEWARD_GOOGLE_KEY_FILE names the JSON file that Google gives out",
            ) from error
        async with httpx.AsyncClient(timeout=_ASK_S, verify=trust()) as client:
            answer = await _asked(client, "POST", url, data=form)
        return _token(answer, "Google does not accept the key of the service account")


def assertion(key: Mapping[str, Any], now: int) -> str:
    """What the holder of a key signs to be given a token. Raises ValueError, KeyError."""
    private = serialization.load_pem_private_key(str(key["private_key"]).encode(), password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError("no RSA key")
    claims = {"iss": key["client_email"], "scope": _SCOPE, "aud": key["token_uri"], "iat": now, "exp": now + _VALID_S}
    head = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id", "")}
    text = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(claims).encode())}"
    return f"{text}.{_packed(private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def _asked(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> httpx.Response:
    try:
        return await client.request(method, url, **options)
    except httpx.HTTPError as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise Unavailable(
            f"Google gives no token: '{url.partition('?')[0]}' does not answer ({why})",
            hint="run on Google Cloud with an account, or set LEEWARD_GOOGLE_KEY_FILE",
        ) from error


def _token(answer: httpx.Response, otherwise: str) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = {}
    if answer.status_code != 200 or not isinstance(found, dict) or "access_token" not in found:
        said = (
            found.get("error_description") or found.get("error") or answer.status_code if found else answer.status_code
        )
        raise Unavailable(f"{otherwise}: {said}", hint="bind one by Workload Identity, or set LEEWARD_GOOGLE_KEY_FILE")
    return found
