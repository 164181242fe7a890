"""Has the base images in the engine's store: from a cache, a registry, or made here from signed packages."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import zstandard

from leeward.builders import bootstrap, node_files, rootfs
from leeward.builders.command import last_words, must
from leeward.builders.process import output
from leeward.builders.recipes import RECIPES, Recipe, tags
from leeward.errors import BuildFailed
from leeward.ports import Say
from leeward.settings import Settings

__all__ = ["Bases", "tags"]

# Shared by all homes of this machine, so that a second installation or a test makes nothing again.
MACHINE_CACHE = Path("/var/cache/leeward/bases")
# A bootstrap is bound by the CPU: more at once than this are not faster.
_AT_ONCE = 2
# Another release of Leeward on this machine may still want its own.
_FORGOTTEN_S = 30 * 86400.0


class Bases:
    """The base images in the engine's store; those that are missing are made on first use."""

    def __init__(self, settings: Settings, machine_cache: Path = MACHINE_CACHE) -> None:
        self._settings = settings
        self._caches = (settings.home / "bases", machine_cache)
        self._making: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._node: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._docker = (str(settings.docker_command), "--host", f"unix://{settings.docker_socket}")

    async def ensure(self, flavours: Iterable[str], say: Say) -> None:
        """Have the images of these flavours; callers at the same time share one making. Raises BuildFailed."""
        tasks = [self._task(RECIPES[flavour], say) for flavour in dict.fromkeys(flavours)]
        if tasks:
            await asyncio.gather(*(asyncio.shield(task) for task in tasks))

    async def close(self) -> None:
        """End what is being made."""
        for task in tuple(self._making.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, BuildFailed):
                await task

    def _task(self, recipe: Recipe, say: Say) -> asyncio.Task[None]:
        task = self._making.get(recipe.flavour)
        if task is None:
            task = asyncio.create_task(self._have(recipe, say))
            self._making[recipe.flavour] = task
            task.add_done_callback(lambda _: self._making.pop(recipe.flavour, None))
        else:
            say(f"waiting for base image {recipe.flavour}")
        return task

    async def _have(self, recipe: Recipe, say: Say) -> None:
        if await self._present(recipe.image):
            return
        if self._settings.base_registry:
            await self._pull(recipe, say)
            return
        began = time.monotonic()
        if recipe.parent:
            await self.ensure([recipe.parent], say)
            await self._make_node(recipe, say)
        else:
            async with self._slots:
                await self._make_debian(recipe, say)
        say(f"base image {recipe.flavour} is ready ({time.monotonic() - began:.1f} s)")

    async def _present(self, image: str) -> bool:
        code, _ = await output((*self._docker, "image", "inspect", "--format", "{{.Id}}", image))
        return code == 0

    async def _pull(self, recipe: Recipe, say: Say) -> None:
        remote = f"{self._settings.base_registry}/{recipe.flavour}:{recipe.tag}"
        say(f"pulling base image {remote}")
        for command in (("pull", "--quiet", remote), ("tag", remote, recipe.image)):
            code, text = await output((*self._docker, *command))
            if code:
                raise BuildFailed(
                    f"base image '{remote}' could not be pulled: {last_words(text.splitlines())}",
                    hint="check LEEWARD_BASE_REGISTRY, or leave it empty to make base images here",
                )

    # --- made here ----------------------------------------------------------------------------------------

    async def _make_debian(self, recipe: Recipe, say: Say) -> None:
        with self._work(recipe) as work:
            cached = self._cached(recipe)
            if cached is not None:
                tar = await asyncio.to_thread(_unpack, cached, work / "root.tar")
                await self._import(recipe, tar)
                return
            say(f"making base image {recipe.flavour} from Debian packages (once on this machine)")
            tar = await bootstrap.make(recipe, self._settings, work)
            await asyncio.gather(self._import(recipe, tar), asyncio.to_thread(self._keep, recipe, tar))

    async def _make_node(self, recipe: Recipe, say: Say) -> None:
        assert recipe.node is not None
        with self._work(recipe) as work:
            async with self._node[recipe.node]:
                cached = self._cached(recipe)
                if cached is None:
                    say(f"fetching Node {recipe.node} (once on this machine)")
                    pair = (RECIPES[f"node{recipe.node}"], RECIPES[f"node{recipe.node}-build"])
                    for each, tar in zip(pair, await node_files.make(recipe.node, self._settings, work), strict=True):
                        await asyncio.to_thread(self._keep, each, tar)
                    cached = self._cached(recipe)
            assert cached is not None
            context = work / "context"
            context.mkdir()
            await asyncio.to_thread(_unpack, cached, context / "node.tar")
            await self._layer(recipe, context)

    async def _import(self, recipe: Recipe, tar: Path) -> None:
        changes = [part for change in rootfs.config_changes(recipe.flavour) for part in ("--change", change)]
        await must((*self._docker, "import", *changes, str(tar), recipe.image), _not_stored(recipe))

    async def _layer(self, recipe: Recipe, context: Path) -> None:
        parent = RECIPES[recipe.parent or ""].image
        lines = (f"FROM {parent}", "ADD node.tar /", f"LABEL leeward.base={recipe.flavour}", "")
        (context / "Dockerfile").write_text("\n".join(lines))
        command = (*self._docker, "build", "--quiet", f"--tag={recipe.image}", str(context))
        await must(command, _not_stored(recipe), env={"DOCKER_BUILDKIT": "1"})

    # --- caches -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _work(self, recipe: Recipe) -> Iterator[Path]:
        self._caches[0].mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{recipe.flavour}-", dir=self._caches[0]) as name:
            yield Path(name)

    def _cached(self, recipe: Recipe) -> Path | None:
        return next((path for path in self._places(recipe) if path.is_file()), None)

    def _places(self, recipe: Recipe) -> Sequence[Path]:
        return [folder / f"{recipe.flavour}-{recipe.tag}.tar.zst" for folder in self._caches]

    def _keep(self, recipe: Recipe, tar: Path) -> None:
        """Put the tar into this home's cache and the machine's; nobody is harmed when the second cannot be."""
        ours, shared = self._places(recipe)
        draft = ours.with_suffix(f".{os.getpid()}")
        with tar.open("rb") as source, draft.open("wb") as sink:
            zstandard.ZstdCompressor(level=3, threads=-1).copy_stream(source, sink, size=tar.stat().st_size)
        draft.replace(ours)
        with contextlib.suppress(OSError):
            shared.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            copy = shared.with_suffix(f".{os.getpid()}")
            shutil.copyfile(ours, copy)
            copy.replace(shared)
        _forget(ours, 0.0)
        _forget(shared, _FORGOTTEN_S)


def _forget(kept: Path, after_s: float) -> None:
    """Remove what an older recipe of the same flavour made, once it is that old."""
    flavour = kept.name.rpartition("-")[0]
    for path in kept.parent.glob(f"{flavour}-*.tar.zst"):
        with contextlib.suppress(OSError):
            same = path.name.rpartition("-")[0] == flavour and path != kept
            if same and time.time() - path.stat().st_mtime >= after_s:
                path.unlink()


def _unpack(packed: Path, target: Path) -> Path:
    with packed.open("rb") as source, target.open("wb") as sink:
        zstandard.ZstdDecompressor().copy_stream(source, sink)
    return target


def _not_stored(recipe: Recipe) -> str:
    return f"base image '{recipe.flavour}' could not be put into the engine's store"
