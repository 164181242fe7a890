"""No variable that people bring is silently ignored."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.planner_trees import FASTAPI, planned

from leeward.builders.foreign_variables import TABLE
from leeward.model.build import BuildPlan

PYTHON = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": FASTAPI}
NODE = {
    "package.json": '{"dependencies": {"vite": "5"}, "scripts": {"build": "vite build"}}',
    "index.html": "",
    "dist/x": "",
}
# Where a variable has a say, and a value that it may have there; anything else is tried on a Python app.
TREES: Mapping[str, tuple[Mapping[str, str], str]] = {
    "PROVIDERS": ({**PYTHON, "package.json": "{}"}, "python,node"),
    "PROVIDER": (PYTHON, "python"),
    "CONFIG_FILE": ({**PYTHON, "ci/nixpacks.toml": '[start]\ncmd = "serve"\n'}, "ci/nixpacks.toml"),
    "PKGS": (PYTHON, "ffmpeg"),
    "LIBS": (PYTHON, "libGL"),
    "PACKAGES": (PYTHON, "jq@latest"),
    "APT_PKGS": (PYTHON, "jq"),
    "BUILD_APT_PACKAGES": (PYTHON, "jq"),
    "DEPLOY_APT_PACKAGES": (PYTHON, "jq"),
    "INSTALL_CACHE_DIRS": (PYTHON, "/root/.things"),
    "BUILD_CACHE_DIRS": (NODE, ".things"),
    "NO_CACHE": (PYTHON, "1"),
    "DISABLE_CACHES": (PYTHON, "uv"),
    "PYTHON_VERSION": (PYTHON, "3.11"),
    "PYTHON_PACKAGE_MANAGER": (PYTHON, "skip"),
    "NODE_VERSION": (NODE, "22"),
    "OUTPUT_DIR": (NODE, "out"),
    "SPA_OUT_DIR": (NODE, "out"),
    "SPA_OUTPUT_DIR": (NODE, "out"),
    "STATICFILE_ROOT": (NODE, "out"),
    "STATIC_FILE_ROOT": (NODE, "out"),
    "GO_VERSION": ({"go.mod": "module x\n\ngo 1.21\n", "main.go": "package main\n"}, "1.23"),
    "GO_BIN": (
        {"go.mod": "module x\n", "cmd/server/main.go": "package main\n", "cmd/b/main.go": "package main\n"},
        "b",
    ),
    "PHP_ROOT_DIR": ({"composer.json": "{}", "public/index.php": "<?php", "shop/index.php": "<?php"}, "shop"),
    "DJANGO_APP_NAME": (PYTHON, "site.wsgi"),
    "SHELL_SCRIPT": (PYTHON, "go.sh"),
    "INSTALL_CMD": (PYTHON, "pip install x"),
    "BUILD_CMD": (PYTHON, "make"),
    "START_CMD": (PYTHON, "serve"),
}
# A migration of Django's own is left out.
DJANGO = {
    "requirements.txt": "django\n",
    "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "x.settings")\n',
    "x/settings.py": 'WSGI_APPLICATION = "x.wsgi.application"\n',
    "x/wsgi.py": "",
}


def spoken_of(found: BuildPlan, variable: str) -> bool:
    """Whether a decision rests on the variable, or a diagnostic names it."""
    decided = any(f"variable {variable}" in evidence.file for d in found.decisions for evidence in d.because)
    return decided or any(variable in note.text.split() for note in found.diagnostics)


@pytest.mark.parametrize(
    "variable", [prefix + name for name, known in TABLE.items() for prefix in known.prefixes], ids=str
)
def test_a_variable_of_the_table_has_a_say_or_is_answered(tmp_path: Path, variable: str) -> None:
    name = variable.partition("_")[2]
    files, value = TREES.get(name, (PYTHON, "1.2"))
    if variable == "RAILPACK_CONFIG_FILE":
        files, value = {**PYTHON, "ci/railpack.json": '{"deploy": {"startCommand": "serve"}}'}, "ci/railpack.json"
    if name == "SKIP_MIGRATIONS":
        files = DJANGO

    with_it, without = (planned(tmp_path, files, env=env) for env in ({variable: value}, {}))

    changed = with_it.dockerfile != without.dockerfile
    assert changed or spoken_of(with_it, variable)
    if TABLE[name].effect and name in TREES:
        assert changed or name in ("PROVIDER", "PYTHON_PACKAGE_MANAGER")
        assert not any(variable in note.text.split() for note in with_it.diagnostics)


@pytest.mark.parametrize("name", [name for name, known in TABLE.items() if not known.effect])
def test_a_variable_that_is_never_honoured_has_a_fix(name: str) -> None:
    assert TABLE[name].fix


def test_the_reference_says_of_each_variable_what_the_table_says() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "howto" / "come-from-another-platform.md").read_text()

    rows = []
    for name, known in TABLE.items():
        prefixes = ", ".join(f"`{prefix}`" for prefix in known.prefixes)
        rows.append(f"| `{name}` | {prefixes} | {known.effect or f'no effect: {known.fix}'} |")
    assert [row for row in rows if row not in reference] == []


def test_a_variable_with_a_slip_is_guessed(tmp_path: Path) -> None:
    found = planned(tmp_path, PYTHON, env={"NIXPACKS_PYTON_VERSION": "3.11"})

    assert ("the variable NIXPACKS_PYTON_VERSION is not known", "did you mean NIXPACKS_PYTHON_VERSION?") in [
        (note.text, note.fix) for note in found.diagnostics
    ]


def test_an_app_may_have_plans_of_its_own(tmp_path: Path) -> None:
    found = planned(tmp_path, PYTHON, env={"PLAN_LIMITS": "5", "NIXPACKS_LIMITS": "5", "PLAN_STRAT_CMD": "x"})

    named = [word for note in found.diagnostics for word in note.text.split() if word.endswith(("LIMITS", "CMD"))]
    assert named == ["NIXPACKS_LIMITS", "PLAN_STRAT_CMD"]


def test_of_two_prefixes_ours_wins_and_the_other_is_told(tmp_path: Path) -> None:
    found = planned(tmp_path, PYTHON, env={"PLAN_START_CMD": "ours", "NIXPACKS_START_CMD": "theirs"})

    assert found.start_command == "ours"
    assert "PLAN_START_CMD wins over the variable NIXPACKS_START_CMD" in [note.text for note in found.diagnostics]


def test_a_dockerfile_is_not_steered_and_says_so(tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM debian\n", "nixpacks.toml": "", **PYTHON}

    found = planned(tmp_path, files, env={"NIXPACKS_APT_PKGS": "jq"})

    texts = " ".join(note.text for note in found.diagnostics)
    assert "nixpacks.toml is not read" in texts
    assert "NIXPACKS_APT_PKGS" in texts
