"""What Leeward needs from the world outside, in its own words."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.model.image import Base, BaseMark, Held, ImageFacts, LayerPackages, Upgrade
from leeward.model.region import LOCAL, Examined, Region
from leeward.model.release import SourceRef
from leeward.model.route import Certificate, Route, Traffic
from leeward.model.run import Wanted
from leeward.model.runtime import Observed, Usage, Workload

Say = Callable[[str], None]
"""Takes one line of a build's log; never blocks; secrets are masked behind it."""


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Now, with time zone UTC."""
        ...


# --- source -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """A tree of files on disk: the exact `commit` (40 hex digits; the archive's SHA-256 for an upload)."""

    tree: Path
    commit: str
    message: str = ""


class Source(Protocol):
    """Brings the user's files. Every method may be called again at any time."""

    async def fetch(self, app: str, ref: SourceRef, into: Path, say: Say) -> Fetched:
        """Put the exact tree below `into` (made or emptied first). Raises FetchFailed with the reason and a hint."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """An archive that was sent: `id` names it in a `SourceRef`; `digest` is `sha256:…` of its bytes."""

    id: str
    digest: str


class Uploads(Protocol):
    """Takes archives from users, streamed to disk."""

    async def receive(self, app: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Keep a tar.gz. Raises TooLarge and Invalid; whatever breaks in the middle leaves nothing behind."""
        ...


class GitAnswer(NamedTuple):
    """What git-http-backend said: `body` is a stream that ends when the backend has ended."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: AsyncIterator[bytes]


class Gits(Protocol):
    """The bare repositories that users push to, one for each app; made at the first push."""

    async def serve(
        self, app: str, method: str, path: str, query: str, headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> GitAnswer:
        """One request of git's smart HTTP protocol; `path` is what follows `/git/<app>.git`, as `/info/refs`."""
        ...

    async def heads(self, app: str) -> Mapping[str, str]:
        """Branch name to commit, of everything that was pushed; empty when there is no repository."""
        ...


# --- builder ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BuildJob:
    """One build: the same `key` may be built again and gives the same image."""

    app: str
    key: str
    """The deploy's id; also names the build's cgroup, temporary files and log."""
    tree: Path
    plan: BuildPlan
    env: Mapping[str, str]
    """Variables that a build may see by name (the plan's `build_secrets` only)."""
    secrets: frozenset[str] = frozenset()
    """Names of variables whose values must be nowhere in the image or the log."""
    region: str = LOCAL
    """Where the app runs: its region says where it is built."""


@dataclass(frozen=True, slots=True)
class Built:
    """A finished image in the engine's own store: `id` is `sha256:…`; `command` its own start command."""

    id: str
    size_bytes: int
    cached: bool = False
    bases: tuple[str, ...] = ()
    """Names of our base images that it stands on, beside those of the plan."""
    pushed: str = ""
    """Its reference by digest where the builder pushed it itself; then it is in no engine's store."""


class Builder(Protocol):
    """Turns a tree into an image."""

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """Decide how to build. Reads files only. Raises PlanFailed naming the files it looked for."""
        ...

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build within the bounds. Cancelling the task ends the build and all its processes. Raises BuildFailed."""
        ...


class BuildRoom(Protocol):
    """A BuildKit that works for one build only."""

    address: str
    """Where its client calls it, as `unix:///…`."""
    memory_mib: int
    """What the steps of a build may use together; 0 where that is not known."""

    async def out_of_memory(self) -> bool:
        """Whether a process was ended for want of memory since this build began."""
        ...

    async def out_of_disk(self) -> bool:
        """Whether the BuildKit went away because it wrote too much."""
        ...


class BuildPool(Protocol):
    """BuildKits somewhere else, each for one build at a time."""

    def room(self, app: str, say: Say) -> AbstractAsyncContextManager[BuildRoom]:
        """Wait for one that is free; the same one again for the same app, where that can be. Raises BuildFailed."""
        ...


class Shelf(Protocol):
    """The platform's registry, for builders that push by themselves."""

    async def publish(self, image: str) -> None:
        """Have an image of the engine's store in the registry under its own name; repeatable. Raises PushFailed."""
        ...

    async def size(self, reference: str) -> int:
        """The bytes of a pushed image as they travel. Raises PushFailed when it is not there."""
        ...


@runtime_checkable
class Discards(Protocol):
    """Contents that can also take an image away."""

    async def discard(self, image: str) -> bool:
        """Delete a pushed image; False where the registry does not let us."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a layer: its tar header (names, links, owners, attributes) and its content, read once, in order."""

    path: str
    header: bytes
    chunks: Iterable[bytes] = ()


@dataclass(frozen=True, slots=True)
class LayerContent:
    """A layer: the digest of its tar, and a reader of its files. `read` blocks, and may be called again."""

    diff: str
    read: Callable[[], Iterator[Entry]]


@dataclass(frozen=True, slots=True)
class ImageContent:
    """What an image is made of: its configuration, byte for byte, and its layers from the bottom to the top."""

    config: bytes
    layers: Sequence[LayerContent]


class Contents(Protocol):
    """Looks into the images in the engine's own store."""

    def open(self, image: str) -> AbstractAsyncContextManager[ImageContent]:
        """An image by id or name, for as long as the context lasts. Raises NotFound, Unavailable."""
        ...


@runtime_checkable
class Probes(Protocol):
    """A builder that can find out from the world what files alone do not say."""

    async def probe(
        self, tree: Path, spec: AppSpec, env: Mapping[str, str], planned: BuildPlan, say: Say
    ) -> Mapping[str, str]:
        """Versions to plan with instead of the usual ones; empty when there are none. Bounded in time, never raises."""
        ...


# --- registry ---------------------------------------------------------------------------------------------


class Registry(Protocol):
    """Keeps images."""

    async def push(self, image_id: str, app: str, tag: str) -> str:
        """Push what the registry lacks; the reference by digest, `host/app@sha256:…`. Raises PushFailed."""
        ...

    async def adopt(self, reference: str, app: str, tag: str) -> str:
        """Name an image by a tag that its builder pushed already; its reference by digest. Raises PushFailed."""
        ...

    async def pin(self, image: str, app: str, tag: str) -> str:
        """Take a foreign image (strategy image) in, and give its reference by digest. Raises FetchFailed."""
        ...

    async def ensure(self, reference: str) -> None:
        """Have the image in the engine's store, from the registry if need be. Raises RolloutFailed."""
        ...

    async def describe(self, reference: str) -> ImageFacts:
        """The layers of an image, and the base that it stands on. Raises RolloutFailed when nobody has it."""
        ...

    async def contents(self, reference: str, known: frozenset[str] = frozenset()) -> Mapping[str, LayerPackages]:
        """What each layer that is not `known` says of packages. Raises RolloutFailed when nobody has the image."""
        ...

    async def rebase(self, reference: str, app: str, tag: str, base: str, onto: BaseMark) -> str:
        """Put the layers of the image `base` below those of `reference`, and push that; its reference.

        Raises PushFailed naming what in the image depends on its present base.
        """
        ...

    async def held(self) -> Sequence[Held]:
        """Every image of ours that is kept, and what it weighs; nothing where that cannot be known."""
        ...

    async def forget(self, app: str) -> None:
        """Remove every name of the images of an app that is gone; repeatable. Their bytes go when it is collected."""
        ...

    async def collect(self, keep: Mapping[str, frozenset[str]]) -> int:
        """Remove every image of ours but those kept (app -> digest references); bytes that were freed."""
        ...


class BaseImages(Protocol):
    """The base images that apps stand on."""

    async def present(self, flavour: str) -> Base:
        """The base as new builds get it, made when it is missing. Raises BuildFailed, NotFound."""
        ...

    async def newer(self, flavour: str) -> Sequence[Upgrade]:
        """The packages of the base that its mirror has newer. Raises BuildFailed, NotFound."""
        ...

    async def fresh(self, flavour: str, say: Say) -> Base:
        """The base with the newest packages; made when there are newer ones. Callers at the same time share it."""
        ...

    async def point(self, flavour: str, content: str) -> bool:
        """Let new builds get this content, which was made before; False when it is no longer there."""
        ...


# --- engine -----------------------------------------------------------------------------------------------


class Engine(Protocol):
    """Runs workloads. Every method may be called again at any time."""

    async def run(self) -> None:
        """Watch what runs (health, exits, logs) until cancelled. Started once by the daemon."""
        ...

    async def apply(self, want: Workload, keep: frozenset[int] = frozenset()) -> None:
        """Move toward `want` as far as is safe now; never waits for the end.

        Instances of other generations are drained and stopped, but for those of the generations in `keep`.
        """
        ...

    async def remove(self, app: str, keep: frozenset[str] = frozenset()) -> None:
        """Stop what runs of `app`, but for the processes in `keep`; with none kept its networks go too."""
        ...

    async def observe(self, app: str) -> Observed:
        """Report what runs, whoever started it."""
        ...

    async def apps(self) -> frozenset[str]:
        """The apps of which anything runs."""
        ...

    def changes(self) -> AsyncIterator[str]:
        """The name of an app, each time something about its instances changed. Endless; changes may be merged."""
        ...

    async def usage(self) -> Sequence[Usage]:
        """CPU and memory of every instance, now. Cheap: may be asked every second."""
        ...

    async def exec(self, instance: str, command: Sequence[str]) -> tuple[int, bytes]:
        """Run a command in an instance: exit code and output (both streams, 1 MiB at most, 60 s at most)."""
        ...

    async def run_once(self, want: Workload, command: str, say: Say, timeout_s: float) -> int:
        """Run one command in a fresh instance of `want` (a release command), to its end; its exit code."""
        ...


class Places(Protocol):
    """All regions together, as something that follows wishes and can be asked."""

    async def refresh(self) -> None:
        """Start the engines of new and changed regions, stop those of removed ones. Repeatable."""
        ...

    async def examine(self, region: Region) -> Sequence[Examined]:
        """What is right and wrong with a region, whether or not it was added."""
        ...

    async def leave(self, region: Region) -> None:
        """Take away what is the platform's own in a region that is removed. Raises Unavailable."""
        ...

    def render(self, wants: Iterable[Wanted]) -> Sequence[Mapping[str, Any]]:
        """The objects that workloads are in their region. Raises Invalid where the engine has no objects."""
        ...


# --- edge -------------------------------------------------------------------------------------------------


class Edge(Protocol):
    """Takes requests from the world to instances."""

    async def put(self, route: Route) -> None:
        """Serve this route from now on. Returns when every new request follows it. Drops nothing."""
        ...

    async def drop(self, app: str) -> None:
        """Forget an app."""
        ...

    async def sync(self, routes: Sequence[Route], certificates: Sequence[Certificate]) -> None:
        """Make the whole table equal to this (start-up, resync); repeatable; also saves it for the edge's restart."""
        ...

    async def certify(self, hosts: Sequence[str]) -> None:
        """Have a certificate for each host and serve it."""
        ...

    async def peers(self, app: str) -> frozenset[str]:
        """The `host:port` that requests for `app` go to now, as the edge itself says."""
        ...

    async def waiting(self) -> frozenset[str]:
        """The apps that requests are held for, as their route `wakes`; waits some seconds for the first one."""
        ...

    async def traffic(self) -> Mapping[str, Traffic]:
        """The counters of every app."""
        ...
