"""Read a user's tree within bounds, and never follow a link out of it.

The tree is hostile: links, devices, endless directories, broken text and huge files all end in 'not there'.
"""

import ast
import json
import os
import stat
import tomllib
import warnings
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from leeward.errors import PlanFailed
from leeward.model.build import Evidence

MAX_PATHS = 50_000
MAX_BYTES = 1024 * 1024
MAX_READS = 200
MAX_DEPTH = 32
# Parsing Python costs about 1 s for each MiB.
MAX_AST_BYTES = 256 * 1024
# What tools put into a checkout: never the user's own code, and often most of the files.
SKIPPED = frozenset(
    {".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache", ".pytest_cache"}
    | {".ruff_cache", ".next", ".nuxt", ".turbo", ".cache", ".idea", ".vscode", "__MACOSX", ".hypothesis"}
)


class _Files:
    """The files of one tree and what was read of them."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.paths, self.truncated = _listing(self.root)
        self.known = frozenset(self.paths)
        self._texts: dict[str, tuple[str, bool] | None] = {}

    def read(self, path: str) -> tuple[str, bool] | None:
        """The text (at most 1 MiB of it) and whether that was all; None when it cannot be had."""
        if path not in self._texts:
            if path not in self.known or len(self._texts) >= MAX_READS:
                return None
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> tuple[str, bool] | None:
        full = os.path.realpath(self.root / path)
        if not _inside(self.root, full):
            return None
        try:
            handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return None
                data = file.read(MAX_BYTES + 1)
            except OSError:
                return None
        text = data[:MAX_BYTES].decode("utf-8", errors="replace").removeprefix("\ufeff")
        return text, len(data) <= MAX_BYTES


class AppView:
    """A read-only view of one directory of a tree; paths are relative to it, with '/', sorted."""

    def __init__(self, root: Path, _files: _Files | None = None, _below: str = "") -> None:
        self._files = _files or _Files(root)
        self._below = _below
        self._own: tuple[str, ...] | None = None
        self._modules: dict[str, ast.Module | None] = {}

    @property
    def name(self) -> str:
        """The directory as the user knows it, relative to the tree; '.' for the whole tree."""
        return self._below.rstrip("/") or "."

    @property
    def truncated(self) -> bool:
        """Whether the tree has more files than were looked at."""
        return self._files.truncated

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file below this directory."""
        if self._own is None:
            every, below = self._files.paths, self._below
            if not below:
                self._own = every
            else:
                first, last = bisect_left(every, below), bisect_left(every, below[:-1] + "0")
                self._own = tuple(path[len(below) :] for path in every[first:last] if path.startswith(below))
        return self._own

    def at(self, path: str) -> "AppView | None":
        """The view of a directory below; None when there is no file in it."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or path.startswith("/"):
            return None
        if not parts:
            return self
        view = AppView(self._files.root, self._files, self._below + "/".join(parts) + "/")
        return view if view.paths else None

    def directories(self, depth: int) -> tuple[str, ...]:
        """Directories with files in or below them, at most `depth` levels down."""
        found: set[str] = set()
        for path in self.paths:
            parts = path.split("/")[:-1][:depth]
            found.update("/".join(parts[: count + 1]) for count in range(len(parts)))
        return tuple(sorted(found))

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return self._below + path in self._files.known

    def first(self, *paths: str) -> str | None:
        """The first of these files that is there."""
        return next((path for path in paths if self.has(path)), None)

    def top(self, suffix: str) -> tuple[str, ...]:
        """Files of this directory itself whose name ends so."""
        return tuple(path for path in self.paths if "/" not in path and path.endswith(suffix))

    def read(self, path: str) -> str:
        """The text, '' when it cannot be had, at most 1 MiB of it."""
        found = self._files.read(self._below + path)
        return found[0] if found else ""

    def lines(self, path: str) -> Iterator[tuple[int, str]]:
        """The lines with their numbers."""
        return enumerate(self.read(path).splitlines(), 1)

    def whole(self, path: str) -> str:
        """The text of a manifest. Raises PlanFailed when it is over the limit, for half of it would mislead."""
        found = self._files.read(self._below + path)
        if found and not found[1]:
            raise PlanFailed(
                f"'{path}' is larger than {MAX_BYTES // 1024} KiB", hint="move what is not a setting out of it"
            )
        return found[0] if found else ""

    def toml(self, path: str) -> Mapping[str, Any]:
        """A parsed TOML file, empty when it is not there. Raises PlanFailed naming line and column."""
        try:
            return tomllib.loads(self.whole(path))
        except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
            raise PlanFailed(f"'{path}' is not TOML: {_first_line(error)}", hint=f"correct '{path}'") from error

    def json(self, path: str) -> Mapping[str, Any]:
        """A parsed JSON object, empty when it is not there. Raises PlanFailed naming line and column."""
        text = self.whole(path)
        if not text.strip():
            return {}
        try:
            value = json.loads(text)
            # Half a surrogate pair is legal JSON, and no text.
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise PlanFailed(f"'{path}' is not JSON: {_first_line(error)}", hint=f"correct '{path}'") from error
        if not isinstance(value, Mapping):
            raise PlanFailed(f"'{path}' must hold an object", hint="begin it with '{'")
        return value

    def module(self, path: str) -> ast.Module | None:
        """A Python file as a syntax tree, never imported; None when it does not parse."""
        if path not in self._modules:
            self._modules[path] = _parsed(self.read(path))
        return self._modules[path]

    def where(self, path: str, needle: str, what: str = "") -> Evidence:
        """The first line of a file that holds a text, as evidence."""
        for number, line in self.lines(path):
            if needle in line:
                return Evidence(path, number, what)
        return Evidence(path, 0, what)


def _parsed(text: str) -> ast.Module | None:
    if len(text) > MAX_AST_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _listing(root: Path) -> tuple[tuple[str, ...], bool]:
    """All file paths, the upper levels first when there are too many."""
    found: list[str] = []
    queue = deque([("", 0)])
    while queue:
        below, depth = queue.popleft()
        for entry in _entries(root, below):
            if len(found) >= MAX_PATHS or len(queue) >= MAX_PATHS:
                return tuple(sorted(found)), True
            path = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED and depth < MAX_DEPTH:
                    queue.append((path + "/", depth + 1))
            elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _leads_inside(root, path)):
                found.append(path)
    return tuple(sorted(found)), False


def _entries(root: Path, below: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / below) as entries:
            return sorted(
                (entry for entry in islice(entries, 2 * MAX_PATHS) if _plain(entry.name)), key=lambda entry: entry.name
            )
    except OSError:
        return []


def _plain(name: str) -> bool:
    """A name that can be printed and written into a Dockerfile; others are copied but never looked at."""
    return name.isprintable()


def _leads_inside(root: Path, path: str) -> bool:
    try:
        full = os.path.realpath(root / path, strict=True)
        return _inside(root, full) and stat.S_ISREG(os.stat(full).st_mode)
    except OSError:
        return False


def _inside(root: Path, full: str) -> bool:
    return full.startswith(str(root).rstrip("/") + "/")


def _first_line(error: Exception) -> str:
    message = str(error) or "too deeply nested"
    return message.splitlines()[0][:200]
