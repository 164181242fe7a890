"""Fetch the exact commit of a Git repository."""

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from leeward.errors import FetchFailed
from leeward.model.address import redacted
from leeward.model.release import SourceRef
from leeward.plan.metadata import is_metadata
from leeward.ports import Fetched, Say
from leeward.settings import MIB, Settings
from leeward.sources import giturl
from leeward.sources.checkout import checkout, submodules
from leeward.sources.gitcommand import Git, Said
from leeward.sources.giturl import SHA, SHORT_SHA, GitUrl, failure
from leeward.sources.tree import settle, warnings

ASK_S = 30
FETCH_S = 600
# A submodule of a submodule of a submodule is somebody's mistake, or somebody's attack.
DEPTH = 3


class GitSource:
    """Any repository that git can reach; keeps a bare copy for each app, so that only news travel."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._git = Git(settings.home, local=settings.local_git)
        self._mirrors = settings.home / "sources" / "git"
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fetch(self, app: str, ref: SourceRef, into: Path, say: Say) -> Fetched:
        """Put the tree of a branch, tag or commit below `into`. A commit that is here already needs no network."""
        wanted = giturl.ref(ref.commit or ref.ref)
        url = giturl.parse(ref.url, local=self._settings.local_git)
        async with self._locks[app]:
            mirror = await self._mirror(app)
            commit = await self._commit(mirror, url, wanted, say)
            await checkout(self._git, mirror, commit, into, self._settings)
            await self._submodules(mirror, ref.url, commit, into, say, DEPTH, await self._from_outside(url))
            (mirror / "leeward.used").touch()
        for name in await asyncio.to_thread(settle, into):
            say(f"'{name}' leads out of the repository and is left out")
        for warning in await asyncio.to_thread(list, warnings(into)):
            say(warning)
        message = await self._git.run("log", "-1", "--format=%s", commit, folder=mirror)
        return Fetched(into, commit, message.text[:200])

    async def _mirror(self, app: str) -> Path:
        mirror = self._mirrors / app
        if not (mirror / "HEAD").exists():
            mirror.mkdir(parents=True, exist_ok=True)
            made = await self._git.run("init", "-q", "--bare", "--template=", str(mirror))
            if made.code:
                raise failure(made.err, url=str(mirror), ref="", limit_mib=0)
        # What a killed fetch left behind; we hold the app's own lock here.
        for left in (*mirror.glob("*.lock"), *(mirror / "objects" / "pack").glob("tmp_*")):
            left.unlink(missing_ok=True)
        return mirror

    async def _commit(self, mirror: Path, url: GitUrl, wanted: str, say: Say, public: bool = False) -> str:
        """The full name of the commit, which is in the mirror afterwards; `public`: of the open internet only."""
        if SHA.fullmatch(wanted) and await self._has(mirror, wanted):
            return wanted
        secrets = await self._reachable(url, public=public or not self._settings.local_git)
        commit = wanted if SHA.fullmatch(wanted) else await self._resolve(url, wanted, secrets)
        if commit and await self._has(mirror, commit):
            return commit
        say(f"fetching '{redacted(url.address)}' {wanted or 'HEAD'}")
        if commit:
            said = await self._fetch(mirror, url, secrets, "--depth=1", url.address, f"+{commit}:refs/leeward/{commit}")
            if said.code == 0 and await self._has(mirror, commit):
                return commit
            if "not our ref" not in said.err and "unadvertised" not in said.err and "dumb http" not in said.err:
                raise self._failed(said, url, wanted)
        # Old servers, and short names of commits: everything, then look.
        whole = ("--unshallow",) if (mirror / "shallow").exists() else ()
        refs = ("+refs/heads/*:refs/leeward/heads/*", "+refs/tags/*:refs/leeward/tags/*")
        said = await self._fetch(mirror, url, secrets, *whole, url.address, *refs)
        if said.code:
            raise self._failed(said, url, wanted)
        found = await self._git.run("rev-parse", "-q", "--verify", f"{commit or wanted}^{{commit}}", folder=mirror)
        if found.code:
            raise self._absent(url, wanted)
        return found.text

    async def _resolve(self, url: GitUrl, wanted: str, secrets: Mapping[str, str]) -> str:
        """What a branch or tag points to now; '' when it may be the short name of a commit."""
        names = (f"refs/heads/{wanted}", f"refs/tags/{wanted}^{{}}", f"refs/tags/{wanted}", wanted) if wanted else ()
        said = await self._git.run("ls-remote", "--", url.address, secrets=secrets, timeout_s=ASK_S)
        if said.code:
            raise self._failed(said, url, wanted)
        listed = {name: sha for sha, _, name in (line.partition("\t") for line in said.text.splitlines())}
        if not any(name.startswith("refs/heads/") for name in listed):
            raise FetchFailed(f"'{redacted(url.address)}' has no commits yet", hint="commit and push something first")
        for name in names or ("HEAD",):
            if name in listed:
                return listed[name]
        if wanted and SHORT_SHA.fullmatch(wanted):
            return ""
        raise self._absent(url, wanted, [name.removeprefix("refs/heads/") for name in listed if "/heads/" in name])

    async def _fetch(self, mirror: Path, url: GitUrl, secrets: Mapping[str, str], *words: str) -> Said:
        limit = self._settings.upload_max_mib * MIB
        return await self._git.run(
            "fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", *words,
            folder=mirror, secrets=secrets, timeout_s=FETCH_S, max_file_bytes=limit,
        )  # fmt: skip

    async def _has(self, mirror: Path, commit: str) -> bool:
        """Whether the commit and its whole tree are here: a killed fetch may leave a part, but never a ref."""
        known = await self._git.run("cat-file", "-e", f"{commit}^{{tree}}", folder=mirror)
        return known.code == 0

    async def _reachable(self, url: GitUrl, *, public: bool) -> dict[str, str]:
        """Configuration for one request: the password, and the address that was checked. Raises FetchFailed."""
        secrets = {"http.extraHeader": url.header} if url.header else {}
        if url.local:
            return secrets
        try:
            addresses = await self._addresses(url)
        except (OSError, UnicodeError) as error:
            if not public:
                # A proxy may know the name.
                return secrets
            raise FetchFailed(
                f"the host '{url.host}' is not known", hint="check the URL, and that this machine resolves names"
            ) from error
        if any(is_metadata(address) for address in addresses):
            raise FetchFailed(
                f"'{url.host}' is where a cloud tells this machine about itself, which is no repository",
                hint="use the URL of a repository",
            )
        if public and not (addresses and all(giturl.public(address) for address in addresses)):
            raise FetchFailed(
                f"'{url.host}' is an address of this machine or of a private network, which is not allowed here",
                hint="use a public host, or set LEEWARD_LOCAL_GIT=true",
            )
        # The name must not lead elsewhere when git asks for it again.
        held = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        by_name = url.scheme in ("https", "http") and url.host not in addresses and ":" not in url.host
        return {**secrets, "http.curloptResolve": f"{url.host}:{url.port}:{held}"} if by_name else secrets

    async def _addresses(self, url: GitUrl) -> tuple[str, ...]:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(item[4][0]) for item in found))

    async def _from_outside(self, url: GitUrl) -> bool:
        """Whether a repository is of the open internet: it may then not name one of this machine or network."""
        if url.local:
            return False
        with contextlib.suppress(OSError, UnicodeError):
            return all(giturl.public(address) for address in await self._addresses(url))
        return True

    async def _submodules(
        self, mirror: Path, url: str, commit: str, into: Path, say: Say, depth: int, outside: bool
    ) -> None:
        """Fetch each submodule at the commit that its parent names; `outside`: none that only this machine reaches."""
        local = giturl.parse(url, local=True).local
        for module in await submodules(self._git, mirror, commit):
            if depth == 0:
                raise FetchFailed(f"submodule '{module.path}' is nested too deeply", hint="keep to three levels")
            if not module.url:
                say(f"submodule '{module.path}' has no URL in .gitmodules and is left out")
                continue
            place = into / module.path
            if not place.parent.resolve().is_relative_to(into.resolve()) or place.is_symlink():
                raise FetchFailed(f"submodule '{module.path}' leads out of the repository", hint="correct .gitmodules")
            address = giturl.relative(url, module.url)
            try:
                where = giturl.parse(address, local=self._settings.local_git)
                if where.local and not local:
                    raise FetchFailed(
                        f"'{address}' is a path of this machine, which a repository from elsewhere may not name",
                        hint="write an https URL into .gitmodules",
                    )
                found = await self._commit(mirror, where, module.commit, say, outside)
            except FetchFailed as error:
                raise FetchFailed(f"submodule '{module.path}': {error.message}", hint=error.hint) from error
            await checkout(self._git, mirror, found, place, self._settings, used=into)
            await self._submodules(mirror, address, found, place, say, depth - 1, outside)

    def _failed(self, said: Said, url: GitUrl, wanted: str) -> FetchFailed:
        return failure(said.err, url=url.address, ref=wanted, limit_mib=self._settings.upload_max_mib)

    def _absent(self, url: GitUrl, wanted: str, branches: list[str] | None = None) -> FetchFailed:
        kind = "commit" if SHORT_SHA.fullmatch(wanted) else "branch or tag"
        names = ", ".join(f"'{name}'" for name in sorted(branches or [])[:8])
        known = f"it has {names}" if names else "push it first"
        return FetchFailed(f"'{redacted(url.address)}' has no {kind} '{wanted or 'HEAD'}'", hint=known)
