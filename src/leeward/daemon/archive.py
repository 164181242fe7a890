"""Pack a folder for an upload."""

import io
import tarfile
from pathlib import Path


def packed(folder: Path) -> bytes:
    """The regular files below `folder` as a tar.gz, without caches."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.add(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()
