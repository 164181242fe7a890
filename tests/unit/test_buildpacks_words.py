"""What people bring to buildpacks: Debian packages, commands, variables and scripts, and how they are passed on."""

import json
from pathlib import Path

import pytest
from tests.unit.planner_trees import planned

from leeward.builders import buildpacks_layout as layout
from leeward.builders import buildpacks_words as words
from leeward.builders.buildpacks_images import packages_dockerfile, run_image, with_packages
from leeward.builders.buildpacks_phases import variables
from leeward.errors import Invalid
from leeward.model.build import BuildPlan

BUILDPACKS = "build: {strategy: buildpacks}\n"
FLASK = {"requirements.txt": "flask==3.0.3\n", "Procfile": "web: python app.py\n", "app.py": ""}


def told(found: BuildPlan) -> dict[str, object]:
    value: dict[str, object] = json.loads(found.args.get("LEEWARD_HOOKS", "{}"))
    return value


def test_packages_of_an_aptfile_the_manifest_and_a_dependency_are_there_in_build_and_image(tmp_path: Path) -> None:
    files = {
        "leeward.yaml": "build: {strategy: buildpacks, packages: [graphviz]}\n",
        "requirements.txt": "psycopg2==2.9\n",
        "Aptfile": "ffmpeg\n",
        "Procfile": "web: python app.py\n",
    }

    found = planned(tmp_path, files)

    assert found.args[words.RUN_PACKAGES].split() == ["ffmpeg", "graphviz", "libpq5"]
    assert found.args[words.BUILD_PACKAGES].split() == ["ffmpeg", "graphviz", "libpq-dev"]
    assert [decision.chose for decision in found.decisions if decision.topic == "system packages"]


def test_programs_with_a_procfile_alone_get_their_packages_too(tmp_path: Path) -> None:
    found = planned(tmp_path, {"leeward.yaml": BUILDPACKS, "Aptfile": "jq\n", "Procfile": "web: ./serve\n"})

    assert found.args[words.RUN_PACKAGES] == "jq"


def test_what_is_no_package_name_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is not the name of a Debian package"):
        planned(tmp_path, {**FLASK, "leeward.yaml": BUILDPACKS, "Aptfile": "jq;reboot\n"})


def test_commands_around_the_build_run_in_the_buildpack_that_leads(tmp_path: Path) -> None:
    files = {
        **FLASK,
        "leeward.yaml": "build: {strategy: buildpacks, command: make site}\n",
        "bin/pre_compile": "x\n",
        "bin/post_compile": "x\n",
    }

    found = planned(tmp_path, files, env={"SECRET": "s"})

    assert told(found) == {
        "buildpack": "python",
        "before": ["bash bin/pre_compile"],
        "build": "make site",
        "after": ["bash bin/post_compile"],
    }
    assert found.build_secrets == ("SECRET",)
    assert not [note for note in found.diagnostics if note.code in ("not-for-buildpacks", "not-honoured")]


def test_a_script_that_is_read_before_a_start_needs_no_warning(tmp_path: Path) -> None:
    found = planned(tmp_path, {**FLASK, "leeward.yaml": BUILDPACKS, ".profile": "export A=1\n"})

    assert not any(".profile" in note.text for note in found.diagnostics)


def test_a_named_builder_gets_the_variables_of_the_image_and_none_of_our_words(tmp_path: Path) -> None:
    manifest = "build: {strategy: buildpacks, builder: 'heroku/builder:24', args: {BP_X: '1'}}\n"
    app = json.dumps({"env": {"MODE": {"value": "demo"}}})

    found = planned(tmp_path, {**FLASK, "leeward.yaml": manifest, "app.json": app, "Aptfile": "jq\n"})
    shown = variables(found, {}, own=False, ca=False, pip_index="", npm_registry="")

    assert words.image_env(found.args)["MODE"] == "demo"
    assert shown["BP_X"] == "1"
    assert not [name for name in shown if name.startswith("LEEWARD_")]


@pytest.mark.parametrize("text", ["[]", "no json", "{}"])
def test_words_that_are_none_give_the_image_no_variables(text: str) -> None:
    assert words.image_env({words.RUN_ENV: text}) == {}


def test_the_same_packages_are_one_image_for_all_apps_whatever_their_order() -> None:
    assert with_packages(run_image("22"), ("b", "a")) == with_packages(run_image("22"), ("a", "b"))
    assert with_packages(run_image("22"), ("a",)) != with_packages(run_image("22"), ("a", "b"))
    assert with_packages(run_image("22"), ("a",)) != with_packages(run_image(), ("a",))


def test_packages_come_as_root_and_the_image_runs_as_an_ordinary_user() -> None:
    lines = packages_dockerfile("leeward-buildpacks/run:x", ("jq", "ffmpeg")).splitlines()

    assert lines[0] == "FROM leeward-buildpacks/run:x"
    assert lines[1] == "USER 0:0"
    assert any("apt-get install -y --no-install-recommends ffmpeg jq" in line for line in lines)
    assert lines[-1] == "USER 1000:1000"


@pytest.mark.parametrize(("path", "expected"), [(".profile", True), (".profile.d/a.sh", True), ("app.py", False)])
def test_scripts_that_are_read_before_a_start_are_found(tmp_path: Path, path: str, expected: bool) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("export A=1\n")

    assert layout.has_profile(tmp_path) is expected


def test_the_image_has_the_variables_that_it_lacks_and_keeps_its_own(tmp_path: Path) -> None:
    facts = {"Architecture": "amd64", "Os": "linux", "RootFS": {"Layers": []}, "Config": {"Env": ["PATH=/bin", "A=b"]}}
    layout.write_sparse(tmp_path / "x", facts)

    config = json.loads(layout.image_config(layout.read(tmp_path / "x"), {}, {"A": "other", "MODE": "demo=1"}))

    assert config["config"]["Env"] == ["PATH=/bin", "A=b", "MODE=demo=1"]
