"""What Leeward remembers, in its own words."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from leeward.model.access import Token, User
from leeward.model.event import Event
from leeward.model.image import BaseState, ImageFacts, LayerPackages, Standing
from leeward.model.login import Login
from leeward.model.region import Region
from leeward.model.release import Deploy, Receipt, Release, Step
from leeward.model.run import Mark, Run
from leeward.model.runtime import LogLine
from leeward.model.secret import Env
from leeward.model.wish import App
from leeward.ports.files import FileStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` is the cursor of the following part, '' at the end."""

    items: tuple[T, ...]
    next: str = ""


async def every(page: Callable[[str], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    """Every item of a list: `page` gives the part after a cursor, from '' on."""
    cursor = ""
    while True:
        found = await page(cursor)
        for item in found.items:
            yield item
        cursor = found.next
        if not cursor:
            return


async def every_app(apps: "AppStore") -> AsyncIterator[App]:
    """All apps by name, also those that are being taken down."""
    async for app in every(lambda cursor: apps.list(after=cursor, limit=500, deleted=True)):
        yield app


class AppStore(Protocol):
    """Wishes."""

    async def create(self, app: App) -> None:
        """Add an app. Raises Conflict when the name, or one of its hosts, is taken."""
        ...

    async def get(self, name: str) -> App:
        """Raises NotFound (with a did-you-mean) when there is none."""
        ...

    async def find(self, name: str) -> App | None: ...

    async def list(self, after: str = "", limit: int = 50, deleted: bool = False, part: str = "") -> Page[App]:
        """By name, after the cursor `after`; `deleted` adds those that are being taken down; only with `part` in it."""
        ...

    async def update(self, name: str, change: Callable[[App], App]) -> App:
        """Read, change, write in one transaction; the new value. Raises NotFound, Conflict when a host is another's."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the row and everything that belongs to it (releases, env, deploys; not events)."""
        ...

    async def env(self, name: str) -> Env:
        """The variables set by `lee env set`, by key."""
        ...

    async def set_env(self, name: str, put: Env, remove: Sequence[str] = (), *, replace: bool = False) -> Env:
        """Add, change and remove variables at once (`replace` drops all others); all that are set afterwards."""
        ...


class ReleaseStore(Protocol):
    """Releases; never changed once added."""

    async def add(self, release: Release) -> Release:
        """Store with the next number of its app (its own `number` is ignored); once for each `deploy` id."""
        ...

    async def get(self, app: str, number: int) -> Release:
        """Raises NotFound."""
        ...

    async def list(self, app: str, before: int = 0, limit: int = 50) -> Page[Release]:
        """Newest first, below number `before` (0: from the top)."""
        ...


class DeployStore(Protocol):
    """Deploys: a queue with one running deploy for each app, leases and fencing."""

    async def create(self, deploy: Deploy) -> Deploy:
        """Queue it. A queued (not running) older deploy of the same app and kind becomes SUPERSEDED."""
        ...

    async def get(self, id: str) -> Deploy:
        """With its steps. Raises NotFound."""
        ...

    async def list(self, app: str = "", before: str = "", limit: int = 50) -> Page[Deploy]:
        """Newest first (of all apps when `app` is '')."""
        ...

    async def claim(self, owner: str, now: datetime, lease_s: float) -> Deploy | None:
        """Take the oldest deploy that is queued, or running with a lease that ran out, of an app with no other one
        running; it is RUNNING then. At most one running for each app, by a partial unique index."""
        ...

    async def renew(self, id: str, owner: str, now: datetime, lease_s: float) -> bool:
        """Heartbeat; False when the lease is another's now (stop at once) ."""
        ...

    async def release_leases(self, owner: str) -> None:
        """Let go of everything that is not `owner`'s: the daemon says so at its start, holding the home's lock."""
        ...

    async def save(self, deploy: Deploy, owner: str) -> None:
        """Write phase, carry, release, commit, message, status, error, receipt, ended_at; fenced by `owner`.
        Raises Conflict when the lease is another's."""
        ...

    async def step(self, id: str, step: Step) -> None:
        """Put one line of the timeline (by phase)."""
        ...

    async def cancel(self, id: str) -> Deploy:
        """Ask for the end: a queued deploy is CANCELLED at once, a running one gets `cancel`. Raises NotFound,
        Conflict when it is final."""
        ...

    async def set_receipt(self, id: str, receipt: Receipt) -> None:
        """Write the receipt of a final deploy (the drain ends after it is live). Raises NotFound."""
        ...

    async def active(self) -> Sequence[Deploy]:
        """All that are queued or running."""
        ...


class EventStore(Protocol):
    """What happened; only grows, up to a budget."""

    async def add(self, event: Event) -> Event: ...

    async def list(self, app: str = "", before: int = 0, limit: int = 50) -> Page[Event]:
        """Newest first, below id `before`."""
        ...


class AccessStore(Protocol):
    """People, sessions, tokens."""

    async def put_user(self, user: User) -> None: ...

    async def find_user(self, name: str) -> User | None: ...

    async def users(self) -> Sequence[User]: ...

    async def add_session(self, digest: str, user: str, expires_at: datetime) -> None: ...

    async def find_session(self, digest: str, now: datetime) -> User | None: ...

    async def end_session(self, digest: str) -> None: ...

    async def add_token(self, token: Token) -> None: ...

    async def find_token(self, digest: str, now: datetime) -> Token | None:
        """A token that is neither revoked nor expired; its last use is noted (at most once a minute)."""
        ...

    async def tokens(self) -> Sequence[Token]: ...

    async def revoke_token(self, id: str, now: datetime) -> None: ...

    async def remember(self, key: str, request_digest: str, answer: str, now: datetime) -> None:
        """Keep the answer to an `Idempotency-Key` for 24 hours."""
        ...

    async def recall(self, key: str, now: datetime) -> tuple[str, str] | None:
        """`(request_digest, answer)`, or None."""
        ...


class LoginStore(Protocol):
    """Logins at foreign registries, by host; their passwords are sealed at rest."""

    async def put(self, login: Login) -> None:
        """Add a login, or change it."""
        ...

    async def find(self, host: str) -> Login | None: ...

    async def list(self) -> Sequence[Login]:
        """All by host."""
        ...

    async def delete(self, host: str) -> None:
        """Raises NotFound."""
        ...


class RegionStore(Protocol):
    """Where apps may run, beside this machine."""

    async def put(self, region: Region) -> None:
        """Add a region, or change it."""
        ...

    async def get(self, name: str) -> Region:
        """Raises NotFound naming the regions that there are."""
        ...

    async def list(self) -> Sequence[Region]:
        """All by name; this machine is not among them."""
        ...

    async def delete(self, name: str) -> None:
        """Forget one. Raises NotFound."""
        ...


class ImageStore(Protocol):
    """What the images of releases are made of, and what is known of base images."""

    async def put(self, app: str, number: int, facts: ImageFacts, found: Mapping[str, LayerPackages]) -> None:
        """Keep what the image of a release is, and what its layers say; repeatable."""
        ...

    async def known(self, wanted: Collection[str]) -> frozenset[str]:
        """Those of these layers that were looked into."""
        ...

    async def facts(self, app: str, number: int, reference: str) -> ImageFacts | None:
        """What the image of a release is; None when nobody looked into it."""
        ...

    async def packages(self, wanted: Sequence[str]) -> Sequence[LayerPackages]:
        """What each of these layers says, in their order; nothing for one that is not known."""
        ...

    async def find(self, name: str) -> Sequence[tuple[str, int]]:
        """The live releases that have a layer which speaks of a package with this name; `*` stands for any text.

        A layer above may have taken the package away again.
        """
        ...

    async def live(self) -> Sequence[Standing]:
        """Every app with a live release, by name, with the base that its image stands on."""
        ...

    async def bases(self) -> Mapping[str, BaseState]:
        """What is known of each base, by flavour."""
        ...

    async def put_base(self, state: BaseState) -> None:
        """Keep what is known of a base."""
        ...

    async def sweep(self, keep: int) -> None:
        """Forget the images of releases but the last `keep` of each app and the live one, and layers that none has."""
        ...


class RunStore(Protocol):
    """What processes with a schedule did, and since when each schedule counts."""

    async def put(self, run: Run, keep: int) -> None:
        """Add a run, or change it; of its process only the last `keep` stay. One that ended stays as it is."""
        ...

    async def cancel(self, app: str, id: str, why: str) -> Run:
        """Have a run end, for this reason; the first one stays. Raises NotFound."""
        ...

    async def get(self, app: str, id: str) -> Run:
        """Raises NotFound."""
        ...

    async def list(self, app: str, process: str = "", before: float = 0.0, limit: int = 50) -> Page[Run]:
        """Newest first, those that were due before `before` (Unix seconds; 0: from the top)."""
        ...

    async def known(self, app: str) -> Sequence[Run]:
        """All of one app."""
        ...

    async def going_on(self) -> frozenset[str]:
        """The apps of which a run has not ended."""
        ...

    async def marks(self, app: str) -> Sequence[Mark]:
        """Since when each schedule of an app counts."""
        ...

    async def put_mark(self, mark: Mark) -> None:
        """Let a schedule count since then."""
        ...

    async def drop_mark(self, mark: Mark) -> None:
        """Let a schedule count no more."""
        ...


class LogStore(Protocol):
    """Lines that processes and builds printed; within a byte budget for each app."""

    async def append(self, app: str, lines: Sequence[LogLine]) -> None:
        """Keep lines; a crash right after loses none."""
        ...

    async def tail(
        self, app: str, limit: int = 100, source: str = "", process: str = "", search: str = "", before: float = 0.0
    ) -> Sequence[LogLine]:
        """The last lines, oldest first; `source` is an instance or a build (`build/<deploy id>`); without a source
        the builds' lines are left out."""
        ...

    def follow(self, app: str, source: str = "", process: str = "") -> AsyncIterator[LogLine]:
        """Lines from now on, as they come. Endless; a slow reader loses the oldest."""
        ...

    async def last_at(self, app: str, source: str) -> float:
        """Unix seconds of the newest line of a source, 0.0 when there is none."""
        ...

    async def forget(self, app: str) -> None: ...

    async def sweep(self, budget_bytes: int) -> int:
        """Delete the oldest blocks until each app is within the budget; bytes that were freed."""
        ...


class SampleStore(Protocol):
    """Numbers over time."""

    async def record(self, at: float, samples: Mapping[str, float]) -> None:
        """Keep one value for each series; a series is `app/process/instance/metric`."""
        ...

    async def series(
        self, prefix: str, since: float, until: float, step_s: float
    ) -> Mapping[str, Sequence[tuple[float, float]]]:
        """Averages in steps, for each series whose name begins with `prefix`."""
        ...

    async def sweep(self, before: float) -> None: ...


class Notices(Protocol):
    """Pokes inside one control plane: a lost one costs time and nothing else."""

    def publish(self, topic: str) -> None:
        """`app/<name>`, `deploy/<id>`, `events`."""
        ...

    def subscribe(self, *prefixes: str) -> AsyncIterator[str]:
        """Topics that begin with one of the prefixes, from now on; merged when the reader is slow."""
        ...


@dataclass(frozen=True, slots=True)
class Stores:
    """Every store, as the daemon hands them out."""

    apps: AppStore
    releases: ReleaseStore
    deploys: DeployStore
    events: EventStore
    access: AccessStore
    regions: RegionStore
    logins: LoginStore
    images: ImageStore
    runs: RunStore
    logs: LogStore
    samples: SampleStore
    notices: Notices
    files: FileStore | None = None
    """None where the home's own folder is all there is."""
