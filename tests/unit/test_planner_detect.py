"""Whose app a tree is, and by which strategy it is built."""

import re
from pathlib import Path

import pytest
from tests.unit.planner_trees import FASTAPI, decided, planned, warned, write

from leeward.builders.detect import detect
from leeward.builders.explain import explain
from leeward.builders.tree import AppView
from leeward.errors import Invalid, PlanFailed
from leeward.model.app import AppSpec, BuildSpec, Strategy

API = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": FASTAPI}


def below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}


@pytest.mark.parametrize("files", [{}, {"README.md": "# Hello"}, {"data/a.csv": "1"}])
def test_a_tree_that_nobody_knows_fails_with_the_files_that_were_looked_for(
    tmp_path: Path, files: dict[str, str]
) -> None:
    with pytest.raises(PlanFailed) as caught:
        planned(tmp_path, files)

    for name in ("requirements.txt", "pyproject.toml", "package.json", "index.html", "Dockerfile"):
        assert name in caught.value.message
    assert caught.value.hint


def test_the_only_app_below_the_root_is_used(tmp_path: Path) -> None:
    found = planned(tmp_path, {"README.md": "", **below("backend", API), "docs/index.html": "", "notebooks/a.py": ""})

    assert found.context == "backend"
    assert decided(found, "path") == "backend <- backend/requirements.txt"


def test_several_apps_below_the_root_are_listed(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed) as caught:
        planned(tmp_path, {**below("backend", API), **below("services/api", API), "frontend/package.json": "{}"})

    assert "'backend', 'frontend', 'services/api'" in caught.value.message
    assert "set path: backend" in caught.value.hint
    assert caught.value.code == "plan-ambiguous"


def test_a_path_chooses_the_directory(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, **below("frontend", {"index.html": ""})}, AppSpec(path="frontend"))

    assert (found.context, found.providers) == ("frontend", ("static",))


@pytest.mark.parametrize("path", ["../etc", "/etc", "missing", "main.py"])
def test_a_path_that_is_not_there_is_refused_with_what_is(tmp_path: Path, path: str) -> None:
    with pytest.raises(PlanFailed, match="is not a directory with files in it") as caught:
        planned(tmp_path, {**API, "web/index.html": ""}, AppSpec(path=path))

    assert "web" in caught.value.hint


def test_python_comes_before_node_and_the_other_is_told(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, "package.json": '{"scripts": {"start": "x"}}'})

    assert found.providers == ("python",)
    assert "two-apps" in warned(found)


def test_a_lock_file_makes_a_provider_surer(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, "package.json": '{"scripts": {"start": "x"}}', "package-lock.json": "{}"})

    assert found.providers == ("node",)


def test_a_variable_chooses_the_provider(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, "index.html": ""}, env={"PLAN_PROVIDER": "static"})

    assert decided(found, "provider") == "static <- variable PLAN_PROVIDER"


def test_an_unknown_provider_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="'cobol'") as caught:
        planned(tmp_path, API, env={"PLAN_PROVIDER": "cobol"})

    assert "python" in caught.value.hint


def test_a_dockerfile_is_used_and_announced(tmp_path: Path) -> None:
    text = 'FROM python:3.11-slim\nEXPOSE 8000\nENTRYPOINT ["python"]\nCMD ["main.py"]\n'

    found = planned(tmp_path, {**API, "Dockerfile": text})

    assert (found.strategy, found.dockerfile, found.read_only) == ("dockerfile", text, False)
    assert decided(found, "provider") == "dockerfile <- Dockerfile"
    assert found.start_command == "python main.py"
    assert found.processes == {"web": None}
    assert found.decisions[0].alternatives == ("python",)
    assert "port" in warned(found)


