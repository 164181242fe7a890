"""Choose which Python files of a tree to look into, and how each is imported."""

from collections.abc import Iterator

from leeward.builders.tree import AppView

_STEMS = ("main", "app", "server", "api", "asgi", "wsgi", "application", "run", "web", "index", "__init__")
_PLACES = ("", "app/", "src/", "src/app/", "api/", "backend/", "server/")
_NOT_APPS = frozenset(
    {"tests", "test", "docs", "doc", "examples", "scripts", "migrations", "alembic", "benchmarks", "e2e"}
)
_MAX_FILES = 60
_MAX_DEPTH = 4


def candidates(view: AppView) -> tuple[str, ...]:
    """Python files that may hold the application, the likeliest first."""
    found: dict[str, None] = {}
    for place in _PLACES:
        for stem in _STEMS:
            if view.has(f"{place}{stem}.py"):
                found[f"{place}{stem}.py"] = None
    rest = [path for path in view.paths if path.endswith(".py") and path not in found and _is_app_code(path)]
    for path in sorted(rest, key=_likelihood):
        found[path] = None
    return tuple(found)[:_MAX_FILES]


def _is_app_code(path: str) -> bool:
    *folders, name = path.split("/")
    return (
        len(folders) < _MAX_DEPTH
        and not _NOT_APPS.intersection(folders)
        and not name.startswith(("test_", "conftest", "setup.", "noxfile"))
        and not name.endswith("_test.py")
    )


def _likelihood(path: str) -> tuple[int, int, str]:
    stem = path.rpartition("/")[2].removesuffix(".py")
    return path.count("/"), _STEMS.index(stem) if stem in _STEMS else len(_STEMS), path


def import_name(view: AppView, path: str, imports: frozenset[str]) -> tuple[str, str]:
    """The module's name, and the directory that must be on the path for it ('' for the app's own)."""
    *folders, name = path.removesuffix(".py").split("/")
    base: list[str] = []
    if folders[:1] == ["src"] and not view.has("src/__init__.py") and "src" not in imports:
        base, folders = ["src"], folders[1:]
    here = [*base, *folders]
    if folders and (_imports_siblings(view, here, base, imports) or not all(part.isidentifier() for part in folders)):
        base, folders = here, []
    parts = folders if name == "__init__" and folders else [*folders, name]
    return ".".join(parts), "/".join(base)


def _imports_siblings(view: AppView, here: list[str], base: list[str], imports: frozenset[str]) -> bool:
    """Whether the file imports a neighbour by its bare name, so that its own directory must be on the path."""
    near, far = "/".join([*here, ""]), "/".join([*base, ""]) if base else ""
    return any(_module_at(view, near, name) and not _module_at(view, far, name) for name in imports)


def _module_at(view: AppView, below: str, name: str) -> bool:
    return view.has(f"{below}{name}.py") or view.has(f"{below}{name}/__init__.py")


def texts(view: AppView, paths: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The files with their text."""
    return ((path, view.read(path)) for path in paths)
