"""Keeps images in an OCI registry."""

import asyncio
import contextlib
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from leeward.errors import FetchFailed, PushFailed, RolloutFailed, Unavailable
from leeward.model.image import BaseMark, Held, ImageFacts, LayerPackages
from leeward.model.login import FindLogin, Login, host_of
from leeward.plan.rebase import mark
from leeward.registry import embedded
from leeward.registry.asked import Asked
from leeward.registry.blobs import Away, Refused, Stopped
from leeward.registry.compose import Composer, NotRebasable, notes
from leeward.registry.embedded import argv, prepare
from leeward.registry.gc import Local, names_to_remove
from leeward.registry.held import held
from leeward.registry.images import Image, Images, PullFailed
from leeward.registry.layers import Store, Unreadable
from leeward.registry.packages import scan
from leeward.registry.push import Pusher
from leeward.registry.sweep import Sweep
from leeward.settings import MIB, Settings

__all__ = ["OciRegistry", "argv", "prepare"]

# A deploy pushes first and makes its release afterwards: what is younger than this may be its.
GRACE_S = 3600.0
# How registries and the engine say that they want a login, or a better one.
_REFUSED = re.compile(
    r"unauthorized|authentication required|no basic auth credentials|access denied|denied:|forbidden", re.I
)
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
# The builder's word that nothing in the image depends on the dates of its files.
_PLANNED = "leeward.planned"


