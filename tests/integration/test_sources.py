"""Sources against real git: a repository on disk, and git's own client over HTTP."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn

from leeward.daemon.clock import SystemClock
from leeward.errors import FetchFailed, LeewardError
from leeward.model.release import SourceKind, SourceRef
from leeward.settings import Settings
from leeward.sources import giturl
from leeward.sources.git import GitSource
from leeward.sources.gitcommand import read, started
from leeward.sources.githttp import GitHttp
from leeward.sources.pushed import PushedSource
from leeward.sources.sweep import sweep
from leeward.sources.tree import MTIME
from leeward.store.database import Database
from leeward.store.files import SqlFileStore

pytestmark = pytest.mark.skipif(not Path("/usr/lib/git-core/git-http-backend").exists(), reason="git is not installed")
SAFE = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


def git(*words: str, at: Path) -> str:
    argv = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", "-C", str(at), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=SAFE).stdout.strip()


def commit(at: Path, files: dict[str, str], message: str = "change") -> str:
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    git("add", "-A", at=at)
    git("commit", "-q", "-m", message, at=at)
    return git("rev-parse", "HEAD", at=at)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with one commit on `main`."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git("init", "-q", at=origin)
    commit(origin, {"main.py": "print(1)\n"}, "begin")
    return origin


class Fetches:
    """A git source with its own home."""

    def __init__(self, home: Path, **more: Any) -> None:
        self.settings = Settings(home=home / "home", **more)
        self.source = GitSource(self.settings)
        self.into = home / "tree"
        self.said: list[str] = []

    async def __call__(self, url: object, ref: str = "", commit: str = "") -> str:
        wanted = SourceRef(SourceKind.GIT, url=str(url), ref=ref, commit=commit)
        return (await self.source.fetch("shop", wanted, self.into, self.said.append)).commit


@pytest.fixture
def fetch(tmp_path: Path) -> Fetches:
    return Fetches(tmp_path)


# --- git -----------------------------------------------------------------------------------------------------


async def test_branches_tags_and_commits_are_fetched_exactly(origin: Path, fetch: Fetches) -> None:
    first = git("rev-parse", "HEAD", at=origin)
    git("tag", "light", at=origin)
    git("tag", "-a", "v1", "-m", "one", at=origin)
    second = commit(origin, {"main.py": "print(2)\n"})
    git("branch", "feature/x", at=origin)

    assert await fetch(origin) == second
    assert await fetch(origin, "main") == second
    assert await fetch(origin, "feature/x") == second
    assert await fetch(origin, "light") == first
    assert await fetch(origin, "v1") == first
    assert await fetch(origin, first) == first
    assert await fetch(origin, first[:9]) == first
    assert (fetch.into / "main.py").read_text() == "print(1)\n"
    assert await fetch(origin, "main", commit=second) == second


async def test_the_tree_has_no_history_and_always_the_same_times_and_modes(origin: Path, fetch: Fetches) -> None:
    (origin / "run.sh").write_text("#!/bin/sh\n")
    (origin / "run.sh").chmod(0o755)
    commit(origin, {"a/b.txt": "x"})

    await fetch(origin)

    assert not (fetch.into / ".git").exists()
    assert {path.lstat().st_mtime for path in (fetch.into, *fetch.into.rglob("*"))} == {MTIME}
    assert (fetch.into / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (fetch.into / "a" / "b.txt").stat().st_mode & 0o777 == 0o644


async def test_a_commit_that_is_here_needs_no_network(origin: Path, fetch: Fetches) -> None:
    first = await fetch(origin)
    origin.rename(origin.with_name("gone"))

    assert await fetch(origin, commit=first) == first


async def test_a_branch_that_did_not_move_is_not_fetched_again_and_history_never_is(
    origin: Path, fetch: Fetches
) -> None:
    commit(origin, {"main.py": "print(2)\n"})

    await fetch(origin, "main")
    await fetch(origin, "main")

    mirror = fetch.settings.home / "sources" / "git" / "shop"
    assert sum("fetching" in line for line in fetch.said) == 1
    assert git("rev-list", "--count", "--all", at=mirror) == "1"


async def test_a_fetch_takes_less_than_a_second(origin: Path, fetch: Fetches) -> None:
    commit(origin, {f"src/f{i}.py": f"x = {i}\n" * 50 for i in range(500)})
    started = time.monotonic()

    await fetch(origin)

    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    ("ref", "words"),
    [("nowhere", "no branch or tag 'nowhere'"), ("a" * 40, f"no commit '{'a' * 40}'"), ("abcdef1", "no commit")],
)
async def test_what_is_not_in_the_repository_is_named(origin: Path, fetch: Fetches, ref: str, words: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        await fetch(origin, ref)

    assert words in caught.value.message
    assert caught.value.hint


async def test_a_missing_branch_hints_at_those_that_are_there(origin: Path, fetch: Fetches) -> None:
    with pytest.raises(FetchFailed) as caught:
        await fetch(origin, "master")

    assert caught.value.hint == "it has 'main'"


async def test_each_way_to_fail_has_its_own_sentence(tmp_path: Path, fetch: Fetches) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git("init", "-q", at=empty)

    for url, words in [
        (tmp_path / "nothing", "does not exist"),
        (empty, "has no commits yet"),
        ("http://127.0.0.1:1/x.git", "does not answer"),
        ("https://nowhere.invalid/x.git", "is not known"),
    ]:
        with pytest.raises(FetchFailed, match=words):
            await fetch(url)


async def test_a_private_repository_says_that_it_needs_a_password(fetch: Fetches) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Basic")]}
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    async with served(refuse) as url:
        with pytest.raises(FetchFailed, match="needs a password"):
            await fetch(f"{url}/x.git")
        with pytest.raises(FetchFailed) as caught:
            await fetch(url.replace("http://", "http://me:s3cret@") + "/x.git")

    assert "s3cret" not in str(caught.value.as_dict())


async def test_a_password_reaches_the_host_and_no_argument(fetch: Fetches, tmp_path: Path) -> None:
    seen: list[str] = []
    arguments: list[str] = []

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                arguments.append(" ".join(process.cmdline()))
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(watch) as url:
        with pytest.raises(FetchFailed):
            await fetch(url.replace("http://", "http://me:s3cret@") + "/x.git")

    assert seen[0].startswith("Basic ")
    assert any("ls-remote" in line for line in arguments)
    assert not [line for line in arguments if "s3cret" in line]


async def test_local_addresses_need_the_operators_word(tmp_path: Path, origin: Path) -> None:
    strict = Fetches(tmp_path, local_git=False)

    for url in (origin, f"file://{origin}", "https://localhost/x.git", "https://127.0.0.1/x", "https://[::1]/x"):
        with pytest.raises(FetchFailed, match="not allowed"):
            await strict(url)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/x.git",
        "https://[::ffff:169.254.169.254]/x.git",
        "git://169.254.170.2:80/x",
        "ssh://git@100.100.100.200:80/x",
        "https://2852039166/x.git",
    ],
)
async def test_what_a_cloud_tells_a_machine_is_no_repository(tmp_path: Path, url: str, local: bool) -> None:
    with pytest.raises(FetchFailed, match=r"tells this machine about itself|not allowed"):
        await Fetches(tmp_path, local_git=local)(url)


async def test_a_repository_from_elsewhere_names_no_path_of_this_machine(tmp_path: Path, fetch: Fetches) -> None:
    private = tmp_path / "private"
    private.mkdir()
    git("init", "-q", at=private)
    commit(private, {"secret": "hush\n"})
    public = tmp_path / "public"
    public.mkdir()
    git("init", "-q", at=public)
    commit(public, {"main.py": "x\n"})
    git("submodule", "add", "-q", str(private), "stolen", at=public)
    commit(public, {"more.py": "x\n"})
    git("update-server-info", at=public)

    async def show(scope: Any, receive: Any, send: Any) -> None:
        file = public / ".git" / scope["path"].removeprefix("/x.git/")
        found = file.is_file()
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": []})
        await send({"type": "http.response.body", "body": file.read_bytes() if found else b""})

    async with served(show) as url:
        with pytest.raises(FetchFailed, match=r"submodule 'stolen': .* from elsewhere may not name"):
            await fetch(f"{url}/x.git")
    await fetch(public)

    assert (fetch.into / "stolen" / "secret").read_text() == "hush\n"


async def test_what_git_says_without_end_does_not_fill_our_memory() -> None:
    async with started(("/usr/bin/head", "-c", "70000000", "/dev/zero"), {}) as process:
        with pytest.raises(FetchFailed, match="git answered more than 64 MiB"):
            await asyncio.wait_for(read(process), 20)
    complaints = ("/usr/bin/seq", "-f", "no such branch %.0f", "100000")
    async with started(("/bin/sh", "-c", '"$@" >&2', "sh", *complaints), {}) as process:
        out, err = await asyncio.wait_for(read(process), 20)

    assert out == b"" and len(err) < 100_000
    assert err.endswith(b"no such branch 100000\n")


async def test_a_repository_of_the_internet_names_none_of_this_network(tmp_path: Path) -> None:
    source = GitSource(Settings(home=tmp_path))

    outside = [
        await source._from_outside(giturl.parse(url, local=True))
        for url in ("https://8.8.8.8/x", "https://127.0.0.1/x", "http://10.0.0.1/x", "/srv/x")
    ]
    with pytest.raises(FetchFailed, match="an address of this machine or of a private network"):
        await source._reachable(giturl.parse("https://127.0.0.1/x", local=True), public=True)

    assert outside == [True, False, False, False]


async def test_too_many_bytes_and_too_many_files_are_refused(tmp_path: Path, origin: Path) -> None:
    commit(origin, {f"f{i}": "x" for i in range(120)})
    with pytest.raises(FetchFailed, match="121 files, more than 100"):
        await Fetches(tmp_path / "files", upload_max_files=100)(origin)

    (origin / "zeros").write_bytes(bytes(3 * 1024 * 1024))
    commit(origin, {})
    with pytest.raises(FetchFailed, match="3 MiB, more than 1"):
        await Fetches(tmp_path / "zeros", upload_max_mib=1)(origin)

    (origin / "noise").write_bytes(os.urandom(3 * 1024 * 1024))
    commit(origin, {})
    with pytest.raises(FetchFailed, match="larger than 1 MiB"):
        await Fetches(tmp_path / "noise", upload_max_mib=1)(origin)


async def test_nothing_in_a_repository_runs(tmp_path: Path, origin: Path, fetch: Fetches) -> None:
    mark = tmp_path / "mark"
    script = f"touch {mark}"
    commit(origin, {".gitattributes": "* filter=evil\n", "x.txt": "x"})
    git("config", "filter.evil.smudge", script, at=origin)
    git("config", "core.fsmonitor", script, at=origin)
    git("config", "uploadpack.packObjectsHook", script, at=origin)
    for name in ("post-checkout", "reference-transaction", "pre-receive"):
        hook = origin / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)

    await fetch(origin)

    assert (fetch.into / "x.txt").read_text() == "x"
    assert not mark.exists()


async def test_links_out_of_the_repository_are_left_out_and_named(origin: Path, fetch: Fetches) -> None:
    (origin / "evil").symlink_to("/etc/passwd")
    (origin / "d").mkdir()
    (origin / "d" / "up").symlink_to("../../x")
    (origin / "good").symlink_to("main.py")
    commit(origin, {})

    await fetch(origin)

    assert not (fetch.into / "evil").is_symlink()
    assert not (fetch.into / "d" / "up").is_symlink()
    assert (fetch.into / "good").read_text() == "print(1)\n"
    assert any("'evil' leads out" in line for line in fetch.said)


async def test_submodules_come_at_the_commit_that_is_named(tmp_path: Path, origin: Path, fetch: Fetches) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git("init", "-q", at=library)
    commit(library, {"lib.py": "old\n"})
    git("submodule", "add", "-q", "../library", "vendor/library", at=origin)
    commit(origin, {})
    commit(library, {"lib.py": "new\n"})

    await fetch(origin)

    assert (fetch.into / "vendor" / "library" / "lib.py").read_text() == "old\n"


async def test_a_cancelled_fetch_leaves_no_process(fetch: Fetches) -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hang.git"
    task = asyncio.create_task(fetch(url))
    await asyncio.wait_for(asked.wait(), 10)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    server.close()
    assert running(url) == []


# --- push ----------------------------------------------------------------------------------------------------


def running(text: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if text in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An ASGI app on a free port of loopback."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    for _ in range(1000):
        if server.started:
            break
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task


def door(gits: GitHttp) -> Any:
    """As little of the API as git needs."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def body() -> AsyncIterator[bytes]:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionAbortedError
                yield message.get("body", b"")
                if not message.get("more_body"):
                    return

        name, _, path = scope["path"].removeprefix("/git/").partition(".git")
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        try:
            answer = await gits.serve(name, scope["method"], path, scope["query_string"].decode(), headers, body())
        except LeewardError as error:
            await send({"type": "http.response.start", "status": error.status, "headers": []})
            await send({"type": "http.response.body", "body": error.message.encode()})
            return
        raw = [(key.encode(), value.encode()) for key, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        async for chunk in answer.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


async def client(*words: str, at: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "git", "-C", str(at), *words, env=SAFE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_what_is_pushed_can_be_deployed_and_cloned(tmp_path: Path, origin: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    gits = GitHttp(settings)
    head = git("rev-parse", "HEAD", at=origin)

    async with served(door(gits)) as url:
        assert await gits.heads("shop") == {}
        code, said = await client("push", f"{url}/git/shop.git", "main", "HEAD:feature/x", at=origin)
        assert (code, said) == (0, said)
        cloned, _ = await client("clone", "-q", f"{url}/git/shop.git", str(tmp_path / "clone"), at=tmp_path)

    assert cloned == 0
    assert await gits.heads("shop") == {"main": head, "feature/x": head}
    ref = SourceRef(SourceKind.PUSH, ref="main", commit=head)
    fetched = await PushedSource(settings).fetch("shop", ref, tmp_path / "tree", lambda line: None)
    assert (fetched.tree / "main.py").read_text() == "print(1)\n"
    assert fetched.message == "begin"


async def test_what_was_pushed_to_one_control_plane_is_deployed_by_the_next(tmp_path: Path, origin: Path) -> None:
    database = await Database.open(tmp_path / "shared.db")
    files = SqlFileStore(database, SystemClock())
    first, second = Settings(home=tmp_path / "one"), Settings(home=tmp_path / "two")
    try:
        async with served(door(GitHttp(first, files))) as url:
            assert (await client("push", f"{url}/git/shop.git", "main", at=origin))[0] == 0
        head = git("rev-parse", "HEAD", at=origin)
        ref = SourceRef(SourceKind.PUSH, ref="main", commit=head)

        fetched = await PushedSource(second, files).fetch("shop", ref, tmp_path / "tree", lambda line: None)
        assert (fetched.tree / "main.py").read_text() == "print(1)\n"
        newer = commit(origin, {"main.py": "print(2)\n"})
        async with served(door(GitHttp(second, files))) as url:
            assert (await client("push", f"{url}/git/shop.git", "main", at=origin))[0] == 0

        # The first one led before: what it has is older.
        assert await GitHttp(first, files).heads("shop") == {"main": newer}
    finally:
        await database.close()


async def test_a_large_push_streams_in_both_directions(tmp_path: Path, origin: Path) -> None:
    (origin / "noise").write_bytes(os.urandom(20 * 1024 * 1024))
    head = commit(origin, {f"src/f{i}": str(i) * 100 for i in range(1500)})
    gits = GitHttp(Settings(home=tmp_path / "home"))

    async with served(door(gits)) as url:
        code, said = await client("push", f"{url}/git/shop.git", "main", at=origin)

    assert code == 0, said
    assert await gits.heads("shop") == {"main": head}


async def test_a_push_that_is_too_large_is_refused_and_leaves_nothing(tmp_path: Path, origin: Path) -> None:
    (origin / "noise").write_bytes(os.urandom(5 * 1024 * 1024))
    commit(origin, {})
    gits = GitHttp(Settings(home=tmp_path / "home", upload_max_mib=1))

    async with served(door(gits)) as url:
        code, said = await client("push", f"{url}/git/shop.git", "main", at=origin)
        ok, _ = await client("push", f"{url}/git/shop.git", "HEAD~1:refs/heads/main", at=origin)

    assert code != 0, said
    assert ok == 0
    assert list((tmp_path / "home" / "git" / "shop.git" / "objects").glob("*incoming-*")) == []


async def test_a_client_killed_in_the_middle_leaves_no_ref_and_no_process(tmp_path: Path, origin: Path) -> None:
    (origin / "noise").write_bytes(os.urandom(60 * 1024 * 1024))
    head = commit(origin, {})
    gits = GitHttp(Settings(home=tmp_path / "home"))
    repository = tmp_path / "home" / "git" / "shop.git"

    async with served(door(gits)) as url:
        process = await asyncio.create_subprocess_exec(
            "git", "-C", str(origin), "push", f"{url}/git/shop.git", "main",
            env=SAFE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        for _ in range(500):
            if list(repository.glob("objects/*incoming-*/pack/*")) or process.returncode is not None:
                break
            await asyncio.sleep(0.01)
        assert process.returncode is None, "the push ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        for _ in range(300):
            if not running(str(repository)) and not list(repository.glob("objects/*incoming-*")):
                break
            await asyncio.sleep(0.01)

        assert await gits.heads("shop") == {}
        assert list(repository.glob("objects/*incoming-*")) == []
        code, said = await client("push", f"{url}/git/shop.git", "main", at=origin)

    assert code == 0, said
    assert await gits.heads("shop") == {"main": head}


async def test_no_hook_of_the_repository_runs_at_a_push(tmp_path: Path, origin: Path) -> None:
    gits = GitHttp(Settings(home=tmp_path / "home"))
    mark = tmp_path / "mark"

    async with served(door(gits)) as url:
        await client("push", f"{url}/git/shop.git", "main", at=origin)
        hook = tmp_path / "home" / "git" / "shop.git" / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
        commit(origin, {"x": "x"})
        code, _ = await client("push", f"{url}/git/shop.git", "main", at=origin)

    assert code == 0
    assert not mark.exists()


@pytest.mark.parametrize(
    "request_line",
    [
        ("shop", "GET", "/config", ""),
        ("shop", "GET", "/objects/info/packs", ""),
        ("shop", "GET", "/info/refs", ""),
        ("../etc", "GET", "/info/refs", "service=git-upload-pack"),
        ("shop", "POST", "/git-upload-archive", ""),
    ],
)
async def test_only_the_three_requests_of_gits_protocol_are_served(
    tmp_path: Path, request_line: tuple[str, str, str, str]
) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    app, method, path, query = request_line
    with pytest.raises(LeewardError):
        await GitHttp(Settings(home=tmp_path)).serve(app, method, path, query, {}, nothing())


# --- sweep ---------------------------------------------------------------------------------------------------


async def test_the_sweep_keeps_to_the_budget_and_to_what_runs(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, uploads_mib=64)
    uploads = tmp_path / "sources" / "uploads"
    trees = tmp_path / "sources" / "trees"
    for folder in (uploads, trees / "dep_old", trees / "dep_busy"):
        folder.mkdir(parents=True)
    for number in range(5):
        file = uploads / f"up_{number}.tar.gz"
        file.write_bytes(bytes(20 * 1024 * 1024))
        os.utime(file, (number, number))
    later = time.time() + 10_000

    freed = sweep(settings, frozenset({"dep_busy", "up_0"}), now=later)

    assert sorted(path.name for path in uploads.iterdir()) == ["up_0.tar.gz", "up_3.tar.gz", "up_4.tar.gz"]
    assert [path.name for path in trees.iterdir()] == ["dep_busy"]
    assert freed == 40 * 1024 * 1024
