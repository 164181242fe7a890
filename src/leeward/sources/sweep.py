"""Keep uploads, checkouts and copies of repositories within their budget."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leeward.settings import MIB, Settings
from leeward.sources.githttp import clear

# A deploy that was just asked for is not yet among the busy ones.
YOUNG_S = 900.0
# Each fetch adds a pack; past this a fresh copy is faster.
PACKS = 60


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing on disk: `used_at` in Unix seconds."""

    path: Path
    size: int
    used_at: float
    name: str


def victims(kept: list[Kept], budget: int, busy: frozenset[str], now: float) -> tuple[Kept, ...]:
    """What must go, longest unused first: never what is busy or young. Pure."""
    over = sum(one.size for one in kept) - budget
    gone = []
    for one in sorted(kept, key=lambda one: one.used_at):
        if over <= 0:
            break
        if one.name in busy or now - one.used_at < YOUNG_S:
            continue
        gone.append(one)
        over -= one.size
    return tuple(gone)


def sweep(settings: Settings, busy: frozenset[str], now: float | None = None) -> int:
    """Remove what is over the budget, and what no deploy uses any more; bytes that were freed.

    `busy` names what running deploys use: their ids (trees), their uploads' ids and their apps (copies).
    """
    now = time.time() if now is None else now
    home = settings.home
    for part in (home / "sources" / "uploads").glob("*.part"):
        if now - part.lstat().st_mtime > YOUNG_S:
            part.unlink(missing_ok=True)
    for repository in (home / "git").glob("*.git"):
        if not _active(repository, now):
            clear(repository)
    trees = [one for one in _below(home / "sources" / "trees") if one.name not in busy]
    stale = [one for one in trees if now - one.used_at > YOUNG_S]
    mirrors = list(_below(home / "sources" / "git"))
    worn = [one for one in mirrors if one.name not in busy and len(list(one.path.glob("objects/pack/*.pack"))) > PACKS]
    rest = [*mirrors, *_below(home / "sources" / "uploads"), *(one for one in trees if one not in stale)]
    over = victims([one for one in rest if one not in worn], settings.uploads_mib * MIB, busy, now)
    return sum(_remove(one) for one in (*stale, *worn, *over))


def forget(settings: Settings, app: str, uploads: Iterable[str]) -> None:
    """Remove what came in for an app that is gone: what was pushed, the copy of its repository, its uploads."""
    shutil.rmtree(settings.home / "git" / f"{app}.git", ignore_errors=True)
    shutil.rmtree(settings.home / "sources" / "git" / app, ignore_errors=True)
    for upload in uploads:
        (settings.home / "sources" / "uploads" / f"{upload}.tar.gz").unlink(missing_ok=True)


def _active(repository: Path, now: float) -> bool:
    """Whether a push may be running: its quarantine changes all the time."""
    for path in (*repository.glob("objects/*incoming-*"), *repository.glob("*.lock")):
        with contextlib.suppress(FileNotFoundError):
            if now - max(file.lstat().st_mtime for file in (path, *path.rglob("*"))) < YOUNG_S:
                return True
    return False


def _below(folder: Path) -> Iterator[Kept]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(".") or path.suffix == ".part":
            continue
        with contextlib.suppress(FileNotFoundError):
            mark = path / "leeward.used"
            used = mark.lstat().st_mtime if mark.exists() else path.lstat().st_mtime
            # A tree has the fixed time of its files: its own creation is in the inode.
            used = max(used, path.lstat().st_ctime) if path.is_dir() else used
            yield Kept(path, _size(path), used, path.name.removesuffix(".tar.gz"))


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    total = 0
    for parent, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _remove(one: Kept) -> int:
    if one.path.is_dir():
        shutil.rmtree(one.path, ignore_errors=True)
    else:
        one.path.unlink(missing_ok=True)
    return one.size
