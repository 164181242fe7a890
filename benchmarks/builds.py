"""How long a build takes, and what it makes, beside the Dockerfile that such a project's documentation shows.

    python -m benchmarks.builds [python] [node] [go] [rust] [java] [php]

Both are built by the same engine, in turns, on the same base images, with the same certificates and indexes and within
the same bounds. Cold: no layer and no cache of an earlier build fits, for both trees have a mark of their own. Then one
line of the code changes; then, where a dependency can be added by a line, that.
"""

import asyncio
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import end_in_order, figure, say
from benchmarks.docker import docker, remove_cache
from benchmarks.pushed import compressed
from benchmarks.stage import ROOT
from leeward.builders.bases import tags
from leeward.builders.buildkit import BuildkitBuilder
from leeward.model.app import AppSpec, BuildSpec, Strategy
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob
from leeward.settings import Settings

COLD_ROUNDS = 2
_MOUNTS = " ".join(
    f"--mount=type=secret,id={name}" for name in ("leeward_ca", "leeward_pip_index", "leeward_npm_registry")
)
# Bases that both sides have ready: ours in the place of the makers' images that the documentation names.
_IMAGES: Mapping[str, str] = {
    "python:3.13": "python3.13-build",
    "node:24": "node24-build",
    "golang:1.24": "go-build",
    "rust:1.85": "rust-build",
    "maven:3-eclipse-temurin-21": "java21-build",
    "eclipse-temurin:21-jre": "java21",
    "composer:2": "php8.4-build",
    "php:8.4": "php8.4",
    "debian:trixie-slim": "debian13",
}


@dataclass(frozen=True, slots=True)
class Language:
    """An example, the Dockerfile that documentation shows for it, and how it changes."""

    example: str
    dockerfile: str
    code: tuple[str, str]
    """A file, and what is added to it."""
    mark: tuple[str, str]
    """The file that the dependencies stand in, and how a mark is put into it."""
    dependency: tuple[str, str, str] | None = None
    """A file, a text in it, and the text with one more dependency."""


LANGUAGES: Mapping[str, Language] = {
    "python": Language(
        "finrag-backend",
        """FROM python:3.13
WORKDIR /code
COPY ./requirements.txt /code/requirements.txt
RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt
COPY . /code
CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "80"]
""",
        ("main.py", "\n# {mark}\n"),
        ("requirements.txt", "\n# {mark}\n"),
        ("requirements.txt", "\n# ", "\nidna==3.10\n# "),
    ),
    "node": Language(
        "node-express",
        """FROM node:24
WORKDIR /usr/src/app
COPY package*.json ./
RUN npm install
COPY . .
CMD ["node", "server.js"]
""",
        ("server.js", "\n// {mark}\n"),
        ("package.json", '"description": "{mark}", '),
        ("package.json", '"dependencies": {', '"dependencies": {"ms": "2.1.3", '),
    ),
    "go": Language(
        "go-hello",
        """FROM golang:1.24 AS build
WORKDIR /app
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=linux go build -o /server
FROM debian:trixie-slim
COPY --from=build /server /server
CMD ["/server"]
""",
        ("main.go", "\n// {mark}\n"),
        ("go.mod", "\n// {mark}\n"),
    ),
    "rust": Language(
        "rust-hello",
        """FROM rust:1.85
WORKDIR /usr/src/app
COPY . .
RUN cargo install --path . --root /usr/local
CMD ["rust-hello"]
""",
        ("src/main.rs", "\n// {mark}\n"),
        ("Cargo.toml", "\n# {mark}\n"),
    ),
    "java": Language(
        "java-hello",
        """FROM maven:3-eclipse-temurin-21 AS build
WORKDIR /app
COPY pom.xml .
COPY src src
RUN mvn -B -ntp package
FROM eclipse-temurin:21-jre
COPY --from=build /app/target/*.jar /app/app.jar
CMD ["java", "-jar", "/app/app.jar"]
""",
        ("src/main/java/hello/Main.java", "\n// {mark}\n"),
        ("pom.xml", "\n<!-- {mark} -->\n"),
    ),
    "php": Language(
        "php-hello",
        """FROM composer:2 AS vendor
WORKDIR /app
COPY composer.json composer.lock ./
RUN composer install --no-dev --no-interaction --no-progress --no-scripts --no-autoloader
COPY . .
RUN composer dump-autoload --no-dev --optimize
FROM php:8.4
COPY --from=vendor /app /app
CMD ["php", "-S", "0.0.0.0:80", "-t", "/app/public"]
""",
        ("public/index.php", "\n<?php // {mark} ?>\n"),
        ("composer.json", '"description": "{mark}", '),
    ),
}


@dataclass(slots=True)
class Side:
    """One of the two ways to build the same tree."""

    name: str
    tree: Path
    spec: AppSpec
    app: str
    mark: str
    before: tuple[str, ...] = ()
    last: str = ""
    images: list[str] = field(default_factory=list)


def plain(text: str) -> str:
    """The documentation's Dockerfile on our bases, with their way to trust this machine's certificates."""
    lines = []
    names = tags()
    for line in text.splitlines():
        if match := re.match(r"FROM (\S+)(.*)", line):
            flavour = _IMAGES[match[1]]
            lines.append(f"FROM leeward-base/{flavour}:{names[flavour]}{match[2]}")
            lines.append('SHELL ["/usr/local/bin/with-ca", "/bin/sh", "-c"]')
        else:
            lines.append(re.sub(r"^RUN ", f"RUN {_MOUNTS} ", line))
    return "\n".join(lines) + "\n"


