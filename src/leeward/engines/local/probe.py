"""Ask an instance over HTTP whether it works."""

import asyncio

from leeward.engines.local.verdict import Outcome
from leeward.model.app import Health
from leeward.plan import checks

_HEAD_BYTES = 64 * 1024
_BODY_BYTES = 256 * 1024
_BODY_S = 1.0


async def ask(host: str, port: int, health: Health, name: str) -> Outcome:
    """One GET of the health path, as a visitor of `name` would ask. Never raises for what the instance does."""
    try:
        return await _get(host, port, health, name)
    except ConnectionRefusedError:
        return Outcome(False, *checks.nothing_listens(port), silent=True)
    except TimeoutError:
        return Outcome(False, *checks.late(health))
    except (OSError, ValueError) as error:
        return Outcome(False, *checks.broken(health.path, port, type(error).__name__))


async def _get(host: str, port: int, health: Health, name: str) -> Outcome:
    async with asyncio.timeout(health.timeout):
        reader, writer = await asyncio.open_connection(host, port, limit=_HEAD_BYTES)
    try:
        async with asyncio.timeout(health.timeout):
            writer.write(
                f"GET {health.path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: Leeward-Health/1\r\n"
                "Accept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            line = await reader.readline()
        await _finish(reader)
        return _read(line.decode("latin-1").strip(), health.path, port, name)
    finally:
        writer.close()


async def _finish(reader: asyncio.StreamReader) -> None:
    """Take the rest of the answer, so that the app does not log a broken pipe; within bounds."""
    try:
        async with asyncio.timeout(_BODY_S):
            left = _BODY_BYTES
            while left > 0 and (part := await reader.read(left)):
                left -= len(part)
    except (OSError, TimeoutError):
        return


def _read(line: str, path: str, port: int, name: str) -> Outcome:
    parts = line.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdigit():
        return Outcome(False, *checks.not_http(port))
    status = int(parts[1])
    return Outcome(True) if 200 <= status < 400 else Outcome(False, *checks.answered(path, status, name))
