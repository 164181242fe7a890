"""How PHP apps are planned."""

import json
from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed

PAGE = "<?php echo 'hello';\n"


def composer(**fields: object) -> str:
    return json.dumps(fields, indent=1)


def test_the_packages_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    files = {"composer.json": composer(require={"monolog/monolog": "^3"}), "composer.lock": "{}", "index.php": PAGE}

    text = planned(tmp_path, files).dockerfile

    assert text.index("COPY composer.json composer.lock") < text.index("with-ca composer install")
    assert text.index("with-ca composer install") < text.index("COPY . ./") < text.index("composer dump-autoload")
    assert text.index("from=install,source=/app/vendor,") < text.index("COPY --from=build")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("^8.2", "8.4"),
        ("~8.2.0", "8.2"),
        ("8.2.*", "8.2"),
        (">=8.1,<8.4", "8.2"),
        ("^7.4|^8.0", "8.4"),
        ("~8.0", "8.4"),
    ],
)
def test_composers_ranges_choose_the_version(tmp_path: Path, said: str, version: str) -> None:
    files = {"composer.json": composer(require={"php": said}), "index.php": PAGE}

    assert decided(planned(tmp_path, files), "php version") == f"{version} <- composer.json:3"


def test_a_version_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match=r"'\^7\.4' .*8\.2, 8\.4"):
        planned(tmp_path, {"composer.json": composer(require={"php": "^7.4"}), "index.php": PAGE})


def test_plain_pages_need_no_build_and_no_writable_root(tmp_path: Path) -> None:
    found = planned(tmp_path, {"index.php": PAGE})

    assert found.start_command == "leeward-php"
    assert found.bases == ("leeward-base/php8.4:latest",)
    assert found.read_only


@pytest.mark.parametrize(
    ("page", "root"), [("public/index.php", "public"), ("web/index.php", "web"), ("index.php", ".")]
)
def test_the_document_root_is_where_the_page_is(tmp_path: Path, page: str, root: str) -> None:
    found = planned(tmp_path, {"composer.json": "{}", page: PAGE})

    assert decided(found, "document root") == f"{root} <- {page}"
    assert f"root {'/app' if root == '.' else '/app/' + root};" in found.dockerfile


def test_a_document_root_that_is_none_is_refused(tmp_path: Path) -> None:
    for folder in ("nowhere", "../etc", "a;b"):
        with pytest.raises(PlanFailed, match="is not a directory"):
            planned(tmp_path, {"index.php": PAGE, "a;b/x": ""}, env={"PLAN_PHP_ROOT_DIR": folder})
    with pytest.raises(PlanFailed, match="no page to answer with"):
        planned(tmp_path / "empty", {"composer.json": "{}"})


def test_extensions_are_debian_packages_or_a_warning(tmp_path: Path) -> None:
    require = {"ext-gd": "*", "ext-json": "*", "ext-strange": "*"}

    found = planned(tmp_path, {"composer.json": composer(require=require), "index.php": PAGE})

    assert decided(found, "system packages") == "php-gd <- composer.json:3"
    assert "php-extension" in warned(found)


def test_laravel_migrates_in_the_release_and_wants_its_key(tmp_path: Path) -> None:
    files = {
        "composer.json": composer(require={"laravel/framework": "^12"}),
        "artisan": "",
        "public/index.php": PAGE,
        "database/migrations/1.php": PAGE,
    }

    found = planned(tmp_path, files)

    assert found.release_command == "php artisan migrate --force"
    assert not found.read_only
    assert {"app-key", "not-pinned"} <= warned(found)
    assert "app-key" not in warned(planned(tmp_path, files, env={"APP_KEY": "base64:x"}))


def test_packages_of_the_tree_make_the_whole_tree_the_key(tmp_path: Path) -> None:
    manifest = composer(repositories=[{"type": "path", "url": "packages/*"}], require={"a/b": "*"})

    found = planned(tmp_path, {"composer.json": manifest, "index.php": PAGE})

    assert decided(found, "dependency layer") == "renewed by every change of the code <- composer.json:2"
    assert "COPY . ./\nRUN --mount=type=cache,id=leeward-shared-composer" in found.dockerfile


def test_credentials_for_packages_reach_the_install_only(tmp_path: Path) -> None:
    env = {"COMPOSER_AUTH": '{"http-basic":"hunter2"}', "DATABASE_URL": "x"}

    found = planned(tmp_path, {"composer.json": "{}", "index.php": PAGE}, env=env)

    assert found.build_secrets == ("COMPOSER_AUTH",)
    assert "hunter2" not in found.dockerfile


@pytest.mark.parametrize(
    ("range", "extension", "package"),
    [
        ("8.2.*", "imap", "php-imap"),
        ("8.4.*", "imap", ""),
        ("8.4.*", "inotify", "php-inotify"),
        ("8.2.*", "inotify", ""),
        ("8.4.*", "pdo_dblib", "php-sybase"),
        ("8.2.*", "redis", "php-redis"),
        ("8.4.*", "swoole", ""),
    ],
)
def test_each_php_has_the_extensions_of_its_own_debian(
    tmp_path: Path, range: str, extension: str, package: str
) -> None:
    manifest = json.dumps({"require": {"php": range, f"ext-{extension}": "*"}})

    found = planned(tmp_path, {"composer.json": manifest, "index.php": ""})

    assert ("php-extension" in warned(found)) == (not package)
    assert not package or f"--no-install-recommends {package} " in found.dockerfile


def test_a_library_brings_the_packages_that_it_calls(tmp_path: Path) -> None:
    manifest = json.dumps({"require": {"intervention/image": "^3", "spatie/pdf-to-text": "^1"}})

    found = planned(tmp_path, {"composer.json": manifest, "index.php": ""})

    assert decided(found, "system packages").startswith("php-gd poppler-utils")
