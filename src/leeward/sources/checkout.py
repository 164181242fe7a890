"""Write the tree of a commit to disk, within bounds, without its history."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leeward.errors import FetchFailed
from leeward.settings import MIB, Settings
from leeward.sources.gitcommand import Git
from leeward.sources.tree import emptied


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree: `kind` is blob or commit (a submodule)."""

    mode: str
    kind: str
    sha: str
    size: int
    path: str


@dataclass(frozen=True, slots=True)
class Submodule:
    """Another repository within a tree, at a commit."""

    path: str
    url: str
    commit: str


async def checkout(
    git: Git, repository: Path, commit: str, into: Path, settings: Settings, used: Path | None = None
) -> None:
    """Put the files of a commit below `into`; what `used` holds counts too. Raises FetchFailed over the bounds."""
    entries = await listing(git, repository, commit)
    files, size = await asyncio.to_thread(_measure, used) if used else (0, 0)
    _bound(files + len(entries), size + sum(entry.size for entry in entries), settings)
    into = await asyncio.to_thread(emptied, into.absolute())
    index = into.with_name(f".{into.name}.index")
    more = {"GIT_INDEX_FILE": str(index), "GIT_DIR": str(repository), "GIT_WORK_TREE": str(into)}
    try:
        for words in (("read-tree", commit), ("checkout-index", "-a", "-f", "-q")):
            said = await git.run(*words, more=more, timeout_s=300)
            if said.code:
                raise FetchFailed(
                    f"the files of {commit[:12]} could not be written: {_last(said.err)}",
                    hint="see that the disk has room and that the repository is whole ('git fsck')",
                )
    finally:
        for left in (index, Path(f"{index}.lock")):
            with contextlib.suppress(FileNotFoundError):
                left.unlink()


async def listing(git: Git, repository: Path, commit: str) -> tuple[Entry, ...]:
    """Every file of a commit. Raises FetchFailed when it is not there."""
    said = await git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit, folder=repository, timeout_s=120)
    if said.code:
        raise FetchFailed(f"there is no commit '{commit}'", hint="push it, then deploy again")
    return tuple(_entries(said.out))


async def submodules(git: Git, repository: Path, commit: str) -> tuple[Submodule, ...]:
    """The submodules of a commit, with the addresses that its .gitmodules gives."""
    entries = [entry for entry in await listing(git, repository, commit) if entry.kind == "commit"]
    if not entries:
        return ()
    said = await git.run("config", "--blob", f"{commit}:.gitmodules", "-z", "--list", folder=repository)
    values: dict[str, dict[str, str]] = {}
    for item in said.out.decode(errors="replace").split("\0"):
        key, _, value = item.partition("\n")
        section, _, name = key.rpartition(".")
        if section.startswith("submodule."):
            values.setdefault(section, {})[name] = value
    urls = {value.get("path", ""): value.get("url", "") for value in values.values()}
    return tuple(Submodule(entry.path, urls.get(entry.path, ""), entry.sha) for entry in entries)


def _entries(out: bytes) -> Iterator[Entry]:
    for line in out.decode(errors="surrogateescape").split("\0"):
        head, tab, path = line.partition("\t")
        if tab:
            mode, kind, sha, size = head.split()
            yield Entry(mode, kind, sha, int(size) if size.isdigit() else 0, path)


def _bound(files: int, size: int, settings: Settings) -> None:
    if files > settings.upload_max_files:
        raise FetchFailed(
            f"the repository has {files} files, more than {settings.upload_max_files}",
            hint="remove what is generated, or raise LEEWARD_UPLOAD_MAX_FILES",
        )
    if size > settings.upload_max_mib * MIB:
        raise FetchFailed(
            f"the repository's files are {size // MIB} MiB, more than {settings.upload_max_mib}",
            hint="move large files to a bucket, or raise LEEWARD_UPLOAD_MAX_MIB",
        )


def _measure(folder: Path) -> tuple[int, int]:
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return len(sizes), sum(sizes)


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "git said nothing"