def sides(language: Language, folder: Path) -> tuple[Side, Side]:
    """Two copies of the example, each with a mark of its own."""
    made = []
    for name in ("ours", "plain"):
        mark = secrets.token_hex(6)
        tree = folder / name
        shutil.copytree(ROOT / "examples" / language.example, tree)
        path, text = language.mark
        change(tree / path, text, mark)
        build = BuildSpec()
        if name == "plain":
            (tree / "Dockerfile").write_text(plain(language.dockerfile) + f"LABEL mark={mark}\n")
            build = BuildSpec(strategy=Strategy.DOCKERFILE)
        made.append(Side(name, tree, AppSpec(name=f"bench-{mark}", build=build), f"bench-{mark}", mark))
    return made[0], made[1]


def change(path: Path, text: str, mark: str) -> None:
    """Put a mark at the end of a file, or behind the first brace of JSON."""
    content, added = path.read_text(), text.format(mark=mark) if "{mark}" in text else text
    path.write_text(content.replace("{", "{" + added, 1) if path.suffix == ".json" else content + added)


async def build(builder: BuildkitBuilder, side: Side) -> tuple[float, BuildPlan]:
    """One build: its seconds."""
    plan = builder.plan(side.tree, side.spec, {}, {})
    lines: list[str] = []
    began = time.perf_counter()
    try:
        built = await builder.build(
            BuildJob(side.app, "bench", side.tree, plan, {}), lambda line: lines.append(str(line))
        )
    except Exception:
        say("\n".join(lines[-30:]))
        raise
    side.last = built.id
    side.images.append(built.id)
    return time.perf_counter() - began, plan


async def layers(image: str) -> tuple[str, ...]:
    """The content digests of an image's layers."""
    return tuple((await docker("inspect", "--format", "{{range .RootFS.Layers}}{{.}} {{end}}", image)).split())


async def size_mb(image: str) -> float:
    """The image with its base, unpacked."""
    return int(await docker("inspect", "--format", "{{.Size}}", image)) / 1e6


async def compare(builder: BuildkitBuilder, what: str, pair: tuple[Side, Side], *, pushed: bool) -> None:
    """Build both, in turns; one figure for the time, and one for the bytes of the layers that are new."""
    taken, sent = {}, {}
    for side in pair:
        taken[side.name], _ = await build(builder, side)
        now = await layers(side.last)
        if pushed:
            new = [place for place, layer in enumerate(now) if layer not in side.before]
            sent[side.name] = await compressed(side.last, new) / 1e3
        side.before = now
    figure(f"build_{what}", taken["ours"], "s", peer="plain Dockerfile", peer_value=taken["plain"])
    if pushed:
        figure(f"pushed_{what}", sent["ours"], "kB", peer="plain Dockerfile", peer_value=sent["plain"])


async def cold(builder: BuildkitBuilder, name: str, folder: Path, copies: list[tuple[Side, Side]]) -> dict[str, float]:
    """Build new `copies` of both, the other one first each time; the least time of each side."""
    taken: dict[str, float] = {}
    for number in range(COLD_ROUNDS):
        pair = sides(LANGUAGES[name], folder / str(number))
        copies.append(pair)
        for side in pair if number % 2 else reversed(pair):
            seconds, _ = await build(builder, side)
            taken[side.name] = min(seconds, taken.get(side.name, seconds))
            side.before = await layers(side.last)
    return taken


async def measure(builder: BuildkitBuilder, name: str, folder: Path) -> None:
    """All figures of a language."""
    language = LANGUAGES[name]
    await ready(builder, language, folder / "bases")
    copies: list[tuple[Side, Side]] = []
    try:
        taken = await cold(builder, name, folder, copies)
        pair = copies[-1]
        about = {"rounds": COLD_ROUNDS}
        figure(f"build_{name}_cold", taken["ours"], "s", peer="plain Dockerfile", peer_value=taken["plain"], **about)
        ours, other = [await size_mb(side.last) for side in pair]
        figure(f"image_{name}", ours, "MB", peer="plain Dockerfile", peer_value=other)
        await compare(builder, f"{name}_no_change", pair, pushed=False)
        for side in pair:
            change(side.tree / language.code[0], language.code[1], f"changed {side.mark}")
        await compare(builder, f"{name}_code", pair, pushed=True)
        if language.dependency:
            path, old, new = language.dependency
            for side in pair:
                file = side.tree / path
                file.write_text(file.read_text().replace(old, new, 1))
            await compare(builder, f"{name}_dependency", pair, pushed=True)
    finally:
        every = [side for pair in copies for side in pair]
        for image in dict.fromkeys(image for side in every for image in side.images):
            await docker("rmi", "--force", image, may_fail=True)
        await remove_cache([mark for side in every for mark in (side.mark, side.app)])


async def ready(builder: BuildkitBuilder, language: Language, folder: Path) -> None:
    """Have the base images of both sides before any time is taken."""
    ours, _ = sides(language, folder)
    plan = builder.plan(ours.tree, ours.spec, {}, {})
    flavours = {image.split("/")[1].split(":")[0] for image in plan.bases}
    flavours |= {_IMAGES[image] for image in re.findall(r"FROM (\S+)", language.dockerfile)}
    await builder.bases.ensure(flavours, say)


async def run(names: Sequence[str]) -> int:
    """Measure these languages; how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as home:
        builder = BuildkitBuilder(Settings(home=Path(home) / "home"))
        for name in names:
            say(f"building {name}")
            try:
                await measure(builder, name, Path(home) / name)
            except Exception as error:
                failed += 1
                say(f"{name} failed: {error}")
    return failed


if __name__ == "__main__":
    end_in_order()
    raise SystemExit(min(1, asyncio.run(run(sys.argv[1:] or list(LANGUAGES)))))
