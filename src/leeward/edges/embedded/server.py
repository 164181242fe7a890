"""Prepare nginx on this machine, and say how it is started."""

import os
import pwd
import resource
import shutil
from pathlib import Path

from leeward.edges.embedded import paths, render
from leeward.edges.embedded.keystore import Keystore, ca_file, write_private
from leeward.errors import Invalid, Unavailable
from leeward.ports import Clock
from leeward.settings import Settings

__all__ = ["argv", "ca_file", "machine", "nginx", "prepare"]

WORKERS = "www-data"
MODULE_DIRS = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
CRS_RULES = Path("/usr/share/modsecurity-crs/rules")
CRS_SETUP = Path("/etc/modsecurity/crs/crs-setup.conf")
IPV6 = Path("/proc/net/if_inet6")
# More than any edge here needs; some machines allow no more.
MOST_FILES = 20_000


def nginx() -> Path:
    """The program. Raises Unavailable when it is not installed."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise Unavailable("nginx is not installed", hint="run: apt-get install nginx libnginx-mod-http-lua")
    return Path(found)


def machine() -> render.Machine:
    """What this machine has. Raises Unavailable when the Lua module is missing."""
    folder = next((folder for folder in MODULE_DIRS if folder.is_dir()), MODULE_DIRS[0])
    present = tuple(name for name in render.MODULES if (folder / name).is_file())
    if "ngx_http_lua_module.so" not in present:
        raise Unavailable("nginx has no Lua module", hint="run: apt-get install libnginx-mod-http-lua")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return render.Machine(
        modules_dir=folder,
        modules=present,
        lua_dir=Path(__file__).parent / "lua",
        user=WORKERS if os.geteuid() == 0 else "",
        workers=min(16, max(2, len(os.sched_getaffinity(0)))),
        nofile=MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard),
        crs=CRS_RULES if CRS_RULES.is_dir() else None,
        crs_setup=CRS_SETUP if CRS_SETUP.is_file() else None,
        ipv6=IPV6.is_file() and bool(IPV6.read_text().strip()),
    )


def argv(settings: Settings) -> tuple[str, ...]:
    """The command that runs the edge in the foreground; `prepare` comes first."""
    prefix, config = paths.prefix(settings), paths.config_file(settings)
    return (str(nginx()), "-p", f"{prefix}/", "-c", str(config), "-g", "daemon off;")


def prepare(settings: Settings, clock: Clock) -> None:
    """Write all files that nginx reads at its start. May be called again at any time, also while it runs."""
    here = machine()
    config = render.nginx_conf(settings, here)
    _make_folders(settings, here.user)
    Keystore(settings).wildcard(clock.now())
    prefix = paths.prefix(settings)
    if here.firewall:
        write_private(prefix / "firewall.conf", render.firewall_conf(here))
    write_private(paths.config_file(settings), config)


def _make_folders(settings: Settings, user: str) -> None:
    prefix = paths.prefix(settings)
    for folder in (settings.home, settings.run_dir, prefix, prefix / "temp", paths.acme_dir(settings)):
        folder.mkdir(parents=True, exist_ok=True)
        # The workers are somebody else: they pass through to the API's socket and to their own folders.
        folder.chmod(folder.stat().st_mode | 0o111)
    challenges = paths.acme_dir(settings) / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True, exist_ok=True)
    for folder in (paths.acme_dir(settings), challenges.parent, challenges):
        folder.chmod(0o755)
    for folder in (paths.admin_socket(settings).parent, paths.keys_dir(settings)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    for folder in (prefix / "workers", prefix / "cache"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        if user:
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
    if user:
        _refuse_closed_parents(settings.home)


def _refuse_closed_parents(home: Path) -> None:
    for parent in home.resolve().parents:
        if not parent.stat().st_mode & 0o001:
            raise Invalid(
                f"'{parent}' cannot be entered by nginx's workers, who run as '{WORKERS}'",
                hint=f"choose another LEEWARD_HOME, or run: chmod o+x {parent}",
            )
