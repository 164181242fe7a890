"""`docs/reference/cli.md` is what `--help` says. `make golden` writes it again."""

import os
from pathlib import Path

import pytest

from leeward.cli import commands
from leeward.cli.main import main

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
HEAD = """# The command line

Every command, as `--help` says it. Answers go to stdout, everything else to stderr; `--json` makes the answer JSON.

| exit code | means |
| --- | --- |
| 0 | it is done |
| 1 | it failed |
| 2 | the request is wrong |
| 3 | the platform could not be reached |

The platform and the token come from `LEEWARD_URL`, `LEEWARD_TOKEN` and `LEEWARD_CA`, else from
`~/.config/leeward/cli.toml` (written by `lee login`), else from `/etc/leeward/cli.toml` (written by `lee up`).
A token from a file is shown only to the platform that the file names.

With `--json`, a failure is `{"error": {"code", "message", "hint", "problems"?}}`, and a deploy that failed is
`{"app", "status": "failed", "step", "error": {"code", "message", "hint"}}`. Ctrl-C while a deploy is shown ends the
showing (with exit code 130), never the deploy.

A deploy leaves out what `.gitignore` files (those around the directory too), `.dockerignore` and `.leewardignore`
say, and always `.git`. `.venv/`, `node_modules/`, `__pycache__/` and `.DS_Store` are left out unless a rule like
`!node_modules/` brings them back. `leeward.yaml`, `.dockerignore` and the Dockerfile are always sent.
"""


def help_of(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out.strip()


def reference(capsys: pytest.CaptureFixture[str]) -> str:
    names = sorted([*commands.GROUPS, *(command.name for command in commands.ALL if command.shown)])
    parts = [HEAD, f"## lee\n\n```text\n{help_of(capsys, [])}\n```\n"]
    parts += [f"## lee {name}\n\n```text\n{help_of(capsys, name.split())}\n```\n" for name in names]
    return "\n".join(parts)


def test_the_reference_is_what_help_says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    text = reference(capsys)
    if os.environ.get("GOLDEN") == "write":
        REFERENCE.parent.mkdir(parents=True, exist_ok=True)
        REFERENCE.write_text(text)

    assert REFERENCE.read_text() == text
