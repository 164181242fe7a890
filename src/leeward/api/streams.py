"""Server-sent events, with a heartbeat and a clean end."""

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from leeward.services import watching

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event(name: str, data: bytes) -> bytes:
    """One event; `data` is JSON, which has no line breaks."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def stream(events: AsyncIterator[bytes], heartbeat_s: float = HEARTBEAT_S) -> StreamingResponse:
    """The answer that sends events as they come."""
    return StreamingResponse(beating(events, heartbeat_s), media_type="text/event-stream", headers=HEADERS)


def beating(events: AsyncIterator[bytes], heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[bytes]:
    """The events, and a comment whenever none came for a while."""
    return watching.beating(events, HEARTBEAT, heartbeat_s)
