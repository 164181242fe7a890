"""The house: rooms, names and lengths."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "leeward").rglob("*.py"))
WIDE = ("except:", "except Exception", "except (Exception", "except BaseException", "except (BaseException")
NOT_ROOMS = {"utils", "helpers", "common", "base", "core", "manager", "misc", "util", "helper"}


def nodes(path: Path, *words: str) -> Iterator[ast.AST]:
    """A module's nodes, if its text has one of the words: to parse all of them takes longer than many tests."""
    text = path.read_text()
    if any(word in text for word in words):
        yield from ast.walk(ast.parse(text))


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count for path in SOURCES if (count := len(path.read_text().splitlines())) > 400
    }

    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    nameless = [str(path) for path in SOURCES if path.stem in NOT_ROOMS or path.parent.name in NOT_ROOMS]

    assert nameless == []


def test_every_module_begins_with_one_sentence() -> None:
    wrong = []
    for path in SOURCES:
        first = (re.match(r'"""(.+?)(?:"""|\n)', path.read_text()) or ("", ""))[1]
        if not first.endswith(".") and not re.search(r"\. Pure\.?$", first):
            wrong.append(f"{path.relative_to(ROOT)}: {first!r}")

    assert wrong == []


def test_only_the_doors_and_the_tick_catch_every_exception() -> None:
    allowed = {"loop.py", "app.py", "main.py", "daemon.py"}
    wide = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path.name not in allowed
        for node in nodes(path, *WIDE)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    ]

    assert wide == []


def test_nothing_is_given_to_a_shell() -> None:
    shells = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in nodes(path, "shell=", "subprocess_shell")
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "shell"
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "create_subprocess_shell")
    ]

    assert shells == []


def test_the_database_is_imported_in_the_store_only() -> None:
    strangers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parent.name not in ("store", "migrations", "versions")
        and re.search(r"^\s*(import|from) (sqlalchemy|sqlite3|alembic)", path.read_text(), re.M)
    ]

    assert strangers == []
