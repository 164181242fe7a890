"""What every test may count on."""

import gc
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUICK = (HERE / "unit", HERE / "golden")
MEMORY = Path("/dev/shm")
ROOM = 1024**3
PREFIX = "leeward-tests-"
FORGOTTEN_S = 3600

# A shell that starts the tests in the background has them ignore Ctrl-C, and so every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ("tests.cluster.fixture",)


def pytest_configure(config: pytest.Config) -> None:
    """Tests that need nothing installed have their files in memory: databases flush a thousand times."""
    chosen = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    quick = all(any(path.is_relative_to(folder) for folder in QUICK) for path in chosen)
    if not quick or "TMPDIR" in os.environ or not _roomy(MEMORY):
        return
    for left in MEMORY.glob(f"{PREFIX}*"):
        # Of tests that were killed.
        if time.time() - left.stat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY)
    # Workers are started after this, and find their folders in it.
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = None

    def clean() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["TMPDIR"]
        tempfile.tempdir = None

    config.add_cleanup(clean)


def pytest_collection_finish() -> None:
    """Thousands of tests and modules stay until the end: the collector need not go through them every time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _roomy(folder: Path) -> bool:
    """Whether a folder takes many files, and programs."""
    if not os.access(folder, os.W_OK):
        return False
    place = os.statvfs(folder)
    return place.f_bavail * place.f_frsize > ROOM and not place.f_flag & os.ST_NOEXEC
