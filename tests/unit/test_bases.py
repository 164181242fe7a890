"""Base images: recipes, mirrors, and the command that makes one."""

from dataclasses import replace
from pathlib import Path

import pytest

from leeward.builders import debian, rootfs
from leeward.builders.bases import Bases, tags
from leeward.builders.recipes import RECIPES, Recipe, flavour_of
from leeward.settings import Settings

DEB822 = """Types: deb
# a comment with: a colon
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
"""
STRANGERS = """deb [signed-by=/x.gpg] https://strange.test/apt bookworm stable
deb https://strange.test/node nodistro main
Types: deb-src
URIs: http://source.test/debian
Suites: bookworm
Components: main
"""


def test_every_flavour_has_a_tag_of_its_own_that_stays() -> None:
    assert set(tags()) == set(RECIPES)
    assert len(set(tags().values())) == len(RECIPES)
    assert tags() == tags()


def test_the_tag_follows_suite_packages_and_node_but_not_their_order() -> None:
    one = Recipe("x", "bookworm", ("a", "b"))

    assert Recipe("x", "bookworm", ("b", "a")).tag == one.tag
    assert Recipe("x", "trixie", ("a", "b")).tag != one.tag
    assert Recipe("x", "bookworm", ("a", "b", "c")).tag != one.tag
    assert replace(one, node=22).tag != one.tag
    assert replace(one, build=True).tag != one.tag


def test_node_is_a_layer_on_debian_and_its_tag_follows_debians() -> None:
    for major in (20, 22, 24):
        assert RECIPES[f"node{major}"].parent == "debian12"
        assert RECIPES[f"node{major}-build"].parent == "debian12-build"
    assert replace(RECIPES["node22"], parent_tag="other").tag != RECIPES["node22"].tag


def test_compilers_are_in_what_builds_and_never_in_what_runs() -> None:
    for flavour, recipe in RECIPES.items():
        packages = RECIPES[recipe.parent or flavour].packages
        assert ("build-essential" in packages) == flavour.endswith("-build")
        assert "ca-certificates" in packages


@pytest.mark.parametrize(
    ("image", "flavour"),
    [
        (RECIPES["node22"].image, "node22"),
        ("leeward-base/python3.11:latest", "python3.11"),
        ("leeward-base/python9:x", None),
        ("python:3.11", None),
        ("", None),
    ],
)
def test_an_image_name_tells_its_flavour(image: str, flavour: str | None) -> None:
    assert flavour_of(image) == flavour


def test_mirrors_are_read_from_both_formats_of_apt() -> None:
    one_line = (
        "deb [arch=amd64] http://mirror.test/debian bookworm main contrib\n"
        "deb http://mirror.test/debian-security bookworm-security main\n"
    )

    expected = debian.Mirrors("http://mirror.test/debian", "http://mirror.test/debian-security")
    assert debian.parse_sources([DEB822]) == expected
    assert debian.parse_sources([STRANGERS, one_line]) == expected


def test_a_machine_with_other_sources_only_has_no_debian_mirror() -> None:
    ubuntu = "deb http://mirror.test/ubuntu noble main\n"

    assert debian.parse_sources([ubuntu, STRANGERS]) is None


def test_a_switched_off_entry_is_no_mirror() -> None:
    off = "Enabled: no\nTypes: deb\nURIs: http://old.test/debian\nSuites: bookworm\nComponents: main\n"

    assert debian.parse_sources([off, DEB822]) == debian.Mirrors(
        "http://mirror.test/debian", "http://mirror.test/debian-security"
    )


def test_an_operators_mirror_has_its_security_archive_beside_it() -> None:
    assert debian.mirrors_of("http://m.test/debian/").security == "http://m.test/debian-security"
    assert debian.mirrors_of("http://m.test/copy").security == ""


