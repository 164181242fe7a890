"""How Ruby apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed

RACK = 'source "https://rubygems.org"\ngem "sinatra"\ngem "puma"\n'
LOCK = "GEM\n  specs:\n    puma (6.5.0)\n    sinatra (4.1.1)\n\nPLATFORMS\n  ruby\n"
RAILS = {
    "Gemfile": 'gem "rails"\ngem "puma"\ngem "propshaft"\n',
    "Gemfile.lock": LOCK,
    "config/application.rb": "",
    "config.ru": "",
    "config/routes.rb": 'get "up" => "rails/health#show"\n',
    "db/migrate/1.rb": "",
}


def test_the_gems_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    text = planned(tmp_path, {"Gemfile": RACK, "Gemfile.lock": LOCK, "config.ru": ""}).dockerfile

    assert text.index("COPY Gemfile Gemfile.lock ./") < text.index("with-ca bundle install")
    assert text.index("from=install,source=/opt/bundle,") < text.index("COPY --chown=1000:1000 . /app")
    assert text.count("BUNDLE_DEPLOYMENT=1") == 2


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"Gemfile": RACK, "config.ru": ""}, "bundle exec puma -p $PORT"),
        ({"Gemfile": 'gem "rack"\n', "config.ru": ""}, "bundle exec rackup -o 0.0.0.0 -p $PORT"),
        ({"config.ru": "", "Aptfile": "puma\n"}, "puma -p $PORT"),
        ({"Gemfile": RACK, "app.rb": "require 'sinatra'\n"}, "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT"),
        ({"server.rb": ""}, "ruby server.rb"),
        (RAILS, "bundle exec puma -p $PORT"),
        (
            {"Gemfile": 'gem "rails"\n', "config/application.rb": "", "config.ru": ""},
            "bundle exec rails server -b 0.0.0.0 -p $PORT",
        ),
    ],
)
def test_the_start_command_follows_the_framework(tmp_path: Path, files: dict[str, str], command: str) -> None:
    assert planned(tmp_path, files).start_command == command


def test_rails_migrates_in_the_release_and_makes_its_assets_in_the_build(tmp_path: Path) -> None:
    found = planned(tmp_path, RAILS)

    assert found.release_command == "bundle exec rails db:migrate"
    assert found.health_path == "/up"
    assert "SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile" in found.dockerfile
    assert not found.read_only
    assert "app-key" in warned(found)
    assert "app-key" not in warned(planned(tmp_path, RAILS, env={"RAILS_MASTER_KEY": "x"}))


@pytest.mark.parametrize("said", ['ruby "3.3.6"', "ruby '~> 3.2'", 'ruby ">= 3.0"', 'ruby "~> 3.3.1"'])
def test_a_ruby_that_is_there_is_taken(tmp_path: Path, said: str) -> None:
    assert decided(planned(tmp_path, {"Gemfile": f"{said}\n", "app.rb": ""}), "ruby version") == "3.3 <- Gemfile:1"


@pytest.mark.parametrize("said", ['ruby "3.2.2"', 'ruby "~> 3.2.0"', 'ruby ">= 3.4"', 'ruby "2.7.8"'])
def test_another_ruby_is_refused_with_what_there_is(tmp_path: Path, said: str) -> None:
    with pytest.raises(PlanFailed, match=r"is not available: there are 3\.1, 3\.3"):
        planned(tmp_path, {"Gemfile": f"{said}\n", "app.rb": ""})


def test_an_older_ruby_comes_with_the_packages_of_its_own_debian(tmp_path: Path) -> None:
    files = {"Gemfile": 'ruby "3.1.2"\ngem "ruby-vips"\n', "app.rb": ""}

    older, newer = planned(tmp_path / "a", files), planned(tmp_path / "b", {**files, "Gemfile": 'gem "ruby-vips"\n'})

    assert "leeward-base/ruby3.1:latest" in older.bases
    assert "install -y --no-install-recommends libvips42 " in older.dockerfile
    assert "install -y --no-install-recommends libvips42t64 " in newer.dockerfile


def test_a_patch_in_the_gemfile_does_not_stop_bundler(tmp_path: Path) -> None:
    pinned = planned(tmp_path / "pinned", {"Gemfile": 'ruby "3.3.6"\n', "app.rb": ""})
    loose = planned(tmp_path / "loose", {"Gemfile": 'ruby "~> 3.3.0"\n', "app.rb": ""})

    assert "ruby-patch" in warned(pinned)
    assert pinned.dockerfile.count("RUN sed -i") == 2
    assert "ruby-patch" not in warned(loose)
    assert "RUN sed -i" not in loose.dockerfile


def test_gems_get_the_debian_packages_that_they_need(tmp_path: Path) -> None:
    text = planned(tmp_path, {"Gemfile": 'gem "pg"\n', "app.rb": ""}).dockerfile

    assert "--no-install-recommends libpq-dev" in text
    assert "--no-install-recommends libpq5" in text


def test_gems_of_the_tree_make_the_whole_tree_the_key(tmp_path: Path) -> None:
    found = planned(tmp_path, {"Gemfile": 'gem "x", path: "x"\n', "x/x.gemspec": "", "app.rb": ""})

    assert decided(found, "dependency layer") == "renewed by every change of the code <- Gemfile:1"


def test_a_lock_of_another_system_is_told_of_before_the_build(tmp_path: Path) -> None:
    lock = LOCK.replace("  ruby\n", "  arm64-darwin-23\n")

    assert "ruby-platform" in warned(planned(tmp_path, {"Gemfile": RACK, "Gemfile.lock": lock, "config.ru": ""}))


def test_credentials_for_gems_reach_the_install_only(tmp_path: Path) -> None:
    env = {"BUNDLE_GEMS__EXAMPLE__COM": "hunter2", "SECRET_KEY_BASE": "x"}

    found = planned(tmp_path, RAILS, env=env)

    assert found.build_secrets == ("BUNDLE_GEMS__EXAMPLE__COM",)
    assert "hunter2" not in found.dockerfile
