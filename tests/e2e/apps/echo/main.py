"""An app that answers everything that a deploy could break."""

import asyncio
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

TEXT = "one"


async def hello(request: Request) -> Response:
    return JSONResponse(
        {"text": TEXT, "greeting": os.environ.get("GREETING", ""), "release": os.environ.get("LEEWARD_RELEASE", "")}
    )


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(str(size))


async def slow(request: Request) -> Response:
    await asyncio.sleep(1)
    return PlainTextResponse("slow")


async def events(request: Request) -> Response:
    async def stream() -> object:
        for number in range(25):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(stream(), media_type="text/event-stream")  # type: ignore[arg-type]


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        return


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/health", hello),
        Route("/upload", upload, methods=["POST", "PUT"]),
        Route("/slow", slow),
        Route("/events", events),
        WebSocketRoute("/ws", echo),
    ]
)