class OciRegistry:
    """The port Registry, on the embedded registry or any other."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float] = time.time,
        grace_s: float = GRACE_S,
        login: FindLogin | None = None,
    ) -> None:
        self._settings = settings
        self._login = login
        self._now, self._grace_s = now, grace_s
        self._images = Images(settings.docker_socket)
        self._asked = Asked(settings, login)
        self._memory = embedded.root(settings) / "layers"
        self._where: tuple[Path, str] | None = None
        self._pushing = 0
        self._turn = asyncio.Condition()

    async def push(self, image_id: str, app: str, tag: str) -> str:
        """Push what the registry lacks; the reference by digest, `host/app@sha256:…`. Raises PushFailed."""
        async with self._pushes():
            image = await self._images.find(image_id)
            if image is None:
                raise PushFailed(f"image '{image_id[:19]}' is not on this machine", hint="build it again")
            return await self._push(await self._settled(image), app, tag)

    async def adopt(self, reference: str, app: str, tag: str) -> str:
        """Name an image by a tag that its builder pushed already; its reference by digest. Raises PushFailed."""
        async with self._pushes():
            return await self._asked.tag(reference, tag)

    async def publish(self, image: str) -> None:
        """Have an image of the engine's store in the registry under its own name; repeatable. Raises PushFailed."""
        repository, _, tag = _split(image)
        async with self._pushes():
            if await self._asked.has(f"{self._settings.registry}/{image}"):
                return
            found = await self._images.find(image)
            if found is None:
                raise PushFailed(f"image '{image}' is not on this machine", hint="build again: it is made anew")
            name = f"{self._settings.registry}/{repository}"
            await self._images.tag(found.id, name, tag)
            try:
                await self._send(found.id, repository, tag)
            finally:
                # The base keeps its own name here.
                await self._images.untag(f"{name}:{tag}")

    async def size(self, reference: str) -> int:
        """The bytes of a pushed image as they travel. Raises PushFailed when it is not there."""
        return await self._asked.size(reference)

    async def pin(self, image: str, app: str, tag: str) -> str:
        """Take a foreign image in, and give its reference by digest. Raises FetchFailed."""
        self._check_foreign(image, app)
        repository, _, name = _split(image)
        host = host_of(image)
        login = await self._login(host) if self._login else None
        try:
            await self._images.pull(repository, name, login)
        except PullFailed as error:
            found = await self._images.find(image)
            if found is None or _REFUSED.search(str(error)):
                raise _not_pulled(image, host, login, str(error)) from error
        found = await self._images.find(image)
        if found is None:
            raise FetchFailed(f"the image '{image}' could not be pulled", hint="check its name")
        owner = found.labels.get("leeward.app", app)
        if owner != app and found.labels.get("leeward.home") == str(self._settings.home):
            raise FetchFailed(f"the image '{image}' belongs to another app", hint="deploy an image of your own")
        async with self._pushes():
            return await self._push(found, app, tag)

    async def ensure(self, reference: str) -> None:
        """Have the image in the engine's store, from the registry if need be. Raises RolloutFailed."""
        if await self._images.find(reference) is not None:
            return
        repository, _, name = _split(reference)
        try:
            await self._images.pull(repository, name)
        except PullFailed as error:
            raise RolloutFailed(
                f"the image '{reference}' could not be pulled: {error}",
                hint="deploy again: the image is built and pushed anew",
            ) from error

    async def describe(self, reference: str) -> ImageFacts:
        """The layers of an image, and the base that it stands on. Raises RolloutFailed when nobody has it."""
        image = await self._had(reference)
        return ImageFacts(reference, image.layers, image.arch, mark(image.labels))

    async def contents(self, reference: str, known: frozenset[str] = frozenset()) -> Mapping[str, LayerPackages]:
        """What each layer that is not known yet says of packages. Raises RolloutFailed when nobody has the image."""
        image = await self._had(reference)
        store = await self._store()
        if store is None:
            return {}
        try:
            return await asyncio.to_thread(
                lambda: {
                    layer.diff: scan(layer) for layer in store.layers(store.config(image.id)) if layer.diff not in known
                }
            )
        except Unreadable:
            return {}

    async def rebase(self, reference: str, app: str, tag: str, base: str, onto: BaseMark) -> str:
        """The image with the layers of the image `base` below it, pushed; its reference. Raises PushFailed."""
        image, lower = await self._had(reference), await self._images.find(base)
        if lower is None:
            raise PushFailed(f"base image '{base}' is not on this machine", hint="rebase again: it is made anew")
        store = await self._store()
        if store is None:
            raise PushFailed("this engine's store cannot be read, so nothing is rebased", hint="deploy again instead")

        def compose(stop: threading.Event) -> str:
            composer = Composer(self._settings.docker_socket, store, self._memory, stop)
            return composer.rebase(image.id, lower.id, onto.layers)

        async with self._pushes():
            try:
                made = await self._images.find(await _in_thread(compose))
            except NotRebasable as error:
                raise PushFailed(str(error), hint="deploy it again to build it on the new base") from error
            except (Unreadable, Refused) as error:
                raise PushFailed(f"the image could not be put on another base: {error}") from error
            assert made is not None
            return await self._push(made, app, tag)

    async def held(self) -> Sequence[Held]:
        """Every image of ours that is kept, and what it weighs; nothing where the registry is not the embedded one."""
        store = await self._store()
        if store is None or not self._settings.registry_embedded:
            return ()
        data = embedded.data(self._settings)
        return await asyncio.to_thread(lambda: tuple(held(data, store, self._settings.registry)))

    async def forget(self, app: str) -> None:
        """Remove every name of the images of an app that is gone; repeatable. Their bytes go when it is collected."""
        repository = f"{self._settings.registry}/{app}"
        async with self._alone():
            for image in await self._images.list():
                for name in (*image.tags, *image.digests):
                    if _split(name)[0] == repository:
                        await self._images.untag(name)
            if self._settings.registry_embedded:
                folder = embedded.data(self._settings) / "repositories" / app
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def collect(self, keep: Mapping[str, frozenset[str]]) -> int:
        """Remove every image of ours but those kept; bytes that were freed."""
        async with self._alone():
            await self._collect_nameless()
            freed = await self._collect_local(keep)
            if self._settings.registry_embedded:
                sweep = Sweep(embedded.data(self._settings), self._memory, self._now(), self._grace_s)
                freed += await asyncio.to_thread(sweep.run, keep)
        return freed + await self._images.prune_build_cache(self._settings.build_cache_mib * MIB)

    async def _had(self, reference: str) -> Image:
        await self.ensure(reference)
        image = await self._images.find(reference)
        if image is None:
            raise RolloutFailed(f"the image '{reference}' is gone", hint="deploy again")
        return image

    async def _store(self) -> Store | None:
        """The engine's store, None where it is not laid out as we know it."""
        if self._where is None:
            # The engine keeps this for as long as it runs, and its answer takes as long as all the rest of a push.
            self._where = await self._images.data_root()
        root, driver = self._where
        return Store(root) if driver == "overlay2" else None

    async def _settled(self, image: Image) -> Image:
        """The image without the dates of its build, so that the same source is the same digest; else as it is."""
        store = await self._store() if image.labels.get(_PLANNED) else None
        if store is None:
            return image

        def compose(stop: threading.Event) -> str:
            return Composer(self._settings.docker_socket, store, self._memory, stop).settle(image.id)

        try:
            settled = await self._images.find(await _in_thread(compose))
        except (Unreadable, Refused):
            # A layer that cannot be read, or an engine that takes no archive: it is pushed as it was built.
            return image
        return settled or image

    async def _push(self, image: Image, app: str, tag: str) -> str:
        repository = f"{self._settings.registry}/{app}"
        await self._images.tag(image.id, repository, tag)
        (notes(self._memory) / image.id.removeprefix("sha256:")).unlink(missing_ok=True)
        reference = f"{repository}@{await self._send(image.id, app, tag)}"
        if reference not in image.digests:
            # Only the manifest travels: the engine has the image by its id, and learns its name by digest.
            try:
                await self._images.pull(repository, reference.rpartition("@")[2])
            except PullFailed as error:
                raise PushFailed(f"the registry does not give back what was pushed: {error}") from error
        return reference

    async def _send(self, id: str, app: str, tag: str) -> str:
        plain = self._settings.plain_registries.replace(" ", "").split(",")
        if self._settings.registry_embedded or self._settings.registry in plain:
            store = await self._store()
            if store is not None:
                pusher = Pusher(self._settings.registry, store, self._memory)
                try:
                    return await _in_thread(lambda stop: pusher.push(id, app, tag, stop))
                except Away as error:
                    raise Unavailable(str(error), hint="it is tried again; see `lee doctor`") from error
                except Refused as error:
                    raise PushFailed(str(error), hint="see that the registry runs: `lee doctor`") from error
                except Unreadable:
                    # Another layout of the store: dockerd pushes by itself, slower.
                    pass
        return await self._send_by_engine(f"{self._settings.registry}/{app}:{tag}")

    async def _send_by_engine(self, name: str) -> str:
        process = await asyncio.create_subprocess_exec(
            str(self._settings.docker_command),
            f"--host=unix://{self._settings.docker_socket}",
            "push",
            name,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = output.decode("utf-8", "replace").strip()
        match = _DIGEST.search(text)
        if process.returncode or match is None:
            raise PushFailed(
                f"'{name}' could not be pushed: {text.splitlines()[-1] if text else 'no answer'}",
                hint="see that the registry answers and that this machine may push to it",
            )
        return match[1]

    async def _collect_local(self, keep: Mapping[str, frozenset[str]]) -> int:
        home, prefix = str(self._settings.home), f"{self._settings.registry}/"
        images = [
            Local(image.id, image.tags, image.digests, image.labels.get("leeward.home") == home, image.created)
            for image in await self._images.list()
        ]
        used = await self._images.used()
        names = names_to_remove(images, prefix, keep, used, self._now(), self._grace_s)
        if names:
            # What was pushed has the date of its source only: it is as old as its name.
            images = [replace(image, made=max(image.made, await self._tagged(image, names))) for image in images]
            names = names_to_remove(images, prefix, keep, used, self._now(), self._grace_s)
        if not names:
            return 0
        before = await self._images.layers_size()
        for name in names:
            await self._images.untag(name)
        return max(0, before - await self._images.layers_size())

    async def _collect_nameless(self) -> None:
        """Images that were made here by a control plane that died before they had a name."""
        folder = notes(self._memory)
        for note in tuple(folder.iterdir()) if folder.is_dir() else ():
            if self._now() - note.stat().st_mtime < self._grace_s:
                continue
            image = await self._images.find(f"sha256:{note.name}")
            if image is not None and not image.tags and not image.digests:
                await self._images.untag(image.id)
            note.unlink(missing_ok=True)

    async def _tagged(self, image: Local, names: Collection[str]) -> float:
        if not {image.id, *image.tags, *image.digests}.intersection(names):
            return 0.0
        found = await self._images.find(image.id)
        return found.tagged if found else 0.0

    def _check_foreign(self, image: str, app: str) -> None:
        if re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", image):
            raise FetchFailed(f"'{image}' is not the name of an image", hint="write it like 'nginx:1.27'")
        prefix = f"{self._settings.registry}/"
        if image.startswith(prefix) and _split(image)[0] != f"{prefix}{app}":
            raise FetchFailed(f"the image '{image}' belongs to another app", hint="deploy an image of your own")

    @contextlib.asynccontextmanager
    async def _pushes(self) -> AsyncIterator[None]:
        async with self._turn:
            self._pushing += 1
        try:
            yield
        finally:
            async with self._turn:
                self._pushing -= 1
                self._turn.notify_all()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """No push begins or goes on meanwhile."""
        async with self._turn:
            await self._turn.wait_for(lambda: self._pushing == 0)
            yield


def _not_pulled(image: str, host: str, login: Login | None, reason: str) -> FetchFailed:
    message = f"the image '{image}' could not be pulled: {reason}"
    if not _REFUSED.search(reason):
        return FetchFailed(message, hint="check its name, and that this machine reaches the registry")
    if login is None:
        hint = f"check its name; if it needs a login: `lee registries add {host} --username NAME`"
        return FetchFailed(message, hint=hint, code="registry-login")
    hint = f"'{login.username}' may not pull it: check the name, or `lee registries add {host}` with a new password"
    return FetchFailed(message, hint=hint, code="registry-login")


async def _in_thread(work: Callable[[threading.Event], str]) -> str:
    """Do blocking work that looks at a stop sign; cancelling waits until it has seen it."""
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        with contextlib.suppress(Stopped, Refused, Unreadable, Unavailable):
            await task
        raise


def _split(reference: str) -> tuple[str, str, str]:
    """Repository, separator, and the tag or digest of a reference."""
    if "@" in reference:
        return reference.partition("@")
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return reference, ":", "latest"
    return repository, ":", tag
