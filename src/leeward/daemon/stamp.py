"""Name the version of the code that runs, so that `lee up` restarts what changed."""

import hashlib
from pathlib import Path


def stamp(folder: Path, *more: bytes) -> str:
    """16 hex digits over every source file below `folder`, and over `more`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".lua", ".conf", ".html", ".css", ".js", ".sh"):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for part in more:
        digest.update(part)
    return digest.hexdigest()[:16]
