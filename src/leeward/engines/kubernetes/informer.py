"""Know all objects of one kind, without asking twice: list once, then watch.

The watch goes on from the last version that was seen, also after the server was away or killed; only when the server
has forgotten that version is everything listed again.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from sys import intern
from typing import Any, Generic, TypeVar

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.failures import Gone, failure
from leeward.engines.kubernetes.kinds import Kind
from leeward.engines.loop import forever
from leeward.errors import Forbidden, LeewardError, NotFound, Unavailable

_log = logging.getLogger("leeward.engine")

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace and name."""

_PAGE = 500
# A list that is given up begins at its first page again: a busy server would never get to the end of a long one.
_PAGE_S = 60.0
# The server ends a watch after this; not all of them at once.
_WATCH_S = 300
# A kind that the cluster does not have may be installed at any time.
_ABSENT_S = 60.0
_PARTIAL = "application/json;as=PartialObjectMetadata{list};g=meta.k8s.io;v=v1"


class Informer(Generic[T]):
    """The objects of one kind that match, each read into a value; `told` hears of each change, old and new."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        read: Callable[[Mapping[str, Any]], T | None],
        told: Callable[[Key, T | None, T | None], None],
        *,
        match: Mapping[str, str] | None = None,
        partial: bool = False,
        optional: bool = False,
        quiet: bool = True,
    ) -> None:
        self.kind = kind
        self.items: dict[Key, T] = {}
        self.synced = asyncio.Event()
        self.outcome = asyncio.Event()
        """Whether there is anything to say yet: listed once, or failed to."""
        self.failed: LeewardError | None = None
        """Why it was never listed."""
        self.absent = False
        """Whether the cluster has no such kind, or does not let us see it."""
        self.lists = 0
        self.watches = 0
        self._versions: dict[Key, int] = {}
        self._cluster = cluster
        self._read = read
        self._told = told
        self._match = dict(match or {})
        self._partial = partial
        self._optional = optional
        self._quiet = quiet
        self._version = ""

    async def run(self) -> None:
        """Follow until cancelled."""
        name = f"watch of {self.kind.plural} in region '{self._cluster.region}'"
        await forever(name, self._follow, quiet=self._quiet)

    async def _follow(self) -> None:
        try:
            if not self._version:
                await self._list()
            await self._watch()
        except Gone:
            self._version = ""
        except (Forbidden, NotFound) as error:
            if not self._optional:
                self.failed = self.failed or error
                raise
            self._lack(error)
            await asyncio.sleep(_ABSENT_S)
        except LeewardError as error:
            self.failed = error
            raise
        finally:
            self.outcome.set()

    def _lack(self, error: LeewardError) -> None:
        """Do without a kind that is not there, or may not be seen."""
        if not self.absent:
            _log.info("%s", error.message)
        self.absent = True
        self._version = ""
        if isinstance(error, NotFound):
            # With a kind all its objects go.
            for key in list(self.items):
                self.drop(key)
        self.synced.set()
        self.outcome.set()

    def put(self, shown: Mapping[str, Any]) -> None:
        """Take an object that the server just gave us for something else, unless a newer one is known."""
        meta = shown["metadata"]
        key = (intern(meta.get("namespace", "")), meta["name"])
        version = _int(meta.get("resourceVersion"))
        if version >= self._versions.get(key, 0):
            self._take(key, shown, version)

    def drop(self, key: Key) -> None:
        """Forget an object that we have just deleted."""
        self._versions.pop(key, None)
        before = self.items.pop(key, None)
        if before is not None:
            self._told(key, before, None)

    # --- looking ------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        """Every page is read and let go of before the next: all objects of a large cluster at once fill the memory."""
        found: set[Key] = set()
        params = {**self._match, "limit": str(_PAGE)}
        accept = _PARTIAL.format(list="List") if self._partial else "application/json"
        what = f"list of {self.kind.plural}"
        while True:
            page = await self._cluster.ask(
                "GET", self.kind.path(), what=what, params=params, accept=accept, seconds=_PAGE_S
            )
            for item in page.get("items") or ():
                key = (intern(item["metadata"].get("namespace", "")), item["metadata"]["name"])
                found.add(key)
                self._take(key, item, _int(item["metadata"].get("resourceVersion")))
            if not (more := page["metadata"].get("continue")):
                break
            params["continue"] = more
        self.lists += 1
        for key in [key for key in self.items if key not in found]:
            self.drop(key)
        self._version = page["metadata"].get("resourceVersion", "")
        self.failed = None
        self.synced.set()
        self.outcome.set()

    async def _watch(self) -> None:
        """One watch, until it ends. One that had begun and broke off ends as well: the next goes on from there."""
        began = False
        params = {
            **self._match,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_S),
        }
        accept = _PARTIAL.format(list="") if self._partial else "application/json"
        try:
            async with self._cluster.lines(self.kind.path(), f"watch of {self.kind.plural}", params, accept) as lines:
                began = True
                self.absent = False
                self.watches += 1
                async for line in lines:
                    self._happened(json.loads(line))
        except Gone:
            raise
        except Unavailable as error:
            if not began:
                raise
            _log.info("%s", error.message)
        except ValueError as error:
            raise Unavailable(f"a watch of {self.kind.plural} broke off in the middle of a line") from error

    def _happened(self, event: Mapping[str, Any]) -> None:
        shown = event["object"]
        if event["type"] == "ERROR":
            raise failure(int(shown.get("code") or 500), shown, self._cluster.region, f"watch of {self.kind.plural}")
        meta = shown["metadata"]
        self._version = meta["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        key = (intern(meta.get("namespace", "")), meta["name"])
        version = _int(meta["resourceVersion"])
        if event["type"] == "DELETED":
            # Not when a newer one of that name is known already.
            if version >= self._versions.get(key, 0):
                self.drop(key)
        elif version >= self._versions.get(key, 0):
            self._take(key, shown, version)

    def _take(self, key: Key, shown: Mapping[str, Any], version: int) -> None:
        value = self._read(shown)
        if value is None:
            self.drop(key)
            return
        before = self.items.get(key)
        self._versions[key] = version
        self.items[key] = value
        if before != value:
            self._told(key, before, value)


def _int(version: str | None) -> int:
    return int(version) if version and version.isdigit() else 0
