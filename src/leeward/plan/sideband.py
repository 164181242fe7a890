"""Put lines of ours into the answer to a push, where git shows them as `remote: …`. Pure.

A packet is four hex digits of its length and its content; the first byte of the content is the band: 1 is git's
report, 2 is text for the user. The answer ends with an empty packet, and the lines go just before it.
"""

from collections.abc import AsyncIterator

FLUSH = b"0000"
# What the smallest of git's bands can carry.
MAX_TEXT = 900


def packet(line: str) -> bytes:
    """One line of text for the user; an empty one keeps the connection and shows nothing."""
    content = b"\x02" + (line.encode()[:MAX_TEXT] + b"\n" if line else b"")
    return b"%04x%s" % (len(content) + 4, content)


async def told(body: AsyncIterator[bytes], lines: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """The answer with the lines in it, as they come; unchanged when the client did not ask for bands."""
    waiting = b""
    banded = False
    async for chunk in body:
        waiting += chunk
        while len(waiting) >= 4:
            size = _size(waiting[:4])
            if size < 4:
                break
            if len(waiting) < size:
                break
            banded = banded or waiting[4:5] in (b"\x01", b"\x02", b"\x03")
            yield waiting[:size]
            waiting = waiting[size:]
        if waiting and (not _hex(waiting[:4]) or (waiting[:4] == FLUSH and len(waiting) > 4)):
            yield waiting
            waiting = b""
            break
    else:
        if banded and waiting == FLUSH:
            async for line in lines:
                yield packet(line)
    if waiting:
        yield waiting
    async for chunk in body:
        yield chunk


def _size(head: bytes) -> int:
    return int(head, 16) if _hex(head) else 0


def _hex(head: bytes) -> bool:
    return all(sign in b"0123456789abcdefABCDEF" for sign in head)
