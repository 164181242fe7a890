"""Our own buildpacks, without the tools that they run."""

import json
import os
import select
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.planner_trees import write

from leeward.builders.cnb import go, node, procfile, python, static
from leeward.builders.cnb.phase import Component, Failed, Layer, Phase, cyclonedx, files_key, key_of, tree_key


def phase(root: Path, files: Mapping[str, str], env: Mapping[str, str] | None = None) -> Phase:
    for name in ("layers", "platform/env"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, value in (env or {}).items():
        (root / "platform" / "env" / name).write_text(value)
    write(root / "app", files)
    (root / "app").mkdir(exist_ok=True)
    return Phase(root / "app", root / "layers", root / "platform", {"PATH": "/nowhere"})


def launch(given: Phase) -> str:
    path = given.layers / "launch.toml"
    return path.read_text() if path.exists() else ""


# --- layers -----------------------------------------------------------------------------------------------


def test_a_layer_knows_its_key_again_and_nothing_else(tmp_path: Path) -> None:
    layer = Layer(tmp_path, "x")
    assert layer.known == ""

    layer.keep(key_of("a"), launch=True)

    assert Layer(tmp_path, "x").known == key_of("a")
    (tmp_path / "x.toml").write_bytes(b"\xff no toml")
    assert Layer(tmp_path, "x").known == ""


def test_a_list_of_contents_has_no_time_and_no_order() -> None:
    one, two = Component("b", "1", "pkg:x/b@1"), Component("a", "2", "pkg:x/a@2")

    assert cyclonedx([one, two, one]) == cyclonedx([two, one])
    assert json.loads(cyclonedx([one]))["components"][0]["purl"] == "pkg:x/b@1"


def test_the_key_of_files_follows_their_content_and_absence(tmp_path: Path) -> None:
    write(tmp_path, {"a": "1"})
    before = files_key(tmp_path, ("a", "b"))

    write(tmp_path, {"b": ""})

    assert files_key(tmp_path, ("a", "b")) != before
    assert files_key(tmp_path, ("b", "a")) == files_key(tmp_path, ("a", "b"))


def test_the_key_of_a_tree_does_not_look_through_links(tmp_path: Path) -> None:
    app = write(tmp_path / "app", {"a": "1"})
    (tmp_path / "outside").write_text("1")
    (app / "link").symlink_to(tmp_path / "outside")
    before = tree_key(app)

    (tmp_path / "outside").write_text("2")

    assert tree_key(app) == before


def test_what_a_tool_leaves_in_the_background_is_ended(tmp_path: Path) -> None:
    given = phase(tmp_path, {})
    given.env["PATH"] = os.environ["PATH"]

    given.run("sh", "-c", "sleep 300 & echo $! > pid")

    try:
        left = os.pidfd_open(int((given.app / "pid").read_text()))
    except ProcessLookupError:
        return
    try:
        assert select.select([left], [], [], 10)[0] == [left]
    finally:
        os.close(left)


# --- procfile ---------------------------------------------------------------------------------------------


def test_the_platforms_processes_win_over_the_procfile(tmp_path: Path) -> None:
    given = phase(
        tmp_path,
        {"Procfile": "web: one\nworker: two\n# none\nnot a line\n"},
        {"LEEWARD_PROCESSES": json.dumps({"web": "three $PORT", "cron": None})},
    )

    assert procfile.detect(given)
    procfile.build(given)

    assert procfile.listed(given) == {"web": "three $PORT", "worker": "two"}
    assert launch(given).count("default = true") == 1
    assert 'command = ["bash", "-c", "three $PORT"]' in launch(given)


def test_no_procfile_and_no_words_are_no_processes(tmp_path: Path) -> None:
    assert not procfile.detect(phase(tmp_path, {}, {"LEEWARD_PROCESSES": "not json"}))


@pytest.mark.parametrize("command", ['echo "a" \\ b', "echo ünï \x7f", "printf '%s\\n' \"$X\""])
def test_any_command_is_written_so_that_it_is_read_again(tmp_path: Path, command: str) -> None:
    import tomllib

    given = phase(tmp_path, {}, {"LEEWARD_PROCESSES": json.dumps({"web": command})})

    procfile.build(given)

    assert tomllib.loads(launch(given))["processes"][0]["command"] == ["bash", "-c", command]


# --- python -----------------------------------------------------------------------------------------------


def test_requirements_are_followed_inside_the_app_only(tmp_path: Path) -> None:
    app = write(
        tmp_path / "app",
        {
            "requirements.txt": "-r more/dev.txt\n-c ../../out.txt\nflask\n",
            "more/dev.txt": "-r base.txt\n",
            "more/base.txt": "",
        },
    )
    (tmp_path.parent / "out.txt").write_text("x")

    assert python.requirement_files(app) == ("more/base.txt", "more/dev.txt", "requirements.txt")


def test_a_poetry_lock_pins_what_runs() -> None:
    lock = {
        "package": [
            {"name": "flask", "version": "3", "groups": ["main"]},
            {"name": "pytest", "version": "8", "groups": ["dev"]},
            {"name": "old-dev", "version": "1", "category": "dev"},
            {"name": "extra", "version": "1", "optional": True},
            {"name": "mine", "version": "1", "source": {"type": "directory"}},
            {"name": "colorama", "version": "0.4", "groups": ["main"], "markers": 'sys_platform == "win32"'},
        ]
    }

    assert python.pinned(lock) == ('colorama==0.4 ; sys_platform == "win32"', "flask==3")


def test_a_server_that_starts_the_app_is_seen(tmp_path: Path) -> None:
    given = phase(tmp_path, {"Procfile": "web: PYTHONPATH=. exec gunicorn app:app\nworker: celery -A x worker\n"})

    assert python.servers(given) == ("gunicorn",)


def test_dependencies_that_are_as_they_were_are_not_installed_again(tmp_path: Path) -> None:
    given = phase(tmp_path, {"requirements.txt": "flask\n", "app.py": ""})
    with pytest.raises(Failed, match="'uv' could not be run"):
        python.build(given)
    import sys

    key = key_of(sys.version_info[:2], python._what(given), (), ())
    given.layer("venv").keep(key, launch=True)

    python.build(given)

    assert given.layer("venv").known == key
    assert "exec python app.py" in launch(given)
    write(given.app, {"requirements.txt": "flask\nclick\n"})
    with pytest.raises(Failed):
        python.build(given)


def test_a_requirement_from_the_app_itself_makes_every_file_count(tmp_path: Path) -> None:
    given = phase(tmp_path, {"requirements.txt": "-e .\n", "a.py": "1"})
    before = python._what(given)

    write(given.app, {"a.py": "2"})

    assert python._what(given) != before


# --- node -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", "24"),
        (">=18", "24"),
        ("22", "22"),
        ("22.x", "22"),
        ("^22.1.0", "22"),
        (">=20 <24", "22"),
        ("20 || 22", "22"),
    ],
)
def test_engines_choose_the_version(wanted: str, expected: str) -> None:
    assert node.version({"engines": {"node": wanted}}, ("22", "24")) == expected


