"""Trees that were made to harm, and trees that nobody thought of."""

import os
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.planner_trees import FASTAPI, planned, warned, write

from leeward.builders import tree
from leeward.builders.explain import explain
from leeward.builders.plan import plan
from leeward.builders.tree import AppView
from leeward.errors import Invalid, PlanFailed
from leeward.model.app import AppSpec

NAMES = (
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "Pipfile",
    "main.py",
    "app.py",
    "manage.py",
    "src/main.py",
    ".python-version",
    "runtime.txt",
    ".tool-versions",
    "mise.toml",
    "package.json",
    "package-lock.json",
    ".nvmrc",
    "pnpm-lock.yaml",
    "yarn.lock",
    "next.config.js",
    "vite.config.ts",
    "angular.json",
    "index.html",
    "Staticfile",
    "Dockerfile",
    "Procfile",
    "Aptfile",
    "leeward.yaml",
    ".dockerignore",
    "backend/requirements.txt",
    "web/package.json",
)
PIECES = (
    FASTAPI,
    "fastapi\nuvicorn\n",
    "-r requirements.txt\n",
    "-r ../x\n",
    "-e .\n",
    "numpy==1.24.4\n",
    "# python: 3.12\n",
    '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["a"]\n',
    "[project]\nname = 7\ndependencies = {}\n",
    '[tool.poetry.dependencies]\npython = "^3.11"\n',
    "[tools]\npython = []\nnode = [[]]\n",
    "3.11\n",
    "lts/*\n",
    ">=18 <22\n",
    '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}',
    '{"scripts": [], "engines": 7, "workspaces": 1}',
    '{"dependencies": {"next": null}, "scripts": {"start": "npm run start"}}',
    '{"main": "\\ud800", "packageManager": "@@"}',
    "web: x\nrelease: y\nworker: z\n",
    "FROM a AS b\nCMD [\n",
    "apps: {x: {path: y}}\n",
    "a: &a [*a]\n",
    "root: ../..\n",
    "[" * 3000,
    "{" * 3000,
    "(" * 3000,
    "\x00\x1b[31m\ufeff",
    "import streamlit\n",
    "x.launch()\nimport gradio\n",
    "DJANGO_SETTINGS_MODULE', 'x.y'\ndjango execute_from_command_line\n",
    "output: 'export'\n",
)
CONTENT = st.one_of(
    st.sampled_from(PIECES).map(str.encode),
    st.lists(st.sampled_from(PIECES), max_size=3).map(lambda parts: "".join(parts).encode()),
    st.binary(max_size=60),
    st.text(string.printable, max_size=60).map(str.encode),
)
ENV = st.dictionaries(
    st.sampled_from(
        ["PLAN_PYTHON_VERSION", "PLAN_NODE_VERSION", "PIP_X", "PLAN_START_CMD", "PLAN_PROVIDER", "NPM_T", "x y"]
    ),
    st.one_of(st.sampled_from(["3.11", "22", "static", "python x.py"]), st.text(max_size=10)),
    max_size=2,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=st.dictionaries(st.sampled_from(NAMES), CONTENT, max_size=5), env=ENV)
def test_any_tree_gives_the_same_plan_twice_or_a_failure_with_a_name(
    files: dict[str, bytes], env: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), files)

        answers = []
        for _ in range(2):
            try:
                found = plan(root, AppSpec(), env, {})
                answers.append((found, explain(found), found.dockerfile.encode()))
                assert found.start_command or found.strategy == "dockerfile"
            except (PlanFailed, Invalid) as error:
                assert error.message and error.message[0] not in string.ascii_uppercase
                answers.append(error.as_dict())

    assert answers[0] == answers[1]


@settings(max_examples=60, deadline=None)
@given(command=st.text(min_size=1, max_size=200), path=st.text(string.printable, min_size=1, max_size=40))
def test_no_text_of_a_user_makes_an_instruction_of_its_own(command: str, path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), {"main.py": ""})
        env = {"PLAN_START_CMD": f"a{command}", "PLAN_BUILD_CMD": f"a{path}", "PLAN_INSTALL_CMD": f"a{command}"}
        try:
            text = plan(root, AppSpec(), env, {}).dockerfile
        except PlanFailed:
            return

    words = {line.split(" ", 1)[0] for line in text.split("\n") if line and not line.startswith((" ", "#"))}
    assert words <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}


