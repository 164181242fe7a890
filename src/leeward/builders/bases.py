"""Has the base images in the engine's store: from a cache, a registry, or made here from signed packages."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import tarfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import zstandard

from leeward.builders import bootstrap, node_files, rootfs
from leeward.builders.command import last_words, must
from leeward.builders.newer import Newer
from leeward.builders.process import output
from leeward.builders.recipes import RECIPES, Recipe, tags
from leeward.builders.scratch import scratch, sweep
from leeward.errors import BuildFailed, NotFound
from leeward.model.image import Base, BaseMark, Upgrade
from leeward.plan.rebase import abi, content, labels
from leeward.plan.rebase import mark as mark_of
from leeward.ports import Say
from leeward.settings import Settings

__all__ = ["Bases", "tags"]

# Shared by all homes of this machine, so that a second installation or a test makes nothing again.
MACHINE_CACHE = Path("/var/cache/leeward/bases")
# A bootstrap is bound by the CPU: more at once than this are not faster.
_AT_ONCE = 2
STATUS = "/var/lib/dpkg/status"
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
        self._newer = Newer(settings)
        self._swept = False

    async def ensure(self, flavours: Iterable[str], say: Say) -> None:
        """Have the images of these flavours; callers at the same time share one making. Raises BuildFailed."""
        if not self._swept:
            for folder in await asyncio.to_thread(self.sweep):
                say(f"'{folder}' was left by a death and stays: something is mounted in it, see `findmnt`")
        tasks = [self._task(RECIPES[flavour], say) for flavour in dict.fromkeys(flavours)]
        if tasks:
            await asyncio.gather(*(asyncio.shield(task) for task in tasks))

    async def present(self, flavour: str) -> Base:
        """The base as new builds get it, made when it is missing. Raises BuildFailed, NotFound."""
        recipe = _recipe(flavour)
        await self.ensure([flavour], lambda line: None)
        return self._base(recipe, await self._mark(recipe.image) or BaseMark(flavour, recipe.tag))

    async def contents(self, flavours: Iterable[str]) -> Mapping[str, str]:
        """What bases that are here are made of, by flavour."""
        marks = {flavour: await self._mark(RECIPES[flavour].image) for flavour in sorted(set(flavours))}
        return {flavour: mark.content for flavour, mark in marks.items() if mark and mark.content}

    async def newer(self, flavour: str) -> Sequence[Upgrade]:
        """The packages of the base that its mirror has newer. Raises BuildFailed, NotFound."""
        recipe = _recipe(flavour)
        if self._settings.base_registry:
            return ()
        if recipe.parent:
            return await self.newer(recipe.parent)
        await self.ensure([flavour], lambda line: None)
        return await self._newer.than(recipe.suite, await self._status(recipe.image))

    async def fresh(self, flavour: str, say: Say) -> Base:
        """The base with the newest packages; made when there are newer ones. Callers at the same time share it."""
        recipe = _recipe(flavour)
        await asyncio.shield(self._task(recipe, say, anew=True))
        return await self.present(flavour)

    async def point(self, flavour: str, content: str) -> bool:
        """Let new builds get this content, which was made before; False when it is no longer there."""
        recipe = _recipe(flavour)
        code, _ = await output((*self._docker, "tag", f"{recipe.image}-{content}", recipe.image))
        return code == 0

    async def take(self, flavour: str, tar: Path) -> Base:
        """Make this root file system the base's content from now on. Raises BuildFailed, NotFound."""
        recipe = _recipe(flavour)
        await self._import(recipe, tar)
        return await self.present(flavour)

    async def close(self) -> None:
        """End what is being made."""
        for task in tuple(self._making.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, BuildFailed):
                await task

    def _task(self, recipe: Recipe, say: Say, *, anew: bool = False) -> asyncio.Task[None]:
        key = f"{recipe.flavour} anew" if anew else recipe.flavour
        task = self._making.get(key)
        if task is None:
            task = asyncio.create_task(self._renew(recipe, say) if anew else self._have(recipe, say))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        else:
            say(f"waiting for base image {recipe.flavour}")
        return task

    async def _have(self, recipe: Recipe, say: Say) -> None:
        mark = await self._mark(recipe.image)
        if mark is not None and (mark.content or self._settings.base_registry):
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

    async def _renew(self, recipe: Recipe, say: Say) -> None:
        """Make it anew where that brings newer packages."""
        if self._settings.base_registry:
            await self._pull(recipe, say)
        elif recipe.parent:
            parent = await self.fresh(recipe.parent, say)
            mark = await self._mark(recipe.image)
            if mark is None or mark.content != _upon(parent.mark, recipe):
                await self._make_node(recipe, say)
        elif upgrades := await self.newer(recipe.flavour):
            say(f"making base image {recipe.flavour} anew: {len(upgrades)} newer, like {upgrades[0]}")
            with self._work(recipe) as work:
                async with self._slots:
                    tar = await bootstrap.make(recipe, self._settings, work, say)
                await self._import(recipe, tar)
                await asyncio.to_thread(self._keep, recipe, tar)

    async def _mark(self, image: str) -> BaseMark | None:
        """What the labels of a base image say; None when it is not there."""
        code, text = await output((*self._docker, "image", "inspect", "--format", "{{json .Config.Labels}}", image))
        return None if code else mark_of(json.loads(text) or {})

    def _base(self, recipe: Recipe, mark: BaseMark) -> Base:
        return Base(mark, f"{recipe.image}-{mark.content}" if mark.content else recipe.image)

    async def _status(self, image: str) -> str:
        """The dpkg status in an image. Raises BuildFailed."""
        code, id = await output((*self._docker, "create", image, "true"))
        with scratch(self._folder(), "status-") as folder:
            file = folder / "status"
            try:
                copied, text = await output((*self._docker, "cp", f"{id}:{STATUS}", str(file)))
                if code or copied:
                    raise BuildFailed(f"the packages of '{image}' could not be read: {last_words((id, text))}")
                return file.read_text(errors="replace")
            finally:
                await output((*self._docker, "rm", id))

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
            tar = await bootstrap.make(recipe, self._settings, work, say)
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
        status = await asyncio.to_thread(_status_in, tar)
        mark = BaseMark(recipe.flavour, recipe.tag, content(status), abi(status))
        lines = rootfs.config_changes(recipe.flavour, labels(mark))
        changes = [part for change in lines for part in ("--change", change)]
        base = self._base(recipe, mark)
        await must((*self._docker, "import", *changes, str(tar), base.image), _not_stored(recipe))
        await self._current(recipe, base)

    async def _layer(self, recipe: Recipe, context: Path) -> None:
        parent = await self.present(recipe.parent or "")
        upon = _upon(parent.mark, recipe)
        mark = BaseMark(recipe.flavour, recipe.tag, upon, parent.mark.abi, parent.mark.layers + 1)
        base = self._base(recipe, mark)
        lines = (f"FROM {parent.image}", "ADD node.tar /", *rootfs.label_lines(labels(mark)), "")
        (context / "Dockerfile").write_text("\n".join(lines))
        command = (*self._docker, "build", "--quiet", f"--tag={base.image}", str(context))
        await must(command, _not_stored(recipe), env={"DOCKER_BUILDKIT": "1"})
        await self._current(recipe, base)

    async def _current(self, recipe: Recipe, base: Base) -> None:
        """New builds get this one; of the others only the one before is kept, for an undo."""
        former = await self._mark(recipe.image)
        _, old = await output((*self._docker, "image", "inspect", "--format", "{{.Id}}", recipe.image))
        await must((*self._docker, "tag", base.image, recipe.image), _not_stored(recipe))
        if former and not former.content:
            # Made before bases had a digest: nothing names it any more.
            await output((*self._docker, "rmi", old))
        kept = {base.mark.content, former.content if former else ""}
        _, text = await output((*self._docker, "images", "--format", "{{.Tag}}", recipe.image.rpartition(":")[0]))
        for tag in text.split():
            if tag.startswith(f"{recipe.tag}-") and tag.partition("-")[2] not in kept:
                await output((*self._docker, "rmi", f"{recipe.image.rpartition(':')[0]}:{tag}"))

    # --- caches -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _work(self, recipe: Recipe) -> Iterator[Path]:
        with scratch(self._folder(), f"{recipe.flavour}-") as work:
            yield work

    def sweep(self) -> Sequence[Path]:
        """Remove what a making that was killed left; the folders that stay, since something is mounted in them."""
        self._swept = True
        return sweep(self._caches[0], ("status-", *(f"{flavour}-" for flavour in RECIPES)))

    def _folder(self) -> Path:
        self._caches[0].mkdir(parents=True, exist_ok=True)
        return self._caches[0]

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


def _recipe(flavour: str) -> Recipe:
    if flavour not in RECIPES:
        raise NotFound(
            f"there is no base image '{flavour}'", hint="`lee bases list` shows those in use", code="no-base"
        )
    return RECIPES[flavour]


def _upon(parent: BaseMark, recipe: Recipe) -> str:
    """The content of a base that is one layer of ours on another."""
    return hashlib.sha256(f"{parent.content} {recipe.tag}".encode()).hexdigest()[:12]


def _status_in(tar: Path) -> str:
    with tarfile.open(tar, mode="r:") as archive:
        for name in (f".{STATUS}", STATUS.lstrip("/")):
            with contextlib.suppress(KeyError):
                file = archive.extractfile(name)
                return file.read().decode("utf-8", "replace") if file else ""
    return ""


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
