"""Run git so that nothing in a repository, and nothing of this machine's configuration, has a say."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leeward.errors import FetchFailed, Unavailable
from leeward.settings import MIB

GIT = "/usr/bin/git"
# Old objects with harmless flaws that many real repositories have.
_HARMLESS = ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone", "nullSha1", "missingNameBeforeEmail")
CONFIG = """\
# Written by leeward; the only configuration that its git reads.
[core]
	hooksPath = /dev/null
	fsmonitor = false
	symlinks = true
	autocrlf = false
	protectNTFS = true
	pager = cat
[safe]
	directory = *
[protocol]
	version = 2
	allow = never
[protocol "https"]
	allow = always
[protocol "ssh"]
	allow = always
{local}[protocol "ext"]
	allow = never
[transfer]
	fsckObjects = true
	credentialsInUrl = die
	# Always a pack, which appears whole or not at all: loose objects of a killed fetch would look like a commit.
	unpackLimit = 1
[fetch]
	writeCommitGraph = false
	recurseSubmodules = false
[uploadpack]
	allowAnySHA1InWant = true
[gc]
	auto = 0
[maintenance]
	auto = false
[credential]
	helper =
[init]
	defaultBranch = main
[advice]
	detachedHead = false
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = 30
	followRedirects = {redirects}
[user]
	name = leeward
	email = leeward@localhost
"""
_LOCAL = (
    '[protocol "file"]\n\tallow = always\n[protocol "http"]\n\tallow = always\n[protocol "git"]\n\tallow = always\n'
)
_CHUNK = 65536
_MOST_OUT = 64 * MIB
_MOST_ERR = 65536
_KEPT = ("PATH", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Said:
    """How a git command ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Its answer as text."""
        return self.out.decode(errors="replace").strip()


class Git:
    """The git program, with a configuration of ours."""

    def __init__(self, home: Path, *, local: bool) -> None:
        self._file = home / "sources" / ("gitconfig-local" if local else "gitconfig")
        fsck = "".join(
            f'[{part} "fsck"]\n' + "".join(f"\t{name} = ignore\n" for name in _HARMLESS)
            for part in ("fetch", "receive")
        )
        self._config = CONFIG.format(local=_LOCAL if local else "", redirects="initial" if local else "false") + fsck

    def env(self, secrets: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a git process; `secrets` are configuration values that must not be arguments."""
        self._write()
        env = {key: os.environ[key] for key in _KEPT if key in os.environ}
        pairs = dict(secrets or {})
        env.update(
            {
                "LC_ALL": "C.UTF-8",
                "LANGUAGE": "C",
                "HOME": "/nonexistent",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": str(self._file),
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_SSH": "/usr/bin/ssh",
                "GIT_SSH_VARIANT": "ssh",
                "GIT_ATTR_NOSYSTEM": "1",
                "GIT_CONFIG_COUNT": str(len(pairs)),
                **{f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(pairs)},
                **{f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(pairs.values())},
                **(more or {}),
            }
        )
        if os.path.exists(bundle := "/etc/ssl/certs/ca-certificates.crt"):
            env["GIT_SSL_CAINFO"] = bundle
        return env

    async def run(
        self,
        *words: str,
        folder: Path | None = None,
        secrets: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
        timeout_s: float = 60,
        max_file_bytes: int = 0,
    ) -> Said:
        """One command, to its end. A cancelled or late one is ended with all its children."""
        argv = (*bounded(max_file_bytes), GIT, *(("-C", str(folder)) if folder else ()), *words)
        async with started(argv, self.env(secrets, more)) as process:
            try:
                out, err = await asyncio.wait_for(read(process), timeout_s)
            except TimeoutError as error:
                raise FetchFailed(
                    f"git {words[0]} did not end in {timeout_s:.0f} seconds",
                    hint="see that the repository's host answers, then deploy again",
                ) from error
        return Said(process.returncode or 0, out, err.decode(errors="replace"))

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            if self._file.read_text() == self._config:
                return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        new.write_text(self._config)
        new.replace(self._file)


async def read(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Both outputs to the end. A hostile server may talk without one: of its complaints the last are kept."""
    assert process.stdout is not None and process.stderr is not None
    out, err = await asyncio.gather(_whole(process.stdout), _last(process.stderr))
    await process.wait()
    return out, err


async def _whole(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while chunk := await stream.read(_CHUNK):
        found += chunk
        if len(found) > _MOST_OUT:
            raise FetchFailed(
                f"git answered more than {_MOST_OUT // MIB} MiB", hint="the repository has too many files or branches"
            )
    return bytes(found)


async def _drain(stream: asyncio.StreamReader | None) -> None:
    with contextlib.suppress(RuntimeError):
        # RuntimeError: somebody else still reads it.
        while stream is not None and await stream.read(_CHUNK):
            pass


async def _last(stream: asyncio.StreamReader) -> bytes:
    found = b""
    while chunk := await stream.read(_CHUNK):
        found = (found + chunk)[-_MOST_ERR:]
    return found


def bounded(max_file_bytes: int) -> Sequence[str]:
    """The words before a command that keep each file it writes below a size."""
    return ("/usr/bin/prlimit", f"--fsize={max_file_bytes}", "--core=0") if max_file_bytes else ()


@contextlib.asynccontextmanager
async def started(
    argv: Sequence[str], env: Mapping[str, str], *, stdin: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process in a session of its own, that does not outlive the block."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"'{argv[0]}' cannot be run: {error.strerror}", hint="run: lee doctor") from error
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # What nobody read keeps its pipe open, and the wait would never end.
            await asyncio.gather(_drain(process.stdout), _drain(process.stderr))
            await process.wait()
