"""One platform for all end-to-end tests of a run."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import NUMBER, Platform

HOME = Path(f"/var/lib/leeward-e2e{NUMBER or ''}")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A platform with the examples live; removed afterwards, unless LEEWARD_E2E_KEEP is set."""
    if os.geteuid() != 0 or shutil.which("dockerd", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("a whole platform needs root and Docker Engine on this machine")
    home = Platform(HOME)
    keep = bool(os.environ.get("LEEWARD_E2E_KEEP"))
    if not keep:
        home.purge()
    home.up()
    yield home
    if not keep:
        home.purge()
