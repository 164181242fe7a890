"""The files that browsers get as they are: read once, named by their content, sent compressed."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
YEAR_S = 365 * 86400


class Asset(NamedTuple):
    """One file: `tag` changes with its content."""

    data: bytes
    packed: bytes
    tag: str
    media_type: str


@lru_cache(maxsize=1)
def assets() -> Mapping[str, Asset]:
    """Every file below `static/`, by its path."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in TYPES and path.is_file():
            data = path.read_bytes()
            tag = hashlib.sha256(data).hexdigest()[:12]
            found[str(path.relative_to(FOLDER))] = Asset(data, gzip.compress(data, 9, mtime=0), tag, TYPES[path.suffix])
    return found


def url_of(name: str) -> str:
    """Where a file is; a new content is a new address."""
    return f"/static/{name}?v={assets()[name].tag}"


async def serve(request: Request) -> Response:
    """One file; kept for a year when it was asked for by its tag."""
    asset = assets().get(request.path_params["name"])
    if asset is None:
        return Response("there is no such file", 404, media_type="text/plain")
    tagged = request.query_params.get("v") == asset.tag
    headers = {
        "Cache-Control": f"public, max-age={YEAR_S}, immutable" if tagged else "no-cache",
        "ETag": f'"{asset.tag}"',
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, headers=headers, media_type=asset.media_type)
    return Response(asset.data, headers=headers, media_type=asset.media_type)
