"""Talk to one cluster's API server, in JSON."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException, WebSocketUpgradeError
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from leeward.engines.kubernetes.failures import failure, unreachable
from leeward.engines.kubernetes.kinds import Kind, kind_of
from leeward.engines.kubernetes.signin import credentials, manner
from leeward.errors import Invalid, LeewardError, NotFound, Unavailable

MANAGER = "leeward"
_ASK_S = 15.0
# With the command that signs in, which may hang.
_SIGNED_S = 60.0
# What such a command prints may be no JSON, or hold no token.
_UNSIGNED = (ConfigError, OSError, KeyError, TypeError, ValueError)
# Longer than any watch is kept open by the server; a peer that died is found by the kernel's probes much sooner.
_SILENCE_S = 400.0
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_EXEC = ["v5.channel.k8s.io", "v4.channel.k8s.io"]


class Cluster:
    """The narrow port to an API server. Raises failures of ours only."""

    def __init__(self, region: str, kubeconfig: str, context: str = "") -> None:
        self.region = region
        self._config = credentials(kubeconfig, context)
        self._manner = manner(kubeconfig, self._config)
        self.server: str = self._config.cluster.server
        self._made: httpx2.AsyncClient | None = None

    @property
    def name(self) -> str:
        """The cluster's name in the kubeconfig."""
        return str(self._config.context.cluster)

    @property
    def _client(self) -> httpx2.AsyncClient:
        if self._made is None:
            user = self._config.user or User()
            try:
                verify = verify_cluster(self._config.cluster, user, self._config.abs_file, trust_env=False)
                auth = user_auth(user)
            except (ConfigError, OSError, ValueError) as error:
                raise Invalid(f"the kubeconfig of region '{self.region}' cannot be used: {error}") from error
            self._made = httpx2.AsyncClient(
                base_url=self.server,
                auth=auth,
                headers=dict(self._manner.headers),
                transport=httpx2.AsyncHTTPTransport(
                    verify=verify,
                    proxy=self._manner.proxy or None,
                    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60),
                    socket_options=_KEEP_ALIVE,
                ),
                timeout=httpx2.Timeout(_ASK_S, pool=None),
                trust_env=False,
            )
        return self._made

    async def close(self) -> None:
        """Let go of all connections."""
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()

    # --- asking -------------------------------------------------------------------------------------------

    async def ask(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        seconds: float = _ASK_S,
    ) -> Any:
        """One request, one answer."""
        try:
            async with asyncio.timeout(_SIGNED_S):
                response = await self._client.request(
                    method,
                    path,
                    params=params,
                    content=json.dumps(body).encode() if body is not None else None,
                    headers={"Accept": accept, **({"Content-Type": content} if body is not None else {})},
                    timeout=httpx2.Timeout(seconds, pool=None),
                )
        except httpx2.HTTPError as error:
            raise unreachable(self.region, self.server, _why(error)) from error
        except TimeoutError as error:
            raise unreachable(self.region, self.server, f"no answer within {_SIGNED_S:.0f} s") from error
        except _UNSIGNED as error:
            raise _unsigned(self.region, error) from error
        if response.status_code >= 400:
            raise failure(response.status_code, _status(response.content), self.region, what)
        return json.loads(response.content) if response.content else {}

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """One object; None when there is none."""
        try:
            found: dict[str, Any] = await self.ask("GET", kind.path(namespace, name), what=f"{kind.kind} '{name}'")
        except NotFound:
            return None
        return found

    async def apply(self, made: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Server-side apply: what we name is as we say, what others added stays. `dry_run` only asks."""
        kind, meta = kind_of(made), made["metadata"]
        found: dict[str, Any] = await self.ask(
            "PATCH",
            kind.path(meta.get("namespace", ""), meta["name"]),
            what=f"{kind.kind} '{meta['name']}'",
            params={
                "fieldManager": MANAGER,
                "force": "true",
                "fieldValidation": "Strict",
                **({"dryRun": "All"} if dry_run else {}),
            },
            body=made,
            content="application/apply-patch+yaml",
        )
        return found

    async def patch(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change what is named in `body`; None when the object is gone."""
        try:
            found: dict[str, Any] = await self.ask(
                "PATCH",
                kind.path(namespace, name),
                what=f"{kind.kind} '{name}'",
                params={"fieldManager": MANAGER},
                body=body,
                content="application/merge-patch+json",
            )
        except NotFound:
            return None
        return found

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Have an object go, and all that hangs on it; repeatable."""
        try:
            await self.ask(
                "DELETE",
                kind.path(namespace, name),
                what=f"{kind.kind} '{name}'",
                params={"propagationPolicy": "Background"},
            )
        except NotFound:
            return

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a question that is an object (an access review)."""
        found: dict[str, Any] = await self.ask("POST", kind.path(), what=kind.kind, body=body)
        return found

    # --- streams ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lines(
        self, path: str, what: str, params: Mapping[str, str], accept: str = "application/json"
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer that goes on."""
        timeout = httpx2.Timeout(_ASK_S, read=_SILENCE_S, pool=None)
        began = False
        try:
            async with self._client.stream(
                "GET", path, params=params, headers={"Accept": accept}, timeout=timeout
            ) as response:
                if response.status_code >= 400:
                    raise failure(response.status_code, _status(await response.aread()), self.region, what)
                began = True
                yield response.aiter_lines()
        except httpx2.HTTPError as error:
            raise unreachable(self.region, self.server, _why(error)) from error
        except _UNSIGNED as error:
            if began:
                # Nobody signs in any more: whoever reads the lines tripped over one.
                raise
            raise _unsigned(self.region, error) from error

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], output: bytearray, most: int
    ) -> int:
        """Run a command; its exit code. What it prints on both streams is put into `output`, up to `most` bytes."""
        async with self.attached(namespace, pod, container, command) as socket:
            while True:
                message = await socket.receive_bytes()
                channel, data = message[0], message[1:]
                if channel in (1, 2):
                    # What is over the bound is read and dropped, so that the command can end.
                    output.extend(data[: max(0, most - len(output))])
                elif channel == 3:
                    return exit_code(_status(data), self.region)

    @asynccontextmanager
    async def attached(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool = False
    ) -> AsyncIterator[AsyncWebSocketSession]:
        """Begin a command: each message is a number of a stream and what it says; 3 is the end."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        params: dict[str, str | list[str]] = {
            "container": container,
            "stdout": "true",
            "stderr": "true",
            "command": command,
            **({"stdin": "true"} if stdin else {}),
        }
        try:
            async with self._client.websocket(path, params=params, subprotocols=_EXEC) as socket:
                yield socket
        except (httpx2.HTTPError, HTTPXWSException, ExceptionGroup) as error:
            first = _first(error)
            if isinstance(first, LeewardError):
                raise first from error
            if isinstance(first, WebSocketUpgradeError):
                code = first.response.status_code
                raise failure(code, {}, self.region, f"an instance's node ({pod})") from error
            raise unreachable(self.region, self.server, _why(first)) from error


def exit_code(status: Mapping[str, Any], region: str) -> int:
    """The exit code in the last message of an `exec`. Raises what kept it from running."""
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or ()
    for cause in causes:
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
            return int(cause["message"])
    message = str(status.get("message", ""))
    if "executable file not found" in message or "no such file" in message:
        return 127
    raise failure(int(status.get("code") or 500), status, region, "the command")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _unsigned(region: str, error: Exception) -> LeewardError:
    return Unavailable(
        f"no credentials for the cluster of region '{region}': {' '.join(str(error).split())[:200]}",
        hint="the command that its kubeconfig names must be on this machine and signed in",
    )


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _status(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {"message": data[:200].decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {}
