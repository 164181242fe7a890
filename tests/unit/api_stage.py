"""The API over services on a stage, asked with an HTTP client in the same process."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.routing import Mount
from tests.unit.services_stage import ADMIN, Stage, stage

from leeward.api import create_api
from leeward.services import Services

URL = "https://console.lee.test"


@dataclass
class Door:
    stage: Stage
    app: FastAPI
    anonymous: httpx.AsyncClient
    admin: httpx.AsyncClient
    deployer: httpx.AsyncClient
    reader: httpx.AsyncClient
    tokens: dict[str, str]

    async def signed_in(self) -> httpx.AsyncClient:
        """A browser with a session of the first admin."""
        files = await self.stage.services.access.first_run()
        browser = client(self.app, **{"sec-fetch-site": "same-origin"})
        body = {"name": "admin", "password": files.password_file.read_text().strip()}
        assert (await browser.post("/v1/sessions", json=body)).status_code == 201
        return browser


def client(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, headers=headers)


_idle: dict[Callable[[Services], FastAPI], list[FastAPI]] = {}


@contextmanager
def lent(make: Callable[[Services], FastAPI], services: Services) -> Iterator[FastAPI]:
    """An app over these services: one that no test uses now, or a new one. Its first requests compile its routes."""
    idle = _idle.setdefault(make, [])
    app = idle.pop() if idle else make(services)
    for each in (app, *(route.app for route in app.routes if isinstance(route, Mount))):
        each.state.services = services  # type: ignore[attr-defined]
    routes = list(app.routes)
    yield app
    if app.routes == routes:
        idle.append(app)


@asynccontextmanager
async def door(home: Path) -> AsyncIterator[Door]:
    async with stage(home) as st:
        tokens = {
            scope: (await st.services.access.add_token(ADMIN, scope, scope)).text
            for scope in ("admin", "deploy", "read")
        }
        with lent(create_api, st.services) as app:
            signed = {scope: client(app, authorization=f"Bearer {text}") for scope, text in tokens.items()}
            yield Door(st, app, client(app), signed["admin"], signed["deploy"], signed["read"], tokens)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer is; checks what holds for every one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["title"] and body["detail"] and not body["detail"].endswith(".")
    return body