def test_the_command_names_everything_that_decides_about_the_tree() -> None:
    mirrors = debian.Mirrors("http://m.test/debian", "http://m.test/debian-security")

    command = debian.bootstrap("trixie", ("b", "a"), ("sync-in /files /",), mirrors, Path("/t/root.tar"))

    assert command[0] == "mmdebstrap"
    assert "--include=a,b" in command
    assert "--customize-hook=sync-in /files /" in command
    assert command[-4:] == (
        "trixie",
        "/t/root.tar",
        "deb http://m.test/debian trixie main",
        "deb http://m.test/debian-security trixie-security main",
    )


def test_without_a_mirror_the_tools_own_is_used() -> None:
    assert debian.bootstrap("bookworm", ("a",), (), None, Path("/t"))[-2:] == ("bookworm", "/t")


def test_every_base_has_with_ca_and_its_label() -> None:
    for flavour, recipe in RECIPES.items():
        mode, text = rootfs.files(flavour, trusts=recipe.trusts)["usr/local/bin/with-ca"]
        assert mode == 0o755
        assert ("CARGO_HTTP_CAINFO" in text) == recipe.trusts
        assert 'exec "$@"' in text
        assert f"LABEL leeward.base={flavour}" in rootfs.config_changes(flavour)


def test_a_new_recipe_takes_the_place_of_the_old_one_and_of_no_other(tmp_path: Path) -> None:
    recipe = RECIPES["python3.11"]
    bases = Bases(Settings(home=tmp_path / "home"), machine_cache=tmp_path / "machine")
    cache = tmp_path / "home" / "bases"
    cache.mkdir(parents=True)
    for name in ("python3.11-000000000000", "python3.11-build-000000000000", "node22-000000000000"):
        (cache / f"{name}.tar.zst").write_bytes(b"old")
    (tmp_path / "root.tar").write_bytes(b"new" * 1000)

    bases._keep(recipe, tmp_path / "root.tar")

    name = f"python3.11-{recipe.tag}.tar.zst"
    assert {path.name for path in cache.iterdir()} == {
        name,
        "python3.11-build-000000000000.tar.zst",
        "node22-000000000000.tar.zst",
    }
    assert [path.name for path in (tmp_path / "machine").iterdir()] == [name]


SIMULATED = """Reading package lists...
Inst openssl [3.0.15-1] (3.0.17-1 Debian-Security:12/oldstable-security [amd64])
Inst tzdata [2025a-1] (2025b-1 Debian:12.12/oldstable [all])
Inst libnew (1.0 Debian:12.12/oldstable [amd64])
Conf openssl (3.0.17-1 Debian-Security:12/oldstable-security [amd64])
"""


def test_a_simulated_upgrade_tells_what_is_newer_and_what_of_it_is_for_security() -> None:
    found = debian.upgrades(SIMULATED.splitlines(), "bookworm")

    assert [str(one) for one in found] == [
        "openssl 3.0.15-1 -> 3.0.17-1 (bookworm-security)",
        "tzdata 2025a-1 -> 2025b-1",
    ]
    assert [one.security for one in found] == [True, False]


def test_apt_sees_nothing_of_this_machine() -> None:
    text = debian.apt_conf(Path("/home/apt"))

    for name in ("Dir::State", "Dir::State::status", "Dir::Cache", "Dir::Etc::sourcelist"):
        assert f'{name} "/home/apt/' in text
    for name in ("Dir::Etc::sourceparts", "Dir::Etc::preferences", "Dir::Etc::preferencesparts"):
        assert f'{name} "/dev/null";' in text


def test_a_sources_list_names_who_signs() -> None:
    mirrors = debian.Mirrors("http://m.test/debian", "http://m.test/debian-security")

    assert mirrors.lines("bookworm", Path("/k.gpg")) == (
        "deb [signed-by=/k.gpg] http://m.test/debian bookworm main",
        "deb [signed-by=/k.gpg] http://m.test/debian-security bookworm-security main",
    )


def test_the_labels_of_a_base_are_set_by_its_import() -> None:
    changes = rootfs.config_changes("static", {"leeward.base.abi": 'amd64 "libc6"'})

    assert changes[-2:] == ('LABEL leeward.base.abi="amd64 \\"libc6\\""', 'CMD ["/bin/sh"]')
