"""Ask an instance over HTTP whether it works."""

import asyncio

from leeward.engines.local.verdict import Outcome
from leeward.model.app import Health

_HEAD_BYTES = 64 * 1024
_BODY_BYTES = 256 * 1024
_BODY_S = 1.0


async def ask(host: str, port: int, health: Health, name: str) -> Outcome:
    """One GET of the health path, as a visitor of `name` would ask. Never raises for what the instance does."""
    try:
        return await _get(host, port, health, name)
    except ConnectionRefusedError:
        return Outcome(False, f"nothing listens on port {port}", silent=True)
    except TimeoutError:
        return Outcome(
            False,
            f"did not answer GET {health.path} within {health.timeout:g} s",
            "let the health path answer without waiting for other services, or raise 'health.timeout'",
        )
    except (OSError, ValueError) as error:
        return Outcome(
            False,
            f"broke the connection while it was asked for GET {health.path}",
            f"it must speak HTTP/1.1 on port {port} ({type(error).__name__})",
        )


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
        return Outcome(False, f"did not answer in HTTP on port {port}", "it must speak HTTP/1.1, without TLS")
    status = int(parts[1])
    if 200 <= status < 400:
        return Outcome(True)
    hint = {
        400: f"does it refuse unknown hosts? health checks say 'Host: {name}'",
        401: "let the health path answer without signing in, or set another 'health.path'",
        403: "let the health path answer without signing in, or set another 'health.path'",
        404: "set 'health.path' in leeward.yaml to a path that answers 200",
    }.get(status, "its log says more: see `lee logs`")
    return Outcome(False, f"answered GET {path} with {status}", hint)
