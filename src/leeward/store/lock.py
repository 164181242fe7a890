"""Let one control plane own a home."""

import contextlib
import fcntl
import os
from pathlib import Path

from leeward.errors import Conflict, Unavailable


class HomeLock:
    """Held from the making to `release`; the kernel lets go of it when the process dies, however it dies."""

    def __init__(self, home: Path) -> None:
        file = home / "leeward.lock"
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(
                f"'{home}' cannot be used as home: {(error.strerror or str(error)).lower()}",
                hint="run as root, or set LEEWARD_HOME to a folder that you may write",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise Conflict(
                f"a control plane with pid {holder} already owns '{home}'",
                hint="use that one ('lee status'), end it with 'lee down', or set another LEEWARD_HOME",
                code="home-locked",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; repeatable."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1