def test_a_dockerfile_elsewhere_with_its_own_context_and_target(tmp_path: Path) -> None:
    spec = AppSpec(
        build=BuildSpec(strategy=Strategy.DOCKERFILE, dockerfile="deploy/Dockerfile", context="app", target="run")
    )
    files = {"deploy/Dockerfile": "FROM a AS build\nFROM build AS run\n", "app/.dockerignore": "*.md\n", "app/x": ""}

    found = planned(tmp_path, files, spec)

    assert (found.context, found.target, found.dockerignore) == ("app", "run", ("*.md",))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ({"dockerfile": "Dokerfile"}, "'Dokerfile' is not there"),
        ({"target": "rum"}, "has no stage 'rum'"),
        ({"context": "../.."}, "leads out of the source"),
    ],
)
def test_a_wrong_field_of_a_dockerfile_build_is_named(tmp_path: Path, build: dict[str, str], message: str) -> None:
    spec = AppSpec(build=BuildSpec.model_validate({"strategy": "dockerfile", **build}))

    with pytest.raises(PlanFailed, match=message) as caught:
        planned(tmp_path, {"Dockerfile": "FROM a AS run\n"}, spec)

    assert caught.value.hint


def test_secrets_that_a_dockerfile_mounts_are_passed_when_the_app_has_them(tmp_path: Path) -> None:
    text = "FROM a\nRUN --mount=type=secret,id=TOKEN,target=/t --mount=type=secret,id=OTHER x\n"

    assert planned(tmp_path, {"Dockerfile": text}, env={"TOKEN": "t", "UNUSED": "u"}).build_secrets == ("TOKEN",)


def test_an_image_needs_no_tree(tmp_path: Path) -> None:
    found = planned(tmp_path / "nowhere", {}, AppSpec(build=BuildSpec(strategy=Strategy.IMAGE, image="team/web:1")))

    assert (found.image, found.dockerfile, found.processes) == ("team/web:1", "", {"web": None})


@pytest.mark.parametrize("image", [None, "", "Team Web", "a; b", "--privileged"])
def test_what_is_no_image_is_refused(tmp_path: Path, image: str | None) -> None:
    with pytest.raises(Invalid, match="build/image"):
        planned(tmp_path, {}, AppSpec(build=BuildSpec(strategy=Strategy.IMAGE, image=image)))


def test_a_process_without_a_command_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="processes/worker/command"):
        planned(tmp_path, {**API, "leeward.yaml": "processes: {worker: {size: nano}}\n"})


def test_the_lines_of_one_of_several_apps_are_found(tmp_path: Path) -> None:
    manifest = "apps:\n  one:\n    processes: {web: {command: a}}\n  two:\n    processes: {web: {command: b}}\n"
    spec = AppSpec.model_validate({"name": "two", "processes": {"web": {"command": "b"}}})

    assert decided(planned(tmp_path, {**API, "leeward.yaml": manifest}, spec), "start command") == "b <- leeward.yaml:5"


def test_key_files_are_never_hidden_by_the_users_own_ignore_rules(tmp_path: Path) -> None:
    rules = planned(tmp_path, {**API, ".dockerignore": "# all\n*.txt\n"}).dockerignore

    assert rules.index("*.txt") < rules.index("!requirements.txt")
    assert ".git" in rules
    assert ".env" in rules


def test_an_explanation_names_every_decision_with_its_reason(tmp_path: Path) -> None:
    text = explain(planned(tmp_path, API))

    assert "because main.py:3 app = FastAPI()" in text
    assert "python version" in text


def test_an_explanation_holds_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    files = {**API, "main.py": "from fastapi import FastAPI\napp = FastAPI()  # \x1b[2J\x1b]0;owned\x07\n"}

    assert all(character.isprintable() or character == "\n" for character in explain(planned(tmp_path, files)))


def test_detection_reads_no_more_than_names(tmp_path: Path) -> None:
    view = AppView(write(tmp_path, {**API, "package.json": "{broken"}))

    assert detect(view, "Dockerfile").best.provider.name == "python"


def test_every_code_of_a_diagnostic_is_explained_in_the_reference() -> None:
    root = Path(__file__).parents[2]
    reference = (root / "docs" / "reference" / "plan.md").read_text()
    sources = "\n".join(path.read_text() for path in (root / "src/leeward/builders").rglob("*.py"))

    codes = {
        match.replace("{tool.name}", "python") for match in re.findall(r'Diagnostic\(\s*"\w+",\s*f?"([^"]+)"', sources)
    }

    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in reference} == set()
