"""How apps are planned that a script starts, and languages that cannot be planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("#!/bin/bash\nsleep 1\n", "bash start.sh"),
        ("#!/usr/bin/env -S zsh -e\n", "zsh start.sh"),
        ("sleep 1\n", "sh start.sh"),
        ("#!/usr/bin/python3\n", "sh start.sh"),
        ("#!/bin/$(id)\n", "sh start.sh"),
    ],
)
def test_the_first_line_says_which_shell(tmp_path: Path, script: str, command: str) -> None:
    found = planned(tmp_path, {"start.sh": script})

    assert found.providers == ("shell",)
    assert found.start_command == command


def test_the_packages_of_what_the_scripts_call_are_installed(tmp_path: Path) -> None:
    files = {"start.sh": "# uses wget\ncurl -s x | jq . # and git\n./rsync\nx=zip=1\n", "lib/x.sh": "psql -c ''\n"}

    found = planned(tmp_path, files)

    assert decided(found, "system packages") == "curl jq postgresql-client <- start.sh:2"


def test_another_script_can_be_named_but_none_outside(tmp_path: Path) -> None:
    files = {"start.sh": "", "bin/run.sh": "#!/bin/bash\n"}

    found = planned(tmp_path, files, env={"PLAN_SHELL_SCRIPT": "bin/run.sh"})

    assert decided(found, "script") == "bin/run.sh <- variable PLAN_SHELL_SCRIPT"
    with pytest.raises(PlanFailed, match="is not a file of the app"):
        planned(tmp_path, files, env={"PLAN_SHELL_SCRIPT": "../x.sh"})


def test_a_script_is_weaker_than_a_language(tmp_path: Path) -> None:
    files = {"start.sh": "", "requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask('x')\n"}

    assert planned(tmp_path, files).providers[0] == "python"


def test_a_build_command_runs_before(tmp_path: Path) -> None:
    found = planned(tmp_path, {"start.sh": ""}, env={"PLAN_BUILD_CMD": "make all", "TOKEN": "hunter2"})

    assert "make all" in found.dockerfile
    assert found.build_secrets == ("TOKEN",)


@pytest.mark.parametrize(
    ("files", "language"),
    [
        ({"shard.yml": "name: x\n"}, "Crystal"),
        ({"pubspec.yaml": ""}, "Dart"),
        ({"project.clj": ""}, "Clojure"),
        ({"gleam.toml": "", "manifest.toml": ""}, "Gleam"),
        ({"stack.yaml": "", "app/Main.hs": ""}, "Haskell"),
        ({"x.cabal": ""}, "Haskell"),
        ({"build.sbt": ""}, "Scala"),
        ({"Package.swift": ""}, "Swift"),
        ({"src/main.zig": ""}, "Zig"),
        ({"hello.cbl": ""}, "COBOL"),
        ({"haunt.scm": ""}, "Scheme"),
        ({"CMakeLists.txt": ""}, r"C or C\+\+"),
    ],
)
def test_a_language_that_is_not_known_is_named_and_a_dockerfile_offered(
    tmp_path: Path, files: dict[str, str], language: str
) -> None:
    with pytest.raises(PlanFailed, match=f"says that this is {language}, which cannot be planned here") as failure:
        planned(tmp_path, files)

    assert "write a Dockerfile" in failure.value.hint


def test_pages_beside_a_strange_language_are_not_deployed_in_its_place(tmp_path: Path) -> None:
    files = {"pubspec.yaml": "", "web/package.json": "{}", "index.html": ""}

    with pytest.raises(PlanFailed, match="this is Dart"):
        planned(tmp_path, files)
    assert planned(tmp_path, files, env={"PLAN_PROVIDER": "static"}).providers == ("static",)


def test_a_known_language_beside_a_file_of_a_strange_one_is_planned(tmp_path: Path) -> None:
    assert planned(tmp_path, {"CMakeLists.txt": "", "go.mod": "module x\n", "main.go": "package main\n"}).providers == (
        "go",
    )


@pytest.mark.parametrize(
    ("files", "site"),
    [
        ({"public/index.html": ""}, "public <- public/index.html"),
        ({"index/index.html": ""}, "index <- index/index.html"),
        ({"dist/data.json": ""}, "dist <- dist/"),
        ({"Staticfile": "root: site\n", "site/index.html": ""}, "site <- Staticfile:1"),
        ({"Staticfile": "root: 'site'\n", "site/index.html": ""}, "site <- Staticfile:1"),
    ],
)
def test_a_site_lies_where_its_name_or_a_staticfile_says(tmp_path: Path, files: dict[str, str], site: str) -> None:
    assert decided(planned(tmp_path, files), "site") == site


def test_a_staticfile_is_honoured_and_the_rest_of_it_told(tmp_path: Path) -> None:
    pages = {"site/index.html": "", "site/about.html": ""}
    text = "root: site\n# x: y\npushstate: enabled\nbasic_auth: true\n"

    found = planned(tmp_path, {**pages, "Staticfile": text})
    plain = planned(tmp_path / "b", {**pages, "Staticfile": "root: site\npushstate: disabled\n"})

    assert decided(found, "unknown paths") == "answered by index.html <- Staticfile:3"
    assert "staticfile-key" in warned(found)
    assert decided(plain, "unknown paths").startswith("answered by 404")
    assert "staticfile-key" not in warned(plain)
