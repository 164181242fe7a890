"""Which version of a tool an app gets."""

import json
from pathlib import Path

import pytest
from tests.unit.planner_trees import FASTAPI, decided, planned, warned

from leeward.builders import semver
from leeward.errors import PlanFailed

APP = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": FASTAPI}
NODE = {"index.js": "", "package.json": '{"scripts": {"start": "node index.js"}}'}


@pytest.mark.parametrize(
    ("files", "version", "reason"),
    [
        ({}, "3.13", "usual version"),
        ({".python-version": "3.11\n"}, "3.11", ".python-version:1"),
        ({".python-version": "# pinned\ncpython-3.11.9\n"}, "3.11", ".python-version:2"),
        ({"runtime.txt": "python-3.11.9\n"}, "3.11", "runtime.txt:1"),
        ({".tool-versions": "nodejs 20\npython 3.11.4\n"}, "3.11", ".tool-versions:2"),
        ({"mise.toml": '[tools]\npython = "3.11"\n'}, "3.11", "mise.toml:2"),
        ({"mise.toml": '[tools]\npython = ["3.11", "3.13"]\n'}, "3.11", "mise.toml:2"),
        ({"requirements.txt": "# python: 3.11\nfastapi\nuvicorn\n"}, "3.11", "requirements.txt:1"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.10,<3.13"\n'}, "3.11", "pyproject.toml:2"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.11"\n'}, "3.11", "pyproject.toml:2"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.11.4"\n'}, "3.13", "pyproject.toml:2"),
        ({"requirements.txt": "fastapi\nuvicorn\nnumpy==1.24.4\n"}, "3.11", "requirements.txt:3"),
        ({".python-version": "3.11\n", "runtime.txt": "python-3.13\n"}, "3.11", ".python-version:1"),
        ({".python-version": "my-env\n"}, "3.13", "usual version"),
    ],
)
def test_the_first_demand_for_a_python_wins(tmp_path: Path, files: dict[str, str], version: str, reason: str) -> None:
    found = planned(tmp_path, {**APP, **files})

    assert decided(found, "python version") == f"{version} <- {reason}"
    assert found.versions == {"python": version}
    assert f"leeward-base/python{version}:latest" in found.bases


@pytest.mark.parametrize("name", ["PLAN_PYTHON_VERSION", "RAILPACK_PYTHON_VERSION", "NIXPACKS_PYTHON_VERSION"])
def test_a_variable_is_stronger_than_every_file(tmp_path: Path, name: str) -> None:
    found = planned(tmp_path, {**APP, ".python-version": "3.13\n"}, env={name: "3.11"})

    assert decided(found, "python version") == f"3.11 <- variable {name}"


def test_the_manifest_is_stronger_than_a_file_and_weaker_than_a_variable(tmp_path: Path) -> None:
    files = {**APP, ".python-version": "3.13\n", "leeward.yaml": 'build:\n  versions: {python: "3.11"}\n'}

    assert decided(planned(tmp_path, files), "python version") == "3.11 <- leeward.yaml:2"
    assert planned(tmp_path, files, env={"PLAN_PYTHON_VERSION": "3.13"}).versions == {"python": "3.13"}


def test_a_new_usual_version_never_changes_a_running_app(tmp_path: Path) -> None:
    free = planned(tmp_path, APP, versions={"python": "3.11"})
    ranged = planned(
        tmp_path, {**APP, "pyproject.toml": '[project]\nrequires-python = ">=3.9"\n'}, versions={"python": "3.11"}
    )

    assert free.versions == ranged.versions == {"python": "3.11"}


def test_what_the_files_ask_is_stronger_than_what_was_remembered(tmp_path: Path) -> None:
    found = planned(tmp_path, {**APP, ".python-version": "3.13"}, versions={"python": "3.11"})

    assert found.versions == {"python": "3.13"}


def test_a_remembered_version_that_is_no_longer_made_is_forgotten(tmp_path: Path) -> None:
    assert planned(tmp_path, APP, versions={"python": "3.9"}).versions == {"python": "3.13"}


