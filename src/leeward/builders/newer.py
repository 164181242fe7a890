"""Asks a Debian mirror which packages of a base image it has in a newer version."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from leeward.builders import debian
from leeward.builders.bootstrap import mirrors
from leeward.builders.command import last_words
from leeward.builders.process import run
from leeward.errors import BuildFailed
from leeward.model.image import Upgrade
from leeward.settings import Settings

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# A mirror changes four times a day; several bases of one suite are looked at together.
_INDEX_S = 600.0


class Newer:
    """Looks with apt, in folders of its own: neither the machine's packages nor its sources are touched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / "bases" / "apt"
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def than(self, suite: str, status: str) -> Sequence[Upgrade]:
        """What an upgrade of the packages in a dpkg status would bring. Raises BuildFailed."""
        async with self._turns[suite]:
            folder = await asyncio.to_thread(self._prepare, suite, status)
            stamp = folder / "updated"
            if not stamp.is_file() or time.time() - stamp.stat().st_mtime > _INDEX_S:
                await self._apt(folder, "update", "--error-on=any")
                stamp.touch()
            lines = await self._apt(folder, "--simulate", "dist-upgrade")
        return debian.upgrades(lines, suite)

    def _prepare(self, suite: str, status: str) -> Path:
        found = mirrors(self._settings)
        if found is None:
            raise BuildFailed("no Debian mirror is known", hint="set LEEWARD_DEBIAN_MIRROR")
        folder = self._folder / suite
        for part in ("state/lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text(status)
        (folder / "sources.list").write_text("\n".join(found.lines(suite, _KEYRING if _KEYRING.is_file() else None)))
        (folder / "apt.conf").write_text(debian.apt_conf(folder))
        return folder

    async def _apt(self, folder: Path, *arguments: str) -> Sequence[str]:
        lines: list[str] = []
        env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        try:
            code = await run(("apt-get", "--quiet", *arguments), lines.append, env=env)
        except FileNotFoundError as error:
            raise BuildFailed("newer packages could not be looked for: 'apt-get' is not installed") from error
        if code:
            raise BuildFailed(
                f"newer packages could not be looked for: {last_words(lines)}",
                hint="see that the Debian mirror answers, or set LEEWARD_DEBIAN_MIRROR",
            )
        return lines
