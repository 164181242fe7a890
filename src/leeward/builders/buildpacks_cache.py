"""What is kept of an app's buildpacks builds: the previous image, and caches.

A folder belongs to one app and one builder: nothing is shared between apps, as a build may put anything into its own.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from leeward.builders import buildpacks_layout as layout
from leeward.builders import context
from leeward.builders.buildpacks_layout import Exported
from leeward.builders.watch import usage
from leeward.errors import BuildFailed

WORK = "cnb-"
_FORGOTTEN_S = 30 * 86400.0


class AppCache:
    """The folders of one app and one builder."""

    def __init__(self, home: Path, app: str, builder: str, user: int, group: int) -> None:
        self.folder = home / "cnb" / "apps" / app / hashlib.sha256(builder.encode()).hexdigest()[:12]
        self.lifecycle, self.tools = self.folder / "cache", self.folder / "tools"
        self.previous = self.folder / "previous"
        for place in (self.lifecycle, self.tools):
            place.mkdir(parents=True, exist_ok=True)
            os.chown(place, user, group)
        os.utime(self.folder)

    def known(self) -> str:
        """The id of the image that the last build made, '' when there is none."""
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads((self.folder / "previous.json").read_text())["id"])
        return ""

    def remember(self, exported: Exported, id: str) -> None:
        """Keep what the next build needs of this image."""
        draft = self.folder / f"previous.{os.getpid()}"
        layout.keep(exported, draft)
        (self.folder / "previous.json").unlink(missing_ok=True)
        shutil.rmtree(self.previous, ignore_errors=True)
        draft.replace(self.previous)
        (self.folder / "previous.json").write_text(json.dumps({"id": id}))

    def forget(self) -> None:
        """The next build begins anew."""
        shutil.rmtree(self.folder, ignore_errors=True)


def trim(home: Path, budget: int, keep: Path) -> None:
    """Remove what was not used for a month, then what was not used for longest, until all is within the budget."""
    folders = [path for path in (home / "cnb" / "apps").glob("*/*") if path.is_dir()]
    for path in [path for path in folders if path != keep and time.time() - path.stat().st_mtime > _FORGOTTEN_S]:
        shutil.rmtree(path, ignore_errors=True)
        folders.remove(path)
    sizes = {path: usage(path)[0] for path in folders}
    total = sum(sizes.values())
    for path in sorted(folders, key=lambda path: path.stat().st_mtime):
        if total <= budget:
            return
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]


@contextlib.contextmanager
def work(run_dir: Path, working: set[Path]) -> Iterator[Path]:
    """A private folder for one build; gone afterwards."""
    run_dir.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=WORK, dir=run_dir))
    # Its own entry is closed to others; what is mounted from it needs no way through it.
    working.add(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        working.discard(made)


def sweep(run_dir: Path, living: Iterable[Path]) -> None:
    """Remove the folders that a control plane that died has left, with the variables in them."""
    known = frozenset(living)
    for path in run_dir.glob(f"{WORK}*"):
        if path not in known:
            shutil.rmtree(path, ignore_errors=True)


def copy_source(source: Path, target: Path, ignored: frozenset[str], user: int, group: int) -> None:
    """A copy of the app that a build may change. Links stay links; what is neither file, folder nor link stays out."""
    try:
        shutil.copytree(source, target, symlinks=True, ignore=lambda _, names: ignored.intersection(names))
    except shutil.Error as error:
        raise BuildFailed("the source could not be copied", hint="see that it holds files and folders only") from error
    context.settle(target)
    give(target, user, group)


def give(root: Path, user: int, group: int) -> None:
    """Give a folder and all in it to the user that builds; never through a link."""
    os.lchown(root, user, group)
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            os.lchown(os.path.join(place, name), user, group)
