"""Has builder images and their run images in the engine's store: our own, or one by name."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from leeward.builders import buildpacks_lifecycle, context
from leeward.builders import dockerfile as dockerfile_of
from leeward.builders.bases import Bases
from leeward.builders.blueprint import Blueprint, Packages, Stage, User
from leeward.builders.buildpacks_phases import Builder, order_toml, run_toml
from leeward.builders.command import last_words, must
from leeward.builders.process import output
from leeward.builders.recipes import RECIPES
from leeward.errors import BuildFailed, Unavailable
from leeward.ports import Say
from leeward.settings import Settings

BUILD, RUN = "buildpacks-build", "buildpacks"
NODES = (22, 24)
REPOSITORY = "leeward-buildpacks"
USER = 1000
_FORGOTTEN_S = 30 * 86400.0
_FILES = Path(__file__).parent / "cnb"
_METADATA = "io.buildpacks.builder.metadata"
_HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# The phases are one program that looks at its own name.
_NAMES = ("analyzer", "detector", "restorer", "builder", "exporter", "rebaser")
_ORDER = ("go", "python", "node", "static")
_DISTRIBUTION = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "13"}
_START = """#!/bin/sh
exec python3 -I /cnb/lib/leeward/builders/cnb/__main__.py {name} {phase}
"""


class BuilderImages:
    """The builder images that the engine has; those that are missing are made or pulled on first use."""

    def __init__(self, settings: Settings, docker: Sequence[str], bases: Bases) -> None:
        self._settings, self._docker, self._bases = settings, tuple(docker), bases
        self._making = asyncio.Lock()

    async def own(self, say: Say, node: str = "") -> Builder:
        """The one that is made here, with the run image that has this version of Node. Raises BuildFailed."""
        builder = Builder(f"{REPOSITORY}/builder:{tag()}", run_image(node), USER, USER)
        async with self._making:
            if not (await self._fresh(builder.image, BUILD) and await self._fresh(builder.run_image, RUN)):
                await self._make(builder, say)
        return builder

    async def with_packages(self, builder: Builder, run: Sequence[str], build: Sequence[str], say: Say) -> Builder:
        """The same with Debian packages on top: their scripts run as root, as no buildpack may. Raises BuildFailed."""
        async with self._making:
            return replace(
                builder,
                image=await self._with(builder.image, build, say),
                run_image=await self._with(builder.run_image, run, say),
            )

    async def _with(self, below: str, packages: Sequence[str], say: Say) -> str:
        image = with_packages(below, packages) if packages else below
        found, base = await self.shown(image), await self.shown(below)
        if not (found and base and stands_on(found, base)):
            await self._add(image, below, packages, say)
        return image

    async def _add(self, image: str, below: str, packages: Sequence[str], say: Say) -> None:
        say(f"installing {' '.join(packages)} (once for all apps that ask for the same)")
        bundle = self._settings.build_ca or _HOST_BUNDLE
        trust = (f"--secret=id=leeward_ca,src={bundle}",) if bundle.is_file() else ()
        with self._work() as work:
            (work / "Dockerfile").write_text(packages_dockerfile(below, packages))
            command = (*self._docker, "build", "--quiet", f"--tag={image}", *trust, str(work))
            await must(
                command,
                "the Debian packages could not be installed",
                hint="correct their names: `apt-cache search WORD` on Debian 13 finds them",
                env={"DOCKER_BUILDKIT": "1"},
            )

    async def built_in(self) -> str:
        """The base that our builder stands on, as an image's label says it."""
        return " ".join(f"{name}:{content}" for name, content in (await self._bases.contents([BUILD])).items())

    async def _fresh(self, image: str, flavour: str) -> bool:
        """Whether the image is there and stands on its base as that is now: a patched base keeps its name."""
        found, base = await self.shown(image), await self.shown(RECIPES[flavour].image)
        return found is not None and (base is None or stands_on(found, base))

    async def named(self, image: str, say: Say) -> Builder:
        """One by name, with the run image that it names. Raises BuildFailed."""
        facts = await self._pulled(image, say)
        settings = facts.get("Config") or {}
        env = dict(item.partition("=")[::2] for item in settings.get("Env") or ())
        run_image = _run_image((settings.get("Labels") or {}).get(_METADATA, ""))
        user, group = env.get("CNB_USER_ID", ""), env.get("CNB_GROUP_ID", "")
        if not (run_image and user.isdigit() and group.isdigit() and int(user) > 0):
            raise BuildFailed(
                f"'{image}' is not a builder image: it names no run image or no user to build as",
                hint="give build.builder the name of a Cloud Native Buildpacks builder, or leave it out",
                code="not-a-builder",
            )
        await self._pulled(run_image, say)
        return Builder(image, run_image, int(user), int(group), own=False)

    async def shown(self, image: str) -> Mapping[str, Any] | None:
        """What the engine says of an image; None when it has none."""
        code, text = await output((*self._docker, "image", "inspect", image))
        if code:
            return None
        try:
            found = json.loads(text)[0]
        except (ValueError, IndexError) as error:
            raise Unavailable("dockerd gave an answer that is none", hint="run `lee doctor`") from error
        return dict(found)

    async def _pulled(self, image: str, say: Say) -> Mapping[str, Any]:
        facts = await self.shown(image)
        if facts is None:
            say(f"pulling {image}")
            code, text = await output((*self._docker, "pull", "--quiet", image))
            facts = None if code else await self.shown(image)
            if facts is None:
                raise BuildFailed(
                    f"the image '{image}' could not be pulled: {last_words(text.splitlines())}",
                    hint="correct build.builder, or leave it out to use Leeward's own builder",
                    code="no-builder",
                )
        return facts

    # --- made here ----------------------------------------------------------------------------------------

    async def _make(self, builder: Builder, say: Say) -> None:
        nodes = [f"node{major}" for major in NODES]
        with self._work() as work:
            lifecycle = await buildpacks_lifecycle.have(self._settings, work, say)
            await self._bases.ensure([BUILD, RUN, *nodes, *(() if lifecycle else ("go-build",))], say)
            say("making the builder image (once on this machine)")
            folder = work / "context"
            await asyncio.to_thread(_lay, folder, lifecycle, builder)
            bundle = self._settings.build_ca or _HOST_BUNDLE
            trust = (f"--secret=id=leeward_ca,src={bundle}",) if bundle.is_file() else ()
            message = "the builder image could not be made"
            made = [("build", builder.image, dockerfile(lifecycle is not None), trust)]
            made += [("run", run_image(node), run_dockerfile(node), ()) for node in ("", *map(str, NODES))]
            for name, image, lines, more in made:
                (work / name).write_text("\n".join(lines) + "\n")
                command = (*self._docker, "build", "--quiet", f"--file={work / name}", f"--tag={image}", *more)
                await must((*command, str(folder)), message, env={"DOCKER_BUILDKIT": "1"})
        await self._forget()

    async def _forget(self) -> None:
        """Take away the names of builders that other releases of Leeward made, once they are a month old."""
        shown = (*self._docker, "images", f"{REPOSITORY}/*", "--format={{.Repository}}:{{.Tag}} {{.CreatedAt}}")
        code, text = await output(shown)
        month_ago = time.strftime("%Y-%m-%d", time.gmtime(time.time() - _FORGOTTEN_S))
        pairs = [line.split(" ") for line in text.splitlines() if " " in line]
        old = [name for name, day, *_ in pairs if day < month_ago and not name.endswith(f":{tag()}")]
        if code == 0 and old:
            await output((*self._docker, "rmi", *old))

    @contextlib.contextmanager
    def _work(self) -> Iterator[Path]:
        place = self._settings.home / "cnb"
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=place) as name:
            yield Path(name)