def test_a_version_that_is_not_there_fails_with_those_that_are() -> None:
    with pytest.raises(Failed, match="there are 22, 24"):
        node.version({"engines": {"node": "18"}}, ("24", "22"))


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ({"dependencies": {"a": "^1.0.0"}}, False),
        ({"dependencies": {"a": "file:./a"}}, True),
        ({"workspaces": ["packages/*"]}, True),
        ({"scripts": {"postinstall": "prisma generate"}}, True),
        ({"scripts": {"build": "vite build"}, "dependencies": []}, False),
    ],
)
def test_packages_of_the_app_itself_are_installed_where_they_lie(package: Mapping[str, object], expected: bool) -> None:
    assert node.in_place(package) is expected


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ({}, False),
        ({"dependencies": {}, "scripts": {"build": "true"}}, False),
        ({"devDependencies": {"vite": "5"}}, True),
        ({"workspaces": ["packages/*"]}, True),
    ],
)
def test_an_app_without_packages_installs_none(package: Mapping[str, object], expected: bool) -> None:
    assert node.needs_packages(package) is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"package.json": '{"packageManager": "pnpm@9.1.0"}'}, ("pnpm", "9")),
        ({"package.json": "{}", "pnpm-lock.yaml": ""}, ("pnpm", "")),
        ({"package.json": "{}", "yarn.lock": "# yarn lockfile v1\n"}, ("yarn", "1")),
        ({"package.json": "{}", "yarn.lock": "__metadata:\n"}, ("yarn", "4")),
        ({"package.json": "{}"}, ("npm", "")),
    ],
)
def test_the_lock_says_the_package_manager(tmp_path: Path, files: Mapping[str, str], expected: tuple[str, str]) -> None:
    assert node.manager(phase(tmp_path, files)) == expected


def test_every_installed_package_is_in_the_contents_and_no_part_of_one(tmp_path: Path) -> None:
    facts = '{"name": "%s", "version": "1.0.0"}'
    write(
        tmp_path,
        {
            "ms/package.json": facts % "ms",
            "@scope/x/package.json": facts % "@scope/x",
            "ms/dist/package.json": facts % "not-one",
            "ms/node_modules/inner/package.json": facts % "inner",
            "broken/package.json": "{",
        },
    )

    assert [each.purl for each in node.components(tmp_path)] == [
        "pkg:npm/%40scope/x@1.0.0",
        "pkg:npm/inner@1.0.0",
        "pkg:npm/ms@1.0.0",
    ]


# --- go, static -------------------------------------------------------------------------------------------


def test_programs_are_named_like_their_directory() -> None:
    programs = go.named([("example.com/shop/v2", ""), ("example.com/shop/cmd/server", ""), ("x/cmd/a b", "")])

    assert programs == {"shop": "example.com/shop/v2", "server": "example.com/shop/cmd/server"}
    assert go.best(programs) == "server"
    assert go.best({"one": "x/one"}) == "one"
    assert go.best({}) == ""


def test_the_modules_of_a_program_are_its_contents() -> None:
    text = "x: go1.24\n\tpath\tx\n\tdep\tgolang.org/x/text\tv0.3.0\th1:abc=\n"

    assert [each.purl for each in go.components(text)] == ["pkg:golang/golang.org/x/text@v0.3.0"]


@pytest.mark.parametrize(
    ("files", "env", "expected"),
    [
        ({"index.html": ""}, {}, ""),
        ({"index.html": "", "public/index.html": ""}, {}, "public"),
        ({"Staticfile": "root: web\n", "web/a.html": ""}, {}, "web"),
        ({"index.html": ""}, {"LEEWARD_OUTPUT": "dist/"}, "dist"),
    ],
)
def test_the_directory_of_a_site(
    tmp_path: Path, files: Mapping[str, str], env: Mapping[str, str], expected: str
) -> None:
    assert static.site(phase(tmp_path, files, env)) == expected


@pytest.mark.parametrize("root", ["../..", '"; } evil', "no-such"])
def test_a_root_that_leads_elsewhere_is_not_served(tmp_path: Path, root: str) -> None:
    given = phase(tmp_path, {"Staticfile": f"root: {root}\n", "index.html": ""})

    static.build(given)

    assert f'root "{given.app}";' in (given.layers / "server" / "nginx.conf").read_text()
