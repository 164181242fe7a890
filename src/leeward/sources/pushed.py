"""Fetch a commit that was pushed to the platform's own repository of an app."""

import asyncio
from pathlib import Path

from leeward.errors import FetchFailed
from leeward.model.release import SourceRef
from leeward.ports import Fetched, FileStore, Say
from leeward.settings import Settings
from leeward.sources import giturl
from leeward.sources.bundles import Bundles
from leeward.sources.checkout import checkout, submodules
from leeward.sources.gitcommand import Git
from leeward.sources.tree import settle, warnings


class PushedSource:
    """The bare repositories below `<home>/git`, that `git push` fills."""

    def __init__(self, settings: Settings, files: FileStore | None = None) -> None:
        self._settings = settings
        self._git = Git(settings.home, local=False)
        self._bundles = Bundles(Git(settings.home, local=True), settings.home / "git", files)

    async def fetch(self, app: str, ref: SourceRef, into: Path, say: Say) -> Fetched:
        """Put the tree of a pushed commit or branch below `into`."""
        repository = self._settings.home / "git" / f"{app}.git"
        await self._bundles.bring(app)
        wanted = giturl.ref(ref.commit or ref.ref) or "HEAD"
        if not (repository / "HEAD").exists():
            raise FetchFailed(f"nothing was pushed to '{app}' yet", hint=f"git push <platform>/git/{app}.git main")
        found = await self._git.run("rev-parse", "-q", "--verify", f"{wanted}^{{commit}}", folder=repository)
        if found.code:
            raise FetchFailed(f"'{wanted}' was not pushed to '{app}'", hint="push it, then deploy again")
        commit = found.text
        await checkout(self._git, repository, commit, into, self._settings)
        for module in await submodules(self._git, repository, commit):
            say(f"submodule '{module.path}' is left out: a push does not bring it")
        for name in await asyncio.to_thread(settle, into):
            say(f"'{name}' leads out of the repository and is left out")
        for warning in await asyncio.to_thread(list, warnings(into)):
            say(warning)
        message = await self._git.run("log", "-1", "--format=%s", commit, folder=repository)
        return Fetched(into, commit, message.text[:200])
