"""How fast `lee` starts, and that its table of commands is true."""

import ast
import importlib
import inspect
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from leeward.cli import commands
from leeward.cli.main import main

HEAVY = ("fastapi", "starlette", "sqlalchemy", "httpx", "pydantic", "uvicorn", "aiodocker", "rich", "cyclopts", "yaml")
ROOM = Path(commands.__file__).parent


def modules_after(argv: list[str]) -> set[str]:
    """The heavy modules that a command imports, in a Python of its own."""
    script = (
        "import sys; from leeward.cli.main import main; main(sys.argv[2:]); "
        "print('\\n'.join(m for m in sys.argv[1].split(',') if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, ",".join(HEAVY), *argv], capture_output=True, text=True, check=True, timeout=20
    )
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    assert modules_after(["--help"]) == set()


@pytest.mark.parametrize("argv", [["deploy", "--help"], ["apps", "list", "--help"], ["up", "--help"]])
def test_the_help_of_a_command_imports_neither_server_nor_client(argv: list[str]) -> None:
    assert modules_after(argv) <= {"rich", "cyclopts"}


def test_help_starts_within_a_moment() -> None:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    best = 1.0
    for _ in range(3):
        before = spent()
        subprocess.run([sys.executable, "-m", "leeward", "--help"], capture_output=True, check=True, timeout=20)
        best = min(best, spent() - before)

    assert best < 0.15


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_lee_alone_lists_what_it_can_do(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0

    out = capsys.readouterr().out
    assert "deploy " in out
    assert "daemon" not in out


@pytest.mark.parametrize("command", commands.ALL, ids=lambda command: command.name)
def test_the_table_says_what_the_command_says(command: commands.Command) -> None:
    module, _, name = command.target.partition(":")
    function = getattr(importlib.import_module(f"leeward.cli.{module}"), name)

    assert (inspect.getdoc(function) or "").split("\n")[0] == command.text


@pytest.mark.parametrize("command", [c for c in commands.ALL if c.shown], ids=lambda command: command.name)
def test_every_command_has_json(command: commands.Command) -> None:
    module, _, name = command.target.partition(":")
    function = getattr(importlib.import_module(f"leeward.cli.{module}"), name)

    assert "as_json" in inspect.signature(function).parameters


def test_commands_import_at_their_top_only_what_is_light() -> None:
    light = {"leeward.errors", "leeward.cli", "leeward.cli.output", "leeward.cli.flags", "cyclopts"}
    modules = {command.target.partition(":")[0] for command in commands.ALL}
    heavy = [
        f"{name}: {found}"
        for name in sorted(modules)
        for node in ast.parse((ROOM / f"{name}.py").read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for found in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names])
        if found.split(".")[0] not in sys.stdlib_module_names and found not in light
    ]

    assert heavy == []


def test_a_usage_error_exits_2_as_a_process_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leeward", "apps", "show"], capture_output=True, text=True, check=False, timeout=20
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["Error: APP is missing", "  hint: see `lee apps show --help`"]


def test_a_reader_that_goes_away_makes_no_noise() -> None:
    lee = subprocess.Popen(
        [sys.executable, "-m", "leeward", "completion", "bash"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert lee.stdout is not None and lee.stderr is not None
    lee.stdout.close()

    assert lee.stderr.read() == b""
    lee.stderr.close()
    assert lee.wait(20) == 1


def test_the_http_client_comes_without_a_command_line_of_its_own() -> None:
    """It would import pygments and click, which nothing of ours needs."""
    script = (
        "import sys; sys.argv = ['lee', '--version']\nfrom leeward.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "import httpx; httpx.Client\n"
        "print([m for m in ('pygments', 'click', 'rich.progress') if m in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)

    assert done.stderr.strip() == "[]"
