"""Commands of the user's own in our buildpacks: when they run, with what, and what happens when one fails."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.planner_trees import write

from leeward.builders.cnb import hooks, procfile, static
from leeward.builders.cnb.hooks import GIVEN, Hooks
from leeward.builders.cnb.phase import Failed, Phase
from leeward.builders.cnb.python import own_key


def phase(root: Path, files: Mapping[str, str], told: object) -> Phase:
    for name in ("layers", "platform/env"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "platform" / "env" / GIVEN).write_text(told if isinstance(told, str) else json.dumps(told))
    write(root / "app", files)
    return Phase(root / "app", root / "layers", root / "platform", {"PATH": "/usr/bin:/bin"})


def test_only_the_buildpack_that_leads_has_commands(tmp_path: Path) -> None:
    given = phase(tmp_path, {"a": ""}, {"buildpack": "python", "build": "make", "after": ["one", "two"]})

    assert hooks.hooks(given, "python") == Hooks(build="make", after=("one", "two"))
    assert hooks.hooks(given, "procfile") == Hooks()


@pytest.mark.parametrize("told", ["", "no json", "[]", '{"buildpack": "static"}'])
def test_no_words_are_no_commands(tmp_path: Path, told: str) -> None:
    found = hooks.hooks(phase(tmp_path, {"a": ""}, told), "static")

    assert found == Hooks()
    assert not found.need_packages


def test_a_site_is_made_before_its_folder_is_looked_for(tmp_path: Path) -> None:
    told = {
        "buildpack": "static",
        "before": ["mkdir dist"],
        "build": "echo hi > dist/index.html",
        "after": ["cat dist/*"],
    }
    given = phase(tmp_path, {"a": ""}, told)

    static.build(given)

    assert f'root "{given.app}/dist"' in (given.layers / "server" / "nginx.conf").read_text()


def test_a_command_that_fails_ends_the_build_and_is_named(tmp_path: Path) -> None:
    given = phase(tmp_path, {"Procfile": "web: ./run\n"}, {"buildpack": "procfile", "build": "exit 3"})

    with pytest.raises(Failed, match="'bash -c exit 3' ended with exit code 3"):
        procfile.build(given)


def test_an_own_way_to_install_depends_on_every_file(tmp_path: Path) -> None:
    given = phase(tmp_path, {"a": "1"}, {})
    before = own_key(given, Hooks(install="make install"))
    (given.app / "a").write_text("2")

    assert own_key(given, Hooks(install="make install")) != before
    assert own_key(given, Hooks(build="make")) == ()
