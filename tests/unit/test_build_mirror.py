"""Public base images are replaced by ours, where they cannot be had."""

import os
from pathlib import Path

import pytest

from leeward.builders import context, mirror
from leeward.builders.limits import Cgroup
from leeward.errors import BuildFailed
from leeward.settings import MIB, Settings


def ours(text: str, **args: str) -> mirror.Rewritten:
    return mirror.rewrite(text, args, mirror.images(text, args), lambda flavour: f"ours/{flavour}")


@pytest.mark.parametrize(
    ("image", "flavour"),
    [
        ("python:3.11-slim", "python3.11-build"),
        ("docker.io/library/python:3.13", "python3.13-build"),
        ("python", "python3.13-build"),
        ("python:3.9", "python3.11-build"),
        ("python:3.12-slim-bookworm", "python3.13-build"),
        ("node:20-alpine", "node20-build"),
        ("node:lts", "node24-build"),
        ("node:21", "node22-build"),
        ("nginx:alpine", "static"),
        ("debian:trixie-slim", "debian13"),
        ("golang:1.22-bookworm", "go-build"),
        ("rust:1.80-slim", "rust-build"),
        ("ruby:3.3-slim", "ruby3.3-build"),
        ("ruby:3.1", "ruby3.1-build"),
        ("php:8.2-fpm", "php8.2-build"),
        ("php:8.3-cli", "php8.4-build"),
        ("composer:2", "php8.4-build"),
        ("eclipse-temurin:21-jre", "java21"),
        ("eclipse-temurin:17-jdk-jammy", "java17-build"),
        ("openjdk:11", "java17-build"),
        ("maven:3.9-eclipse-temurin-21", "java21-build"),
        ("maven:3", "java21-build"),
        ("elixir:1.18-slim", "elixir1.18-build"),
        ("gcr.io/distroless/static-debian12:nonroot", "debian13"),
        ("gcr.io/distroless/java21-debian12", "java21"),
        ("debian:bookworm-slim", "debian12"),
        ("ubuntu:24.04", "debian12"),
        ("ghcr.io/astral-sh/uv:latest", "debian12-build"),
        ("ghcr.io/astral-sh/uv:python3.11-bookworm-slim", "python3.11-build"),
    ],
)
def test_well_known_images_have_one_of_ours(image: str, flavour: str) -> None:
    found = mirror.substitute(image)

    assert found is not None
    assert found.flavour == flavour


@pytest.mark.parametrize("image", ["ghcr.io/team/thing:1", "alpine:3", "php:8.3-apache", "gradle:8", "busybox"])
def test_an_unknown_image_has_none(image: str) -> None:
    assert mirror.substitute(image) is None


def test_a_compiled_program_runs_beside_the_c_library_that_it_was_built_with() -> None:
    text = "FROM golang:1.22 AS build\nRUN go build -o /a\nFROM debian:bookworm-slim\nCOPY --from=build /a /a\n"

    assert ours(text).flavours == ("go-build", "debian13")


@pytest.mark.parametrize(
    ("image", "other"),
    [
        ("python:3.12", "mirror.example.com/hub/library/python:3.12"),
        ("team/app", "mirror.example.com/hub/team/app"),
        ("ghcr.io/astral-sh/uv:1", "mirror.example.com/uv:1"),
        ("ghcr.io/team/app@sha256:00", "mirror.example.com/github/team/app@sha256:00"),
        ("ghcr.io.example.com/a", "ghcr.io.example.com/a"),
        ("quay.io/a/b", "quay.io/a/b"),
    ],
)
def test_an_image_is_named_at_its_mirror(image: str, other: str) -> None:
    mirrors = {
        "docker.io": "mirror.example.com/hub/",
        "ghcr.io": "mirror.example.com/github",
        "ghcr.io/astral-sh/uv": "mirror.example.com/uv",
    }

    assert mirror.redirected(image, mirrors) == other


def test_mirrored_images_are_named_anew_and_stages_stay() -> None:
    text = "FROM python:3.12 AS build\nFROM build\nCOPY --from=ghcr.io/a/b /x /x\n"
    renamed = {"python:3.12": "mirror.example.com/python:3.12", "ghcr.io/a/b": "mirror.example.com/b"}

    found = mirror.rewrite(text, {}, (), lambda flavour: flavour, renamed)

    assert found.text.splitlines() == [
        "FROM mirror.example.com/python:3.12 AS build",
        "FROM build",
        "COPY --from=mirror.example.com/b /x /x",
    ]


def test_stages_names_and_platforms_stay() -> None:
    text = (
        "# syntax=docker/dockerfile:1\nFROM --platform=linux/amd64 python:3.11 AS build\nRUN pip install .\n\n"
        "FROM build AS last\nCOPY --from=build /a /a\n"
    )

    found = ours(text)

    assert "FROM --platform=linux/amd64 ours/python3.11-build AS build" in found.text
    assert "FROM build AS last" in found.text
    assert "COPY --from=build /a /a" in found.text
    assert "syntax=" not in found.text
    assert found.flavours == ("python3.11-build",)


def test_commands_in_our_images_trust_what_this_machine_trusts() -> None:
    found = ours("FROM python:3.11\nRUN pip install -r requirements.txt && \\\n    RUN=1 true\nCMD uvicorn main:app\n")
    lines = found.text.splitlines()

    assert lines[1] == 'SHELL ["/usr/local/bin/with-ca", "/bin/sh", "-c"]'
    assert lines[2].startswith("RUN --mount=type=secret,id=leeward_ca ")
    assert lines[3] == "    RUN=1 true"
    assert lines[4:] == ['SHELL ["/bin/sh", "-c"]', "CMD uvicorn main:app"]


