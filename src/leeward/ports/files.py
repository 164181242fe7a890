"""Files that follow the lead from one control plane to the next."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol


class FileStore(Protocol):
    """Files that the next control plane finds, whichever machine it runs on; within a byte budget."""

    async def put(self, name: str, file: Path) -> None:
        """Keep what is in `file` under a name; whoever reads meanwhile gets what was there before."""
        ...

    async def mark(self, name: str) -> str:
        """What tells this content from the next one under the same name; '' when nothing is kept."""
        ...

    async def get(self, name: str, file: Path) -> str:
        """Write what is kept to `file`; its mark, '' when nothing is kept."""
        ...

    async def drop(self, name: str) -> None:
        """Forget a name; repeatable."""
        ...

    async def sweep(self, budget_bytes: int, busy: Collection[str]) -> int:
        """Delete what was not used for longest until all is within the budget, but nothing of `busy`; bytes freed."""
        ...
