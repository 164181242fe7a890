"""Have what was pushed follow the lead: each repository as one bundle among the kept files."""

import asyncio
import secrets
from collections import defaultdict
from pathlib import Path

from leeward.errors import FetchFailed, Unavailable
from leeward.ports import FileStore
from leeward.sources.gitcommand import Git

_BUNDLE_S = 600.0
_MARK = "leeward.kept"
"""A file in the repository: which bundle it is at least as new as."""


def name_of(app: str) -> str:
    """Under which a repository is kept."""
    return f"git/{app}"


class Bundles:
    """Brings repositories below a folder to what was pushed last, whichever control plane took it."""

    def __init__(self, git: Git, folder: Path, files: FileStore | None) -> None:
        self._git = git
        self._folder = folder
        self._files = files
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(self, app: str) -> None:
        """Keep a repository as it is now. Raises Unavailable."""
        repository = self._folder / f"{app}.git"
        if self._files is None:
            return
        async with self._locks[app]:
            bundle = self._folder / f".{app}-{secrets.token_hex(4)}.bundle"
            try:
                said = await self._git.run(
                    "bundle", "create", "-q", str(bundle), "--all", folder=repository, timeout_s=_BUNDLE_S
                )
                # A repository without a branch has nothing to be kept.
                if said.code == 0 and bundle.exists():
                    await self._files.put(name_of(app), bundle)
                    (repository / _MARK).write_text(await self._files.mark(name_of(app)))
            finally:
                bundle.unlink(missing_ok=True)

    async def bring(self, app: str) -> None:
        """Have the repository as new as what is kept. Raises Unavailable."""
        if self._files is None:
            return
        async with self._locks[app]:
            repository = self._folder / f"{app}.git"
            mark = await self._files.mark(name_of(app))
            if mark and _marked(repository) != mark:
                await self._unbundle(app, repository, self._files)

    async def _unbundle(self, app: str, repository: Path, files: FileStore) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        bundle = self._folder / f".{app}-{secrets.token_hex(4)}.bundle"
        try:
            mark = await files.get(name_of(app), bundle)
            if not (repository / "HEAD").exists():
                await self._must(app, "init", "-q", "--bare", "--template=", str(repository))
            refs = ("fetch", "-q", "--prune", str(bundle), "+refs/*:refs/*")
            await self._must(app, *refs, folder=repository)
            (repository / _MARK).write_text(mark)
        finally:
            bundle.unlink(missing_ok=True)

    async def _must(self, app: str, *words: str, folder: Path | None = None) -> None:
        try:
            said = await self._git.run(*words, folder=folder, timeout_s=_BUNDLE_S)
        except FetchFailed as error:
            raise Unavailable(error.message, hint=error.hint) from error
        if said.code:
            raise Unavailable(f"the repository of '{app}' could not be brought here", hint="push again")


def _marked(repository: Path) -> str:
    try:
        return (repository / _MARK).read_text()
    except OSError:
        return ""
