"""How Rust apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed

PACKAGE = '[package]\nname = "shop"\nversion = "0.1.0"\n\n[dependencies]\naxum = "0.8"\n'
LOCK = '[[package]]\nname = "axum"\n'
MAIN = "fn main() {}\n"


def test_the_crates_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    text = planned(tmp_path, {"Cargo.toml": PACKAGE, "Cargo.lock": LOCK, "src/main.rs": MAIN}).dockerfile

    assert text.index("COPY Cargo.toml Cargo.lock") < text.index("with-ca cargo build --release --locked")
    assert text.index("with-ca rm -rf src") < text.index("COPY . ./") < text.index("--bin shop")
    assert text.index("FROM leeward-base/debian13") > text.index("--bin shop")


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"src/main.rs": MAIN}, "/app/bin/shop"),
        ({"src/bin/only.rs": MAIN}, "/app/bin/only"),
        ({"src/main.rs": MAIN, "src/bin/tool.rs": MAIN}, "/app/bin/shop"),
        ({"src/bin/server/main.rs": MAIN, "src/bin/tool.rs": MAIN}, "/app/bin/server"),
    ],
)
def test_the_program_that_answers_is_found(tmp_path: Path, files: dict[str, str], command: str) -> None:
    assert planned(tmp_path, {"Cargo.toml": PACKAGE, **files}).start_command == command


def test_the_package_says_which_program_runs(tmp_path: Path) -> None:
    manifest = PACKAGE.replace("[dep", 'default-run = "b"\n\n[[bin]]\nname = "a"\n\n[[bin]]\nname = "b"\n\n[dep')

    found = planned(tmp_path, {"Cargo.toml": manifest, "src/a.rs": MAIN, "src/b.rs": MAIN})

    assert found.start_command == "/app/bin/b"
    assert "--bin a --bin b" in found.dockerfile


def test_programs_that_cannot_be_told_apart_are_listed(tmp_path: Path) -> None:
    files = {"Cargo.toml": PACKAGE, "src/bin/a.rs": MAIN, "src/bin/b.rs": MAIN}

    with pytest.raises(PlanFailed, match="'a', 'b'") as failure:
        planned(tmp_path, files)

    assert "PLAN_RUST_BIN=a" in failure.value.hint
    assert planned(tmp_path, files, env={"PLAN_RUST_BIN": "b"}).start_command == "/app/bin/b"
    with pytest.raises(PlanFailed, match=r"'c' .* is no program"):
        planned(tmp_path, files, env={"RAILPACK_RUST_BIN": "c"})


def test_an_older_rust_that_is_asked_for_is_no_hindrance_and_a_newer_one_is(tmp_path: Path) -> None:
    files = {"Cargo.toml": PACKAGE, "src/main.rs": MAIN}

    old = planned(tmp_path / "old", {**files, "rust-toolchain.toml": '[toolchain]\nchannel = "1.70.0"\n'})
    stable = planned(tmp_path / "stable", {**files, "rust-toolchain": "stable\n"})

    assert decided(old, "rust version") == "1.85 <- rust-toolchain.toml:2"
    assert decided(stable, "rust version") == "1.85 <- usual version"
    with pytest.raises(PlanFailed, match=r"rust '1\.99' .* there are 1\.85, 1\.97"):
        planned(tmp_path / "new", {**files, "rust-toolchain": "1.99\n"})


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"rust-toolchain": "nightly-2026-01-01\n"}, True),
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "beta"\n'}, True),
        ({"rust-toolchain": "stable\n"}, False),
    ],
)
def test_a_compiler_of_the_night_is_told_to_be_missing(tmp_path: Path, files: dict[str, str], told: bool) -> None:
    found = planned(tmp_path, {"Cargo.toml": PACKAGE, "src/main.rs": MAIN, **files})

    assert ("rust-channel" in warned(found)) == told
    assert found.versions == {"rust": "1.85"}


def test_a_newer_rust_is_compiled_in_its_makers_image_and_runs_on_our_base(tmp_path: Path) -> None:
    manifest = PACKAGE.replace("[package]\n", '[package]\nrust-version = "1.90"\n')
    files = {"Cargo.toml": manifest, "src/main.rs": MAIN}

    found = planned(tmp_path, files)
    mirrored = planned(tmp_path, files, env={"PLAN_IMAGE_MIRROR": "registry.example.com/hub"})

    assert decided(found, "rust version") == "1.97 <- Cargo.toml:2"
    assert found.bases == ("leeward-base/debian13:latest", "library/rust:1.97-trixie")
    assert "makers-image" in warned(found)
    assert found.dockerfile.index("AS trust") < found.dockerfile.index("COPY --from=trust /usr/local/bin/with-ca")
    assert "registry.example.com/hub/library/rust:1.97-trixie" in mirrored.bases
    with pytest.raises(PlanFailed, match="is no registry"):
        planned(tmp_path, files, env={"PLAN_IMAGE_MIRROR": "x y\nRUN z"})


@pytest.mark.parametrize(
    ("more", "files", "place"),
    [
        ('local = { path = "local" }\n', {}, "Cargo.toml:7"),
        ("", {"build.rs": MAIN}, "build.rs"),
        (
            '\n[workspace]\nmembers = ["x"]\n',
            {"x/Cargo.toml": '[package]\nname = "x"\n', "x/src/lib.rs": ""},
            "Cargo.toml",
        ),
    ],
)
def test_what_needs_the_code_makes_the_whole_tree_the_key(
    tmp_path: Path, more: str, files: dict[str, str], place: str
) -> None:
    found = planned(tmp_path, {"Cargo.toml": PACKAGE + more, "src/main.rs": MAIN, **files})

    assert decided(found, "dependency layer") == f"renewed by every change of the code <- {place}"
    assert found.dockerfile.count("cargo build") == 1


def test_crates_get_the_debian_packages_that_they_need(tmp_path: Path) -> None:
    lock = LOCK + '\n[[package]]\nname = "pq-sys"\n'

    found = planned(tmp_path, {"Cargo.toml": PACKAGE, "Cargo.lock": lock, "src/main.rs": MAIN})

    assert decided(found, "system packages") == "libpq5 <- Cargo.lock:5"


def test_a_program_without_a_server_is_a_guess_and_without_a_lock_not_pinned(tmp_path: Path) -> None:
    found = planned(tmp_path, {"Cargo.toml": PACKAGE.replace("axum", "rand"), "src/main.rs": MAIN})

    assert {"start-guessed", "not-pinned"} <= warned(found)
    assert "--locked" not in found.dockerfile


def test_only_variables_for_cargo_reach_the_build(tmp_path: Path) -> None:
    env = {"CARGO_REGISTRIES_TEAM_TOKEN": "hunter2", "API_KEY": "x"}

    found = planned(tmp_path, {"Cargo.toml": PACKAGE, "src/main.rs": MAIN}, env=env)

    assert found.build_secrets == ("CARGO_REGISTRIES_TEAM_TOKEN",)
    assert "hunter2" not in found.dockerfile
