"""A builder around another, out of which no image comes with a secret in it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from leeward.builders.secret_finder import Finder, needles, overlooked
from leeward.builders.secret_log import LogWatch
from leeward.builders.secret_notes import Notes
from leeward.builders.secret_scan import MOST, Leak, Scan, Stopped, made_by
from leeward.errors import BuildFailed, NotFound, Unavailable
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.ports import Builder, BuildJob, Built, Contents, Discards, ImageContent, LayerContent, Probes, Say

# Variables that tools copy into what browsers get.
_PUBLIC = ("NEXT_PUBLIC_", "VITE_", "REACT_APP_", "NUXT_PUBLIC_", "PUBLIC_", "GATSBY_", "EXPO_PUBLIC_", "VUE_APP_")
_SHOWN = 5


class ScanningBuilder:
    """The port Builder: builds with `builder`, then looks through what `contents` has of the image."""

    def __init__(self, builder: Builder, contents: Contents, folder: Path, pushed: Contents | None = None) -> None:
        self._builder, self._contents = builder, contents
        # Where the images are that the builder pushed by itself.
        self._pushed = pushed or contents
        self._notes = Notes(folder)

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """As the builder plans."""
        return self._builder.plan(tree, spec, env, versions)

    async def probe(
        self, tree: Path, spec: AppSpec, env: Mapping[str, str], planned: BuildPlan, say: Say
    ) -> Mapping[str, str]:
        """As the builder finds it out."""
        return await self._builder.probe(tree, spec, env, planned, say) if isinstance(self._builder, Probes) else {}

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build, then scan. Raises BuildFailed, also for a secret in the image or the log."""
        values = {name: job.env[name] for name in sorted(job.secrets) if job.env.get(name)}
        finder = await asyncio.to_thread(lambda: Finder(needles(values)))
        log = LogWatch(finder, say)
        built = await self._builder.build(job, log.line)
        if not values:
            return built
        if unseen := [name for name in overlooked(values)]:
            say(f"note: too short or too common to be looked for in the image: {', '.join(unseen)}")
        leaks = [*log.leaks, *await self._scan(job, built, values, finder, say)]
        if leaks:
            if built.pushed and isinstance(self._pushed, Discards) and not await self._pushed.discard(built.pushed):
                say(f"note: the registry does not let us delete '{built.pushed}': delete it there")
            raise failure(leaks, say)
        return built

    async def _scan(
        self, job: BuildJob, built: Built, values: Mapping[str, str], finder: Finder, say: Say
    ) -> Sequence[Leak]:
        began = time.monotonic()
        marks = await asyncio.to_thread(self._notes.marks, values)
        bases = await self._base_layers((*job.plan.bases, *built.bases))
        async with self._pushed.open(built.pushed) if built.pushed else self._contents.open(built.id) as content:
            makers = made_by(content.config)
            new = [
                (layer, makers[number] if number < len(makers) else "")
                for number, layer in enumerate(content.layers)
                if layer.diff not in bases and not self._notes.clean(layer.diff, marks)
            ]
            scan = await _in_thread(lambda stop: self._look(content, new, finder, marks, stop))
        if scan.unread:
            some = ", ".join(list(scan.unread)[:_SHOWN])
            say(f"note: {len(scan.unread)} packed files could not be opened to look for secrets: {some}")
        if new:
            say(f"looked for {len(values)} secrets in {len(new)} layers, {time.monotonic() - began:.1f} s")
        return list(scan.leaks)

    def _look(
        self,
        content: ImageContent,
        new: Sequence[tuple[LayerContent, str]],
        finder: Finder,
        marks: frozenset[str],
        stop: threading.Event,
    ) -> Scan:
        scan = Scan(finder, stop)
        scan.config(content.config)
        for layer, maker in new:
            before = len(scan.leaks)
            scan.layer(layer.read(), maker)
            if len(scan.leaks) == before and before < MOST:
                self._notes.remember(layer.diff, marks)
        self._notes.sweep()
        return scan

    async def _base_layers(self, names: Iterable[str]) -> frozenset[str]:
        """The layers of the base images that are ours: no secret of an app has ever been near them."""
        layers: set[str] = set()
        for name in dict.fromkeys(names):
            with contextlib.suppress(NotFound):
                async with self._contents.open(name) as content:
                    layers.update(layer.diff for layer in content.layers)
        return frozenset(layers)


def failure(leaks: Sequence[Leak], say: Say) -> BuildFailed:
    """The failure, told with names and places, never with values."""
    for leak in leaks[:MOST]:
        say(f"secret: the value of '{leak.name}' is in {leak.place}")
    first = leaks[0]
    more = f", and in {len(leaks) - 1} more places" if len(leaks) > 1 else ""
    if first.name.startswith(_PUBLIC):
        hint = f"'{first.name}' is meant for browsers: set it without --secret"
    else:
        hint = (
            f"mount it where it is needed with 'RUN --mount=type=secret,id={first.name}' and write it nowhere, "
            "or set it without --secret if it is none; then change the secret"
        )
    return BuildFailed(f"the secret '{first.name}' is in {first.place}{more}", hint=hint, code="secret-in-image")


async def _in_thread(work: Callable[[threading.Event], Scan]) -> Scan:
    """Do blocking work that looks at a stop sign; cancelling waits until it has seen it."""
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        with contextlib.suppress(Stopped, Unavailable):
            await task
        raise