def tag() -> str:
    """The hash of everything that our builder image is made from."""
    parts = [buildpacks_lifecycle.VERSION, *(RECIPES[name].tag for name in (BUILD, RUN))]
    parts += [RECIPES[f"node{major}"].tag for major in NODES]
    parts += [*dockerfile(True), *run_dockerfile(), *run_dockerfile(str(NODES[0])), _START]
    parts += [text for path in _sources() for text in (path.relative_to(_FILES).as_posix(), path.read_text())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def dockerfile(lifecycle: bool) -> tuple[str, ...]:
    """The builder image: what builds, every Node, and `/cnb`; without a `lifecycle` it is built inside."""
    labels = {**_DISTRIBUTION, "leeward.base": "buildpacks-builder"}
    nodes = [f"COPY --from={RECIPES[f'node{major}'].image} /usr/local /opt/node/{major}" for major in NODES]
    return (
        *(() if lifecycle else buildpacks_lifecycle.stage(RECIPES["go-build"].image)),
        f"FROM {RECIPES[BUILD].image}",
        *nodes,
        "COPY cnb /cnb",
        *(() if lifecycle else ("COPY --from=lifecycle /out/ /cnb/lifecycle/",)),
        f"ENV CNB_USER_ID={USER} CNB_GROUP_ID={USER}",
        *(f"LABEL {key}={value}" for key, value in sorted(labels.items())),
        f"USER {USER}:{USER}",
        "WORKDIR /workspace",
    )


def run_image(node: str = "") -> str:
    """The name of a run image; with Node in it, no app needs a layer of its own for that."""
    return f"{REPOSITORY}/run{f'-node{node}' if node else ''}:{tag()}"


def run_dockerfile(node: str = "") -> tuple[str, ...]:
    """A run image: the base as it is, with the words of the buildpacks specification."""
    labels = {**_DISTRIBUTION, "io.buildpacks.rebasable": "true"}
    return (
        f"FROM {RECIPES[RUN].image}",
        *((f"COPY --from={RECIPES[f'node{node}'].image} /usr/local /usr/local",) if node else ()),
        *(("ENV NODE_ENV=production",) if node else ()),
        *(f"LABEL {key}={value}" for key, value in sorted(labels.items())),
        f"USER {USER}:{USER}",
    )


def with_packages(image: str, packages: Sequence[str]) -> str:
    """The name of an image with these packages on top."""
    repository, _, tag = image.rpartition(":")
    digest = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:12]
    return f"{repository}-with-{digest}:{tag}"


