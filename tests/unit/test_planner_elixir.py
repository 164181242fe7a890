"""How Elixir apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed


def mix(*lines: str, elixir: str = "~> 1.14") -> str:
    return "\n".join(("def project do", "  [", "    app: :shop,", f'    elixir: "{elixir}",', *lines, "  ]", "end", ""))


PHOENIX = mix('    deps: [{:phoenix, "~> 1.8"}, {:ecto_sql, "~> 3.0"}]')
RELEASE = "defmodule Shop.Release do\n  def migrate do\n  end\nend\n"


def test_the_dependencies_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    text = planned(tmp_path, {"mix.exs": PHOENIX, "mix.lock": "%{}", "config/config.exs": ""}).dockerfile

    assert text.index("COPY mix.exs mix.lock ./") < text.index("mix deps.get") < text.index("mix deps.compile")
    assert text.index("mix deps.compile") < text.index("COPY . ./") < text.index("mix release --overwrite")
    assert text.index("from=build,source=/out/lib,") < text.index("COPY --from=build /out/app /app")
    assert text.rindex("FROM leeward-base/elixir1.18:") > text.index("FROM leeward-base/elixir1.18-build:")


def test_no_cookie_is_in_the_image(tmp_path: Path) -> None:
    found = planned(tmp_path, {"mix.exs": mix()})

    assert "rm -f /out/app/releases/COOKIE && ln -s /tmp/.cookie" in found.dockerfile.replace(" \\\n", "")
    assert found.start_command == "/app/bin/leeward-release start"
    assert found.read_only


def test_migrations_run_in_the_release_itself(tmp_path: Path) -> None:
    module = planned(tmp_path / "a", {"mix.exs": PHOENIX, "lib/shop/release.ex": RELEASE})
    script = planned(tmp_path / "b", {"mix.exs": PHOENIX, "rel/overlays/bin/migrate": "#!/bin/sh\n"})

    assert module.release_command == "/app/bin/leeward-release eval 'Shop.Release.migrate()'"
    assert script.release_command == "/app/bin/migrate"
    assert planned(tmp_path / "c", {"mix.exs": PHOENIX}).release_command is None


def test_phoenix_is_known_and_its_key_is_missed(tmp_path: Path) -> None:
    found = planned(tmp_path, {"mix.exs": PHOENIX})

    assert decided(found, "framework") == "phoenix <- mix.exs:5"
    assert {"app-key", "not-pinned"} <= warned(found)
    assert "start-guessed" not in warned(found)
    assert "app-key" not in warned(planned(tmp_path, {"mix.exs": PHOENIX}, env={"SECRET_KEY_BASE": "x"}))


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"mix.exs": mix(elixir="~> 1.15")}, "1.18 <- mix.exs:4"),
        ({"mix.exs": mix(elixir=">= 1.12.0 and < 1.18.0")}, "1.14 <- mix.exs:4"),
        ({"mix.exs": mix(elixir="~> 1.14.3")}, "1.14 <- mix.exs:4"),
        ({"mix.exs": mix(), ".elixir-version": "1.16.2\n"}, "1.18 <- .elixir-version:1"),
        ({"mix.exs": mix(), ".tool-versions": "elixir 1.17.0-otp-27\n"}, "1.18 <- .tool-versions:1"),
    ],
)
def test_the_elixir_of_the_files_is_taken(tmp_path: Path, files: dict[str, str], version: str) -> None:
    assert decided(planned(tmp_path, files), "elixir version") == version


def test_a_newer_elixir_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match=r"elixir '~> 1\.20' \(mix\.exs:4\) is not available: there are 1\.14, 1\.18"):
        planned(tmp_path, {"mix.exs": mix(elixir="~> 1.20")})


def test_an_umbrella_is_its_release_and_needs_the_whole_tree(tmp_path: Path) -> None:
    root = 'apps_path: "apps",\nreleases: [\n  all: [applications: []]\n]\n'
    files = {"mix.exs": root, "apps/web/mix.exs": 'deps: [{:bandit, "~> 1.5"}]\n'}

    found = planned(tmp_path, files)

    assert "mix release all --overwrite" in found.dockerfile
    assert "! -name 'all-*' ! -name 'web-*'" in found.dockerfile
    assert decided(found, "dependency layer").startswith("renewed by every change")
    with pytest.raises(PlanFailed, match="names no release: an umbrella has several apps"):
        planned(tmp_path / "b", {"mix.exs": 'apps_path: "apps"\n'})


def test_only_variables_for_mix_and_hex_reach_the_build(tmp_path: Path) -> None:
    found = planned(tmp_path, {"mix.exs": PHOENIX}, env={"HEX_API_KEY": "hunter2", "DATABASE_URL": "hunter2"})

    assert found.build_secrets == ("HEX_API_KEY",)
    assert "hunter2" not in found.dockerfile