@pytest.mark.parametrize(
    ("files", "env", "place"),
    [
        ({".python-version": "3.12\n"}, {}, ".python-version:1"),
        ({"runtime.txt": "python-3.10.4\n"}, {}, "runtime.txt:1"),
        ({}, {"PLAN_PYTHON_VERSION": "3.12"}, "variable PLAN_PYTHON_VERSION"),
        ({}, {"PLAN_PYTHON_VERSION": "banana"}, "variable PLAN_PYTHON_VERSION"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12,<3.13"\n'}, {}, "pyproject.toml:2"),
    ],
)
def test_a_python_that_cannot_be_had_fails_and_says_what_there_is(
    tmp_path: Path, files: dict[str, str], env: dict[str, str], place: str
) -> None:
    with pytest.raises(PlanFailed) as caught:
        planned(tmp_path, {**APP, **files}, env=env)

    assert f"({place}) is not available: there are 3.11, 3.13" in caught.value.message
    assert caught.value.hint


def test_a_pin_that_cannot_be_had_gives_way_to_the_nearest_that_a_range_allows(tmp_path: Path) -> None:
    project = '[project]\nrequires-python = ">=3.10"\n'

    newer = planned(tmp_path / "a", {**APP, ".python-version": "3.12", "pyproject.toml": project})
    older = planned(tmp_path / "b", {**APP, ".python-version": "3.10", "pyproject.toml": project})

    assert (newer.versions, older.versions) == ({"python": "3.13"}, {"python": "3.11"})
    assert "python-nearest" in warned(newer) & warned(older)


@pytest.mark.parametrize(
    ("engines", "version"),
    [
        (">=18", "24"),
        ("20.x", "20"),
        ("^22.3.0", "22"),
        (">=20 <23", "22"),
        ("18 || 20", "20"),
        ("22", "22"),
        ("*", "24"),
    ],
)
def test_a_range_of_node_gets_the_newest_that_it_allows(tmp_path: Path, engines: str, version: str) -> None:
    manifest = f'{{"engines": {{"node": "{engines}"}}, "scripts": {{"start": "node index.js"}}}}'

    assert planned(tmp_path, {**NODE, "package.json": manifest}).versions == {"node": version}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({".nvmrc": "lts/jod\n"}, "22 <- .nvmrc:1"),
        ({".nvmrc": "v22.1.0\n"}, "22 <- .nvmrc:1"),
        ({".node-version": "22\n"}, "22 <- .node-version:1"),
        ({".tool-versions": "nodejs 22.3.0\n"}, "22 <- .tool-versions:1"),
        ({".nvmrc": "22", ".node-version": "20"}, "22 <- .nvmrc:1"),
    ],
)
def test_files_say_which_node(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    assert decided(planned(tmp_path, {**NODE, **files}), "node version") == reason


def test_a_node_that_cannot_be_had_fails_even_beside_a_wider_range(tmp_path: Path) -> None:
    manifest = '{"engines": {"node": ">=18"}, "scripts": {"start": "node index.js"}}'

    with pytest.raises(PlanFailed, match=r"node '18' \(variable PLAN_NODE_VERSION\) is not available"):
        planned(tmp_path, {**NODE, "package.json": manifest}, env={"PLAN_NODE_VERSION": "18"})


def test_a_node_that_gets_no_more_fixes_is_used_with_a_warning(tmp_path: Path) -> None:
    assert "node-old" in warned(planned(tmp_path, {**NODE, ".nvmrc": "20"}))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("^1.2.3", [(1, 2, 3), (1, 9, 0)], [(1, 2, 2), (2, 0, 0)]),
        ("^0.2.3", [(0, 2, 3), (0, 2, 9)], [(0, 3, 0)]),
        ("^0.0.3", [(0, 0, 3)], [(0, 0, 4)]),
        ("~1.2.3", [(1, 2, 9)], [(1, 3, 0)]),
        ("~1", [(1, 9, 9)], [(2, 0, 0)]),
        ("1.x", [(1, 0, 0), (1, 9, 9)], [(2, 0, 0)]),
        ("1.2 - 2.3", [(1, 2, 0), (2, 3, 9)], [(2, 4, 0)]),
        (">1.2", [(1, 3, 0)], [(1, 2, 9)]),
        ("<=1.2", [(1, 2, 9)], [(1, 3, 0)]),
        (">= 1.2.0 < 2", [(1, 5, 0)], [(2, 0, 0), (1, 1, 9)]),
        ("1 || >=3", [(1, 5, 0), (4, 0, 0)], [(2, 0, 0)]),
        ("", [(9, 9, 9)], []),
        ("<*", [], [(1, 0, 0)]),
    ],
)
def test_ranges_are_read_as_npm_reads_them(
    text: str, inside: list[semver.Version], outside: list[semver.Version]
) -> None:
    accepts = semver.parse(text)

    assert accepts is not None
    assert all(accepts(version) for version in inside)
    assert not any(accepts(version) for version in outside)


@pytest.mark.parametrize("text", ["banana", "1.2.3 banana", ">=", "1" * 300, "^^1"])
def test_what_is_no_range_is_none(text: str) -> None:
    assert semver.parse(text) is None


@pytest.mark.parametrize("engines", ["~22.1", "=22.4.1", "22.4.x", "v22.4.1", "~ 22.1.3", "22.4.*"])
def test_the_patches_of_a_node_are_the_makers_business(tmp_path: Path, engines: str) -> None:
    found = planned(tmp_path, {"package.json": json.dumps({"engines": {"node": engines}}), "server.js": ""})

    assert decided(found, "node version") == "22 <- package.json:1"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"app.py": "", ".python-version": "pypy3.10-7.3.17\n"}, "python-unread"),
        ({"app.py": "", ".tool-versions": "python 3.13t\n"}, "python-unread"),
        ({"package.json": "{}", "server.js": "", ".nvmrc": "system\n"}, "node-unread"),
    ],
)
def test_a_version_of_another_kind_is_passed_over_with_a_warning(
    tmp_path: Path, files: dict[str, str], code: str
) -> None:
    assert code in warned(planned(tmp_path, files))


@pytest.mark.parametrize("word", ["lts", "lts/*", "lts/krypton", "lts-krypton", "stable"])
def test_names_of_node_are_read(tmp_path: Path, word: str) -> None:
    found = planned(tmp_path, {"package.json": "{}", "server.js": "", ".tool-versions": f"nodejs {word}\n"})

    assert decided(found, "node version") == "24 <- .tool-versions:1"
    assert "node-unread" not in warned(found)
