"""Name the version of the code that runs, so that `lee up` restarts what changed."""

import hashlib
from pathlib import Path


def stamp(folder: Path, *more: bytes) -> str:
    """16 hex digits over `folder` (every source file below it; or one file of any kind), and over `more`."""
    digest = hashlib.sha256(folder.read_bytes() if folder.is_file() else b"")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".lua", ".conf", ".html", ".css", ".js", ".sh"):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for part in more:
        digest.update(part)
    return digest.hexdigest()[:16]
