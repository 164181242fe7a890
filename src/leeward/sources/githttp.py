"""Serve `git push` and `git fetch` over HTTP, by git's own backend."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from leeward.errors import Invalid, LeewardError, NotFound, TooLarge, TooMany, Unavailable
from leeward.ports import FileStore, GitAnswer
from leeward.settings import MIB, Settings
from leeward.sources.bundles import Bundles
from leeward.sources.gitcommand import Git, bounded

log = logging.getLogger(__name__)

BACKEND = "/usr/lib/git-core/git-http-backend"
PATHS = {"/info/refs": "GET", "/git-upload-pack": "POST", "/git-receive-pack": "POST"}
# A repository holds many versions of what one deploy may hold.
PACK_FACTOR = 2
AT_ONCE = 8
TOTAL_S = 1800
# Every push adds a pack.
PACKS = 50
GC_S = 600
CHUNK = 65536
_APP = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_SERVICE = re.compile(r"service=git-(upload|receive)-pack")
_PASSED = {"content-type": "CONTENT_TYPE", "content-encoding": "HTTP_CONTENT_ENCODING", "git-protocol": "GIT_PROTOCOL"}


class GitHttp:
    """One bare repository for each app, made at the first push; `git-http-backend` speaks for it.

    What a killed push has sent stays in a quarantine of its own and never becomes a ref; `clear` removes it.
    """

    def __init__(self, settings: Settings, files: FileStore | None = None) -> None:
        self._settings = settings
        self._folder = settings.home / "git"
        self._git = Git(settings.home, local=False)
        self._bundles = Bundles(Git(settings.home, local=True), self._folder, files)
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._busy: defaultdict[str, int] = defaultdict(int)

    async def serve(
        self, app: str, method: str, path: str, query: str, headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> GitAnswer:
        """One request of git's smart HTTP protocol. Raises Invalid, NotFound, TooLarge, TooMany, Unavailable."""
        if PATHS.get(path) != method or not _APP.fullmatch(app):
            raise NotFound(f"there is no '{path[:80]}' in a repository", hint="use git itself to talk to it")
        if path == "/info/refs" and not _SERVICE.fullmatch(query):
            raise Invalid("only git's smart HTTP protocol is spoken", hint="use git 1.6.6 or newer")
        limit = self._limit
        headers = {key.lower(): value for key, value in headers.items()}
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > limit:
            raise TooLarge(
                f"the push is larger than {limit // MIB} MiB",
                hint="remove large files from the history, or raise LEEWARD_UPLOAD_MAX_MIB",
            )
        if sum(self._busy.values()) >= AT_ONCE:
            raise TooMany("too many pushes at once", retry_after_s=5, hint="push again in a few seconds")
        repository = await self._repository(app)
        if path == "/git-receive-pack":
            await self._make_room(app, repository)
        self._busy[app] += 1
        exchange = None
        try:
            process = await self._spawn(repository, method, path, query, headers)
            exchange = _Exchange(process, body, limit, lambda: self._end(app, repository))
        finally:
            if exchange is None:
                self._busy[app] -= 1
        answer = await exchange.answer()
        return answer._replace(body=self._kept(app, answer.body)) if path == "/git-receive-pack" else answer

    async def _kept(self, app: str, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The answer to a push; at its end what was pushed is kept, also when the client is gone."""
        try:
            async for chunk in body:
                yield chunk
        finally:
            try:
                await asyncio.shield(self._bundles.keep(app))
            except LeewardError as error:
                log.warning("what was pushed to '%s' does not follow the lead: %s", app, error)

    async def heads(self, app: str) -> Mapping[str, str]:
        """Branch to commit; empty when nothing was ever pushed."""
        repository = self._folder / f"{app}.git"
        if not _APP.fullmatch(app):
            return {}
        await self._bundles.bring(app)
        if not (repository / "HEAD").exists():
            return {}
        said = await self._git.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", folder=repository)
        pairs = (line.split(" ", 1) for line in said.text.splitlines())
        return {name.removeprefix("refs/heads/"): sha for sha, name in pairs}

    @property
    def _limit(self) -> int:
        return self._settings.upload_max_mib * MIB * PACK_FACTOR

    async def _repository(self, app: str) -> Path:
        repository = self._folder / f"{app}.git"
        async with self._making[app]:
            await self._bundles.bring(app)
            if not (repository / "HEAD").exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                said = await self._git.run("init", "-q", "--bare", "--template=", str(repository))
                if said.code:
                    raise Unavailable(f"the repository of '{app}' could not be made", hint="is the disk full?")
        return repository

    async def _make_room(self, app: str, repository: Path) -> None:
        """Pack a repository that has grown; refuse a push to one that is too large all the same. Raises TooLarge."""
        packs, size = await asyncio.to_thread(_packs, repository)
        if (packs > PACKS or size > self._limit) and app not in self._busy:
            async with self._making[app]:
                await self._git.run("gc", "-q", "--prune=now", folder=repository, timeout_s=GC_S)
            packs, size = await asyncio.to_thread(_packs, repository)
        if size > self._limit * 2:
            raise TooLarge(
                f"the repository of '{app}' is larger than {self._limit * 2 // MIB} MiB",
                hint="remove large files from its history and push it to a new app, or raise LEEWARD_UPLOAD_MAX_MIB",
            )

    async def _spawn(
        self, repository: Path, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        config = {
            "receive.maxInputSize": str(self._limit),
            "receive.fsckObjects": "true",
            "receive.unpackLimit": "1",
            "receive.autogc": "false",
            "receive.denyCurrentBranch": "ignore",
            "receive.denyDeletes": "false",
            "http.receivepack": "true",
            "transfer.hideRefs": "refs/leeward",
            "uploadpack.allowFilter": "true",
        }
        cgi = {
            "GIT_PROJECT_ROOT": str(repository.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repository.name}{path}",
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "REMOTE_USER": "leeward",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            **{name: headers[key] for key, name in _PASSED.items() if key in headers},
        }
        env = self._git.env(config, cgi)
        try:
            return await asyncio.create_subprocess_exec(
                *bounded(self._limit),
                BACKEND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                "git is not installed on the platform", hint="run: lee up, which installs them"
            ) from error

    def _end(self, app: str, repository: Path) -> None:
        self._busy[app] -= 1
        if self._busy[app] <= 0:
            del self._busy[app]
            clear(repository)


class _Exchange:
    """A running backend: the request goes in while the answer comes out."""

    def __init__(
        self, process: asyncio.subprocess.Process, body: AsyncIterator[bytes], limit: int, ended: Callable[[], None]
    ) -> None:
        self._process = process
        self._limit = limit
        self._ended = ended
        self._feeding = asyncio.create_task(self._feed(body))
        # A task of its own: the answer's body may never be read, when the client is gone.
        self._watching = asyncio.create_task(self._watch())

    async def answer(self) -> GitAnswer:
        """Status and headers, and the body as a stream."""
        headed = False
        try:
            # The backend answers before it has read a push: a proxy that sees an answer stops to send the rest.
            await asyncio.wait({self._feeding})
            status, headers = await self._head()
            headed = True
        finally:
            if not headed:
                self._kill()
        return GitAnswer(status, headers, self._body())

    async def _watch(self) -> None:
        try:
            await asyncio.wait_for(self._process.wait(), TOTAL_S)
        except TimeoutError:
            self._kill()
        finally:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
            self._ended()

    async def _feed(self, body: AsyncIterator[bytes]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        size = 0
        whole = False
        try:
            async for chunk in body:
                size += len(chunk)
                if size > self._limit + MIB:
                    return
                stdin.write(chunk)
                await stdin.drain()
            whole = True
        except ConnectionError:
            # The backend has seen enough (a refused push); what it says is in its answer.
            whole = True
        finally:
            # The client went away in the middle: the backend must not take a part for the whole.
            if not whole:
                self._kill()
            stdin.close()
            with contextlib.suppress(ConnectionError):
                await stdin.wait_closed()

    async def _head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        status = 200
        headers: list[tuple[str, str]] = []
        while line := (await self._read_line()).decode("latin-1").rstrip("\r\n"):
            key, _, value = line.partition(":")
            if key.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((key, value.strip()))
        if not headers:
            raise Unavailable("git ended without an answer", hint="push again; if it goes on, run: lee doctor")
        return status, tuple(headers)

    async def _read_line(self) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            return await stdout.readline()
        except ValueError as error:
            raise Unavailable("git answered with a header that is too long", hint="push again") from error

    async def _body(self) -> AsyncIterator[bytes]:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while chunk := await stdout.read(CHUNK):
                yield chunk
            await self._process.wait()
        finally:
            self._kill()

    def _kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _packs(repository: Path) -> tuple[int, int]:
    """How many packs there are, and how many bytes in all."""
    files = [path.stat() for path in repository.glob("objects/pack/*.pack")]
    return len(files), sum(file.st_size for file in files)


def clear(repository: Path) -> int:
    """Remove what pushes that were killed have left; how many. Only while none is running."""
    left = [*repository.glob("objects/*incoming-*"), *repository.glob("objects/tmp_objdir-*")]
    left += [*repository.glob("objects/pack/tmp_*"), *repository.glob("refs/**/*.lock"), *repository.glob("*.lock")]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)