def test_a_link_out_of_the_tree_is_not_there(tmp_path: Path) -> None:
    secret = write(tmp_path / "secrets", {"requirements.txt": "stolen\n", "main.py": "SECRET = 1\n"})
    root = write(tmp_path / "tree", {"README.md": ""})
    (root / "requirements.txt").symlink_to(secret / "requirements.txt")
    (root / "main.py").symlink_to("../secrets/main.py")
    (root / "src").symlink_to(secret)
    (root / "loop").symlink_to(root)

    view = AppView(root)

    assert view.paths == ("README.md",)
    assert view.read("main.py") == view.read("src/main.py") == view.read("../secrets/main.py") == ""


def test_a_link_inside_the_tree_is_followed(tmp_path: Path) -> None:
    root = write(tmp_path, {"real.txt": "fastapi\n"})
    (root / "requirements.txt").symlink_to("real.txt")

    assert AppView(root).read("requirements.txt") == "fastapi\n"


def test_a_file_that_becomes_a_link_after_the_look_is_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secrets", {"x": "stolen"}) / "x"
    root = write(tmp_path / "tree", {"main.py": ""})
    view = AppView(root)
    (root / "main.py").unlink()
    (root / "main.py").symlink_to(secret)

    assert view.read("main.py") == ""


def test_pipes_and_devices_are_not_there(tmp_path: Path) -> None:
    root = write(tmp_path, {"index.html": ""})
    os.mkfifo(root / "main.py")

    assert planned(root, {}).providers == ("static",)


def test_more_files_than_the_bound_are_cut_off_below_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_PATHS", 50)
    files = {f"data/{number}.csv": "" for number in range(200)}

    found = planned(tmp_path, {**files, "requirements.txt": "fastapi\nuvicorn\n", "main.py": FASTAPI})

    assert found.start_command
    assert "many-files" in warned(found)
    assert len(AppView(tmp_path).paths) == 50


def test_deep_directories_end(tmp_path: Path) -> None:
    root = write(tmp_path, {"main.py": ""})
    place = root
    for _ in range(60):
        place = place / "d"
        place.mkdir()
    (place / "x.py").write_text("")

    assert AppView(root).paths == ("main.py",)


@pytest.mark.parametrize("name", ["package.json", "requirements.txt", "pyproject.toml"])
def test_a_manifest_over_the_bound_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanFailed, match=f"'{name}' is larger than 1024 KiB"):
        planned(tmp_path, {name: b"#" * (tree.MAX_BYTES + 1), "main.py": ""})


def test_only_so_many_files_are_read(tmp_path: Path) -> None:
    files = {f"{number:04}.txt": "x" for number in range(tree.MAX_READS + 20)}
    view = AppView(write(tmp_path, files))

    assert sum(view.read(path) == "x" for path in view.paths) == tree.MAX_READS


def test_broken_text_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    found = planned(
        tmp_path,
        {"requirements.txt": b"\xef\xbb\xbffastapi\nuvicorn\n\xff\xfe\n", "main.py": FASTAPI.encode() + b"# \xff\n"},
    )

    assert found.start_command


def test_a_name_that_cannot_be_printed_is_never_looked_at(tmp_path: Path) -> None:
    root = write(tmp_path, {"main.py": ""})
    (root / "evil\nRUN rm -rf").mkdir()
    (root / "evil\nRUN rm -rf" / "main.py").write_text("")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.py")).write_text("")

    assert AppView(root).paths == ("main.py",)


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 50_000 + "1", "if x:\n pass\n" + "elif x:\n pass\n" * 3000, "a" * 300_000]
)
def test_python_that_was_made_to_break_a_parser_is_no_application(tmp_path: Path, text: str) -> None:
    files = {"requirements.txt": "fastapi\nuvicorn\n", "app.py": f"from fastapi import FastAPI\n{text}\n", "bot.py": ""}

    assert planned(tmp_path, files).start_command == "python app.py"
