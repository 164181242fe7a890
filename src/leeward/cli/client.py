"""Ask the API over HTTP, and answer in our own errors."""

import json
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from leeward.cli.config import Config, is_here
from leeward.cli.config import load as load_config
from leeward.errors import (
    Conflict,
    Forbidden,
    Invalid,
    LeewardError,
    NotFound,
    Problem,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
)

CONNECT_S, ANSWER_S, UPLOAD_S = 5.0, 30.0, 300.0
# The server sends a sign of life more often than this, or the stream is taken as dropped.
STREAM_S = 45.0
_UNREACHED_HINT = "look with `lee doctor`, or start it with `lee up`"


class Event(NamedTuple):
    """One event of a stream."""

    kind: str
    data: Any
    id: str = ""


class _HereTransport(httpx.HTTPTransport):
    """Connects `*.localhost` to this machine even where the resolver does not know it; Host and SNI stay."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host.endswith(".localhost"):
            request.extensions = {**request.extensions, "sni_hostname": host}
            request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)


class Platform:
    """The API of one platform. Use it as a context manager."""

    def __init__(self, config: Config) -> None:
        self.url = config.url
        self.reached = False
        """Whether it answered once: from then on a silence is a restart, not a wrong address."""
        here = is_here(urlsplit(config.url).hostname or "")
        trust = _trust(config)
        headers = {"accept": "application/json", "user-agent": "lee"}
        if not re.fullmatch(r"[\x21-\x7e]*", config.token):
            raise Unauthorized(
                "the token holds characters that no token has", hint="copy it again; `lee login` keeps it"
            )
        if config.token:
            headers["authorization"] = f"Bearer {config.token}"
        self._http = httpx.Client(
            base_url=config.url,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # With a transport of our own no proxy of the environment is used.
            transport=_HereTransport(verify=trust) if here else None,
            verify=trust,
        )

    @classmethod
    def connect(cls) -> "Platform":
        """The platform that the configuration names; nothing is sent yet."""
        return cls(load_config())

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """The answer's value. Raises LeewardError."""
        return self._ask("GET", path, params=_present(params))

    def items(self, path: str, limit: int | None = None, **params: Any) -> list[Any]:
        """All values of a list (or `limit` of them), page by page."""
        found: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.get(path, **{**params, "limit": min(limit or 200, 200), **cursor})
            if isinstance(page, list):
                return page[:limit]
            found += page["items"]
            if not page.get("next") or (limit is not None and len(found) >= limit):
                return found[:limit]
            cursor = {"after": page["next"]}

    def post(self, path: str, body: Any = None, *, key: str = "", wait_s: float = ANSWER_S, params: Any = None) -> Any:
        """Ask for something; `key` makes it the same wish when it is sent again."""
        headers = {"idempotency-key": key} if key else {}
        timeout = httpx.Timeout(wait_s, connect=CONNECT_S)
        return self._ask("POST", path, json=body or {}, headers=headers, timeout=timeout, params=params)

    def put(self, path: str, body: Any) -> Any:
        """Say how something should be."""
        return self._ask("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """Say how a part of something should be."""
        return self._ask("PATCH", path, json=body)

    def delete(self, path: str, **params: Any) -> Any:
        """Ask for the end of something."""
        return self._ask("DELETE", path, params=_present(params))

    def upload(self, path: str, chunks: Iterable[bytes], **params: Any) -> Any:
        """Send bytes as they come."""
        return self._ask(
            "POST",
            path,
            params=_present(params),
            content=iter(chunks),
            headers={"content-type": "application/octet-stream"},
            timeout=httpx.Timeout(UPLOAD_S, connect=CONNECT_S),
        )

    @contextmanager
    def stream(self, path: str, last: str = "", params: Mapping[str, Any] | None = None) -> Iterator[Iterator[Event]]:
        """The events of an SSE stream until it ends. Raises Unavailable when it drops."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if last:
            headers["last-event-id"] = last
        timeout = httpx.Timeout(STREAM_S, connect=CONNECT_S)
        ask = self._http.stream("GET", path, params=_present(params or {}), headers=headers, timeout=timeout)
        with self._translated(), ask as response:
            if response.status_code >= 400:
                response.read()
            self._checked(response)
            yield events(response.iter_lines())

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        with self._translated():
            response = self._http.request(method, path, **options)
        self._checked(response)
        if response.status_code == 204 or not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(response) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            # OpenSSL's own words come last in the chain of causes.
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise Unavailable(
                    f"the platform at '{self.url}' showed a certificate that is not trusted here",
                    hint="name its CA file with LEEWARD_CA, or `lee login URL --ca FILE`",
                    code="untrusted",
                ) from error
            what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "could not be reached"
            raise Unavailable(
                f"the platform at '{self.url}' {what}", hint=_UNREACHED_HINT, code="unreachable"
            ) from error

    def _checked(self, response: httpx.Response) -> None:
        if response.status_code in (502, 503, 504) and not _is_problem(response):
            raise Unavailable(f"the platform at '{self.url}' could not be reached", hint=_UNREACHED_HINT)
        self.reached = True
        if response.is_success:
            return
        if not _is_problem(response):
            raise self._stranger(response)
        raise named(response.status_code, response.json())

    def _stranger(self, response: httpx.Response) -> LeewardError:
        if response.is_redirect:
            to = response.headers.get("location", "")
            return Invalid(f"'{self.url}' sends us on to '{to}'", hint="use that address with `lee login`")
        if response.status_code >= 500:
            return LeewardError(f"the platform at '{self.url}' failed with status {response.status_code}")
        return NotFound(
            f"'{self.url}' does not answer like a platform (status {response.status_code})",
            hint="look at the address in LEEWARD_URL, or `lee login URL` again",
            code="not-a-platform",
        )


def path(*parts: object) -> str:
    """`/v1/…` of parts that may hold anything."""
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Read server-sent events."""
    kind, last = "message", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Event(kind, _value("\n".join(data)), last)
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                last = value
            case _:
                pass


def named(status: int, problem: Mapping[str, Any]) -> LeewardError:
    """The error that a problem+json means."""
    message = str(problem.get("detail") or problem.get("title") or f"the platform answered {status}")
    hint, code = str(problem.get("hint") or ""), str(problem.get("code") or "") or None
    match status:
        case 401:
            hint = hint or "sign in with `lee login URL`"
            return Unauthorized(message, hint=hint, code=code)
        case 403:
            return Forbidden(message, hint=hint, code=code)
        case 404:
            return NotFound(message, hint=hint, code=code)
        case 409:
            return Conflict(message, hint=hint, code=code)
        case 413:
            return TooLarge(message, hint=hint, code=code)
        case 429:
            return TooMany(message, hint=hint, code=code)
        case 502 | 503 | 504:
            return Unavailable(message, hint=hint, code=code)
        case _ if status < 500:
            problems = [
                Problem(str(p.get("path", "")), str(p.get("message", "")), str(p.get("hint") or ""))
                for p in problem.get("problems") or ()
            ]
            return Invalid(problems or message, hint=hint, code=code)
        case _:
            return LeewardError(message, hint=hint, code=code)


def _is_problem(response: httpx.Response) -> bool:
    if not response.headers.get("content-type", "").startswith(("application/problem+json", "application/json")):
        return False
    try:
        # A stranger's API may answer JSON as well; ours always has a code.
        problem = response.json()
        return isinstance(problem, dict) and "code" in problem
    except ValueError:
        return False


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _present(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, "")}


def _trust(config: Config) -> ssl.SSLContext | bool:
    """The system's certificates and the platform's own CA."""
    if config.url.startswith("http://"):
        return False
    context = ssl.create_default_context()
    if config.ca is not None:
        try:
            context.load_verify_locations(config.ca)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                f"the CA file '{config.ca}' could not be read: {error}", hint="look at LEEWARD_CA, or 'ca' in cli.toml"
            ) from error
    return context