def test_variables_in_from_are_filled_in() -> None:
    text = "ARG PYTHON_VERSION=3.11\nFROM python:${PYTHON_VERSION}-slim\n"

    assert mirror.images(text, {}) == ("python:3.11-slim",)
    assert mirror.images(text, {"PYTHON_VERSION": "3.13"}) == ("python:3.13-slim",)
    assert ours(text).flavours == ("python3.11-build",)


def test_an_image_that_is_there_stays() -> None:
    text = "FROM python:3.13 AS a\nRUN true\nFROM python:3.11\n"

    found = mirror.rewrite(text, {}, ["python:3.11"], lambda flavour: f"ours/{flavour}")

    assert found.text.startswith("FROM python:3.13 AS a\nRUN true\nFROM ours/python3.11-build\n")


def test_a_file_of_a_public_image_is_taken_from_ours() -> None:
    found = ours("FROM debian:12\nCOPY --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/uv\n")

    assert "COPY --from=ours/debian12-build /uv /bin/uv" in found.text


def test_a_difference_is_told() -> None:
    assert ours("FROM python:3.12\n").notes == (
        "'python:3.12' cannot be had here: building on Debian's Python 3.13 instead",
    )
    assert ours("FROM python:3.11-slim\n").notes == ()


def test_nginx_starts_as_the_public_one_does() -> None:
    assert 'CMD ["nginx", "-g", "daemon off;"]' in ours("FROM nginx\nCOPY . /usr/share/nginx/html\n").text


def test_scratch_and_stage_numbers_are_no_images() -> None:
    assert mirror.images("FROM debian:12\nFROM scratch\nCOPY --from=0 /a /a\n", {}) == ("debian:12",)


def test_link_is_left_out_as_this_builder_does_not_know_it() -> None:
    assert "COPY --chown=1 . /app" in ours("FROM debian:12\nCOPY --link --chown=1 . /app\n").text


def test_a_context_outside_of_the_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "out").symlink_to(tmp_path)

    for path in ("..", "out", "/etc", "missing"):
        with pytest.raises(BuildFailed, match="context"):
            context.inside(tmp_path / "tree", path)


def test_times_depend_on_the_content_only(tmp_path: Path) -> None:
    times = []
    for name, content in (("a", "same"), ("b", "same"), ("c", "else")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(content)
        context.settle(tmp_path / name)
        times.append((tmp_path / name / "file").stat().st_mtime_ns)

    assert times[0] == times[1] != times[2]
    # A layer keeps whole seconds: they tell files apart, too.
    assert times[0] // 1_000_000_000 != times[2] // 1_000_000_000


def test_what_is_no_file_does_not_reach_the_builder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")

    context.settle(tmp_path)

    assert not (tmp_path / "pipe").exists()
    assert (tmp_path / "link").is_symlink()


def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, build_memory_mib=512, build_pids=100, build_cpus=1.5)


def test_limits_are_written_for_cgroup_v1(tmp_path: Path) -> None:
    Cgroup(settings(tmp_path), tmp_path).apply()

    place = "docker/buildkit"
    for controller, name, value in (
        ("memory", "memory.limit_in_bytes", str(512 * MIB)),
        ("cpu", "cpu.cfs_quota_us", "150000"),
        ("cpu", "cpu.shares", "512"),
        ("pids", "pids.max", "100"),
    ):
        assert (tmp_path / controller / place / name).read_text() == value


def test_limits_are_written_for_cgroup_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")

    Cgroup(settings(tmp_path), tmp_path).apply()

    place = tmp_path / "docker" / "buildkit"
    assert (place / "memory.max").read_text() == str(512 * MIB)
    assert (place / "cpu.max").read_text() == "150000 100000"
    assert (place / "pids.max").read_text() == "100"


def test_steps_are_put_below_everything_else_for_the_cpu_alone(tmp_path: Path) -> None:
    cgroup = Cgroup(settings(tmp_path), tmp_path)
    cgroup.apply()
    step = tmp_path / "cpu" / "docker" / "buildkit" / "step"
    step.mkdir()
    (step / "cgroup.procs").write_text("4711\n")

    cgroup.put_last("step")

    last = tmp_path / "cpu" / "leeward-builds"
    assert (last / "cgroup.procs").read_text() == "4711"
    assert ((last / "cpu.shares").read_text(), (last / "cpu.cfs_quota_us").read_text()) == ("512", "150000")
    assert not (tmp_path / "memory" / "leeward-builds").exists()


def test_builds_below_the_systems_slice_are_last_in_it(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "system.slice" / "docker" / "buildkit").mkdir(parents=True)
    (tmp_path / "leeward").mkdir()

    Cgroup(settings(tmp_path), tmp_path).apply()

    assert (tmp_path / "system.slice" / "docker" / "cpu.weight").read_text() == "50"
    assert (tmp_path / "leeward" / "cpu.weight").read_text() == "400"
    assert not (tmp_path / "docker").exists()


def test_a_step_without_processes_is_none(tmp_path: Path) -> None:
    steps = tmp_path / "pids" / "docker" / "buildkit"
    for name, count in (("runs", "3"), ("stale", "0")):
        (steps / name).mkdir(parents=True)
        (steps / name / "pids.current").write_text(count)

    assert Cgroup(settings(tmp_path), tmp_path).steps() == {"runs"}
