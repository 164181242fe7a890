"""A PostgreSQL server of its own for tests: on a socket only, gone afterwards."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg


def binaries() -> Path | None:
    """The folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: float(file.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """One server; every test gets a database of its own."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.process = process
        self.made = 0

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    async def database(self) -> str:
        """A new database; its URL."""
        self.made += 1
        connection = await asyncpg.connect(self.url("postgres"))
        await connection.execute(f"CREATE DATABASE t{self.made}")
        await connection.close()
        return self.url(f"t{self.made}")

    async def end_sessions(self, name: str) -> int:
        """Cut off the sessions with this application name, as a network or an operator would."""
        connection = await asyncpg.connect(self.url("postgres"))
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name
        )
        await connection.close()
        return len(ended)


@contextmanager
def server(bin: Path) -> Iterator[Server]:
    """A running server. It refuses to be root, so that it is Debian's `postgres` where we are."""
    folder = Path(tempfile.mkdtemp(prefix="lw-pg-", dir="/tmp"))
    person = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    who = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []} if person else {}
    if person:
        os.chown(folder, person.pw_uid, person.pw_gid)
    process = None
    try:
        data = folder / "data"
        make = (bin / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **who)  # type: ignore[call-overload]
        options = ("-k", folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60")
        log = (folder / "log").open("wb")
        process = subprocess.Popen((bin / "postgres", "-D", data, *options), stdout=log, stderr=log, cwd=folder, **who)
        until = time.monotonic() + 30
        while not (data / "postmaster.pid").is_file() or "ready" not in (data / "postmaster.pid").read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        yield Server(folder, process)
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
