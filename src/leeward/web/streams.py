"""Server-sent events for live parts: rendered fragments, and lines of logs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.responses import StreamingResponse

from leeward.errors import LeewardError
from leeward.model.runtime import LogLine
from leeward.ports import Notices
from leeward.services import watching
from leeward.services.watching import Still, changes
from leeward.web.words import plain

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
# Milliseconds until the browser asks again after a lost connection.
RETRY = b"retry: 1000\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
Look = Callable[[], Awaitable[Mapping[str, str]]]
"""The fragments as they are now, by the name of their event."""


def event(name: str, text: str) -> bytes:
    """One event; each line of the text is a `data` line."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n".encode()


def stream(events: AsyncIterator[bytes], still: Still) -> StreamingResponse:
    """The answer that sends events as they come, as long as the visitor is signed in."""
    return StreamingResponse(beating(events, still), media_type="text/event-stream", headers=HEADERS)


async def fragments(
    notices: Notices, topics: tuple[str, ...], look: Look, every_s: float = 2.0
) -> AsyncIterator[bytes]:
    """Each fragment when it is another than before; ends with `gone` when there is nothing to look at any more."""
    last: dict[str, str] = {}
    async for _ in changes(notices, *topics, every_s=every_s):
        try:
            now = await look()
        except LeewardError:
            yield event("gone", "")
            return
        for name, text in now.items():
            if last.get(name) != text:
                yield event(name, text)
        last = dict(now)


async def lines(source: AsyncIterator[LogLine]) -> AsyncIterator[bytes]:
    """Log lines as `<log-stream>` takes them."""
    async for line in source:
        yield event("log", line_json(line))


def line_json(line: LogLine) -> str:
    """What is shown of a line."""
    said = {"at": line.at, "process": line.process, "stream": line.stream, "text": plain(line.text)}
    return json.dumps(said)


async def beating(events: AsyncIterator[bytes], still: Still, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[bytes]:
    """The events, and a comment whenever none came for a while; a visitor who may not look any more ends them."""
    stream = watching.beating(events, HEARTBEAT, heartbeat_s, still, first=RETRY)
    try:
        async for item in stream:
            yield item
    except LeewardError:
        return
    finally:
        await watching.close(stream)