def packages_dockerfile(image: str, packages: Sequence[str]) -> str:
    """The packages as one layer; whoever runs the image stays who it was."""
    user = f"{USER}:{USER}"
    steps = (User("0:0"), Packages(tuple(sorted(packages))), User(user))
    return dockerfile_of.render(Blueprint((Stage("image", image, steps),)), {}, "shared")


def stands_on(image: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether the lowest layers of an image are those of a base."""
    below: list[str] = base["RootFS"]["Layers"]
    return bool(image["RootFS"]["Layers"][: len(below)] == below)


def _lay(folder: Path, lifecycle: Path | None, builder: Builder) -> None:
    """Put everything below `/cnb` into a folder; the same files give the same layer."""
    root = folder / "cnb"
    (root / "lifecycle").mkdir(parents=True)
    for name in buildpacks_lifecycle.PROGRAMS if lifecycle else ():
        assert lifecycle is not None
        shutil.copy(lifecycle / name, root / "lifecycle" / name)
    for name in _NAMES:
        (root / "lifecycle" / name).symlink_to("lifecycle")
    for source in _sources():
        path = source.relative_to(_FILES)
        if path.suffix == ".py":
            _write(root / "lib" / "leeward" / "builders" / "cnb" / path, source.read_text(), 0o644)
            continue
        name, home = path.parts[1], root / "buildpacks" / f"leeward_{path.parts[1]}" / "1.0.0"
        _write(home / path.name, source.read_text(), 0o644)
        for phase in ("detect", "build"):
            _write(home / "bin" / phase, _START.format(name=name, phase=phase), 0o755)
    _write(root / "order.toml", "\n".join(order_toml((name, "procfile")) for name in _ORDER), 0o644)
    _write(root / "run.toml", run_toml(builder.run_image), 0o644)
    for place, names, _ in os.walk(root):
        for name in names:
            Path(place, name).chmod(0o755)
    root.chmod(0o755)
    context.settle(folder)


def _sources() -> list[Path]:
    return sorted(path for kind in ("*.py", "buildpacks/*/buildpack.toml") for path in _FILES.glob(kind))


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _run_image(metadata: str) -> str:
    """The run image that a builder's metadata names, by either of its two spellings."""
    try:
        found = json.loads(metadata or "{}")
        images = found.get("images") or [(found.get("stack") or {}).get("runImage") or {}]
        return str(images[0].get("image") or "")
    except (ValueError, AttributeError, IndexError, TypeError):
        return ""
