"""Decide which files of a tree are left out: .gitignore at every level, .dockerignore and .leewardignore at the top."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec, PathSpec, Pattern

# Lowest of all rules, so that '!node_modules/' in .leewardignore brings them back.
ALWAYS = (".venv/", "node_modules/", "__pycache__/", ".DS_Store")
NEVER_SENT = ".git"


class Rules:
    """The rules that hold at one directory of the tree.

    .leewardignore decides first, either way. What it does not name is left out when .dockerignore or the .gitignore
    files leave it out, of which the nearest one counts.
    """

    def __init__(
        self,
        layers: Sequence[tuple[str, GitIgnoreSpec]],
        docker: "PathSpec[Pattern]",
        leeward: GitIgnoreSpec,
        kept: frozenset[str],
    ) -> None:
        self._layers = layers
        self._docker = docker
        self._docker_excepts = any(pattern.include is False for pattern in docker.patterns)
        self._leeward = leeward
        self._kept = kept

    @classmethod
    def of(cls, root: Path, kept: Iterable[str] = ()) -> "Rules":
        """The rules of a tree: those of the Git checkout around it too. `kept` are files that are always sent."""
        layers: list[tuple[str, GitIgnoreSpec]] = [("", GitIgnoreSpec.from_lines(ALWAYS))]
        layers += _outer(root)
        layers += _layer("", root / ".gitignore")
        docker = PathSpec.from_lines("gitignore", [_docker(line) for line in _lines(root / ".dockerignore")])
        return cls(layers, docker, GitIgnoreSpec.from_lines(_lines(root / ".leewardignore")), frozenset(kept))

    def below(self, directory: Path, prefix: str) -> "Rules":
        """The rules inside a directory of the tree, whose path is `prefix` with a slash at its end."""
        inner = _layer(prefix, directory / ".gitignore")
        return Rules((*self._layers, *inner), self._docker, self._leeward, self._kept) if inner else self

    def leave_out(self, path: str, directory: bool) -> bool:
        """Whether a path is not sent."""
        if path.rpartition("/")[2] == NEVER_SENT:
            return True
        if path in self._kept or (directory and any(kept.startswith(f"{path}/") for kept in self._kept)):
            return False
        full = f"{path}/" if directory else path
        verdict = self._leeward.check_file(full).include
        if verdict is not None:
            return verdict
        # A directory that .dockerignore leaves out may hold files that it lets back in.
        if self._docker.check_file(full).include and not (directory and self._docker_excepts):
            return True
        for prefix, spec in reversed(self._layers):
            verdict = spec.check_file(_seen_from(prefix, full)).include
            if verdict is not None:
                return verdict
        return False


def _seen_from(prefix: str, path: str) -> str:
    """The path as the file at `prefix` names it; a prefix with '^' is above the tree."""
    return prefix[1:] + path if prefix.startswith("^") else path.removeprefix(prefix)


def _outer(root: Path) -> list[tuple[str, GitIgnoreSpec]]:
    """The .gitignore files above the tree, from the top of its Git checkout down."""
    root = root.resolve()
    if (root / NEVER_SENT).exists():
        return []
    top = next((parent for parent in root.parents if (parent / NEVER_SENT).exists()), None)
    if top is None:
        return []
    above = [parent for parent in reversed(root.parents) if parent == top or top in parent.parents]
    return [
        (f"^{root.relative_to(parent).as_posix()}/", spec)
        for parent in above
        for _, spec in _layer("", parent / ".gitignore")
    ]


def _layer(prefix: str, file: Path) -> list[tuple[str, GitIgnoreSpec]]:
    lines = _lines(file)
    return [(prefix, GitIgnoreSpec.from_lines(lines))] if lines else []


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        return []
    lines = file.read_text(errors="replace").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _docker(line: str) -> str:
    """A pattern of .dockerignore, which is anchored at the top, as Git writes it."""
    line = line.strip()
    sign = "!" if line.startswith("!") else ""
    pattern = line.removeprefix("!").strip().removeprefix("./").strip("/")
    return f"{sign}/{pattern}" if pattern not in ("", ".") else ""
