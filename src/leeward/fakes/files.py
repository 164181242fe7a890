"""Files that follow the lead, in a folder: every control plane of a test has the same one."""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path


class Folder:
    """The port FileStore."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a name is kept."""
        return self._folder / name.replace("/", "_")

    async def put(self, name: str, file: Path) -> None:
        """Keep a copy."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self.path(name))

    async def mark(self, name: str) -> str:
        """The digest of what is kept; '' when nothing is."""
        path = self.path(name)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""

    async def get(self, name: str, file: Path) -> str:
        """Write what is kept to `file`."""
        if mark := await self.mark(name):
            shutil.copyfile(self.path(name), file)
        return mark

    async def drop(self, name: str) -> None:
        """Forget a name."""
        self.path(name).unlink(missing_ok=True)

    async def sweep(self, budget_bytes: int, busy: Collection[str]) -> int:
        """A test's folder is never too large."""
        return 0
